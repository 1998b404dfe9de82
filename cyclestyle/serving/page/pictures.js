// Pictures from files, at a size, and between photo and painting.

const KNOWN = "JPEG, PNG, WebP, AVIF and GIF can be read";

// Its message is a sentence for people.
export class Unreadable extends Error {}

// A file as a picture, turned as its EXIF says.
export async function decoded(file) {
  const name = file.name ? `“${file.name}”` : "What was given";
  if (!file.size) throw new Unreadable(`${name} is empty (0 bytes). Please choose another file.`);
  if (file.type && !file.type.startsWith("image/")) throw new Unreadable(`${name} is not a picture. ${KNOWN}.`);
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Unreadable(
      `${name} cannot be read: it is damaged, larger than this browser can hold, or of a kind that it does not know. ${KNOWN}.`,
    );
  }
}

export function scaledSize({ width, height }, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  return [width, height].map((side) => Math.max(1, Math.round(side * scale)));
}

// Pixels at a size, on white. Halved as often as that leaves enough: browsers look at few pixels when they scale by much.
export function scaled(bitmap, [width, height]) {
  let source = bitmap;
  let [w, h] = [bitmap.width, bitmap.height];
  do {
    [w, h] = [w >= 2 * width ? Math.ceil(w / 2) : width, h >= 2 * height ? Math.ceil(h / 2) : height];
    const canvas = Object.assign(document.createElement("canvas"), { width: w, height: h });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    if (!context) throw new RangeError("no memory for a canvas");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, w, h);
    context.imageSmoothingQuality = "high";
    context.drawImage(source, 0, 0, w, h);
    source = canvas;
  } while (w !== width || h !== height);
  return source.getContext("2d").getImageData(0, 0, width, height);
}

// 0: the photo; 1: the painting; beyond: further from the photo than the painting is.
export function between(photo, painting, strength) {
  const mixed = new ImageData(photo.width, photo.height);
  const [from, to, into] = [photo.data, painting.data, mixed.data];
  for (let place = 0; place < into.length; place += 1) into[place] = from[place] + strength * (to[place] - from[place]);
  return mixed;
}

export function show(canvas, picture) {
  [canvas.width, canvas.height] = [picture.width, picture.height];
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

export async function download(canvas, type, name) {
  const file = await new Promise((done) => canvas.toBlob(done, type, 0.95));
  if (!file) throw new Unreadable("This picture is too large for the browser to write. Please choose a smaller size.");
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
