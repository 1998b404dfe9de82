// A photo from the camera, where there is one.

export function prepareCamera(use, complain) {
  const [button, dialog, video] = ["camera", "viewfinder", "video"].map((id) => document.getElementById(id));
  button.hidden = !navigator.mediaDevices?.getUserMedia; // browsers give it to https and localhost only

  button.addEventListener("click", async () => {
    complain("");
    button.disabled = true; // a second stream would never be stopped
    try {
      const wanted = { facingMode: "environment", width: { ideal: 1920 }, height: { ideal: 1920 } };
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: wanted });
      dialog.showModal();
      await video.play();
    } catch (error) {
      dialog.close();
      const none = error.name === "NotFoundError";
      complain(none ? "No camera was found." : `The camera cannot be used: ${error.message || error.name}.`);
    } finally {
      button.disabled = false;
    }
  });
  document.getElementById("take").addEventListener("click", () => {
    if (!video.videoWidth) return; // it has not begun
    const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => use(new File([blob], "camera.png", { type: blob.type })), "image/png");
    dialog.close();
  });
  document.getElementById("leave").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    video.srcObject?.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
  });
}
