// What the visitor does, and what is said to them.

import { prepareCamera } from "./camera.js";
import { keep } from "./keeping.js";
import { Painter, Stopped, TooLarge } from "./painter.js";
import { Unreadable, between, decoded, download, scaled, scaledSize, show } from "./pictures.js";

const SIZES = [256, 384, 512, 768, 1024, 1536, 2048, 3072];
const USUAL = { wasm: 512, webgpu: 1024 };
const PLACES = { wasm: "this device’s processor", webgpu: "this device’s graphics card" };

const $ = (id) => document.getElementById(id);
const painter = new Painter(document.body.dataset);
let file, own, photo, painting; // what was chosen, its own size, and its pixels before and after
let size; // the longest side, once somebody chose one
let [wish, turn] = [0, 0]; // of several files, and of several paintings, the last one counts
let busy = false;
let unseen = false; // no painting of this photo has been shown yet

function say(text) {
  if ($("status").textContent !== text) $("status").textContent = text;
}

function complain(sentence) {
  $("trouble").textContent = sentence;
  $("trouble").hidden = !sentence;
}

function progress(share) {
  $("progress").hidden = share === null;
  $("progress").value = share ?? 0;
}

function time(seconds) {
  if (seconds < 10) return `${Math.max(seconds, 0.1).toFixed(1)} s`;
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

async function load() {
  progress(0);
  try {
    await painter.load(new URLSearchParams(location.search).get("backend"), (share) => {
      progress(share);
      say(share < 1 ? `Loading the painter: ${10 * Math.floor(10 * share)} %` : "Trying the painter out");
    });
    Object.assign(document.body.dataset, { backend: painter.backend, why: painter.why });
    say("The painter is ready.");
  } catch (error) {
    say("");
    complain(`The painter could not be started: ${error.message}. Please load this page again.`);
    throw error;
  } finally {
    progress(null);
  }
}

const loaded = load();
loaded.catch(() => {}); // it was said

async function use(given) {
  const mine = (wish += 1);
  complain("");
  try {
    const bitmap = await decoded(given);
    if (mine !== wish) return;
    [file, own, unseen] = [given, { width: bitmap.width, height: bitmap.height }, true];
    await paint(bitmap);
  } catch (error) {
    if (mine === wish) complain(error.message);
  }
}

// Also again, at another size.
async function paint(bitmap) {
  if (busy) painter.stop();
  const mine = (turn += 1);
  complain("");
  painting = undefined;
  try {
    bitmap ??= await decoded(file);
    offerSizes();
    photo = scaled(bitmap, scaledSize(own, Number($("size").value)));
    bitmap.close();
    show($("before"), photo);
    show($("after"), photo);
    for (const side of ["width", "height"]) $("stage").style.setProperty(`--${side}`, photo[side]);
    await nextFrame(waiting(true));
    await loaded;
    if (mine !== turn) return;
    offerSizes();
    const made = await watched(painter.paint(photo));
    if (mine !== turn) return;
    painting = made.painting;
    mix();
    offerSizes();
    waiting(false);
    if (unseen) reveal();
    unseen = false;
    say(`Painted at ${photo.width} × ${photo.height} in ${time(made.seconds)}, on ${PLACES[painter.backend]}.`);
  } catch (error) {
    if (mine !== turn) return;
    $("go").hidden = false;
    say(error instanceof Stopped ? "Stopped." : "");
    if (error instanceof TooLarge || error instanceof RangeError) {
      complain("That is too large for this browser’s memory. Please choose a smaller size.");
    } else if (!(error instanceof Stopped)) {
      complain(error instanceof Unreadable ? error.message : `It could not be painted: ${error.message}.`);
    }
  }
}

// The runtime does not tell how far it is; the clock and what the last one took do.
async function watched(job) {
  const [began, needed] = [performance.now(), painter.rate * photo.width * photo.height];
  busy = true;
  $("go").hidden = false;
  $("go").textContent = "Stop";
  say(`Painting at ${photo.width} × ${photo.height}, in about ${time(needed)}`);
  const clock = setInterval(() => progress(Math.min((performance.now() - began) / 1000 / needed, 0.98)), 100);
  try {
    const made = await job;
    $("go").hidden = true;
    return made;
  } finally {
    clearInterval(clock);
    progress(null);
    busy = false;
    $("go").textContent = "Paint";
  }
}

function offerSizes() {
  const longest = Math.max(own.width, own.height);
  const sizes = SIZES.filter((one) => one < longest);
  if (longest <= SIZES.at(-1)) sizes.push(longest);
  const wanted = size ?? USUAL[painter.backend];
  const taken = sizes.findLast((one) => one <= wanted) ?? sizes[0];
  $("size").replaceChildren(
    ...sizes.map((one) => {
      const [width, height] = scaledSize(own, one);
      const needs = painter.rate ? `, about ${time(painter.rate * width * height)}` : "";
      return new Option(`${one} px${one === longest ? " (its own)" : ""}${needs}`, one, false, one === taken);
    }),
  );
}

function waiting(yes) {
  document.body.classList.add("chosen");
  $("result").hidden = false;
  $("stage").classList.toggle("waiting", yes);
  for (const id of ["split", "strength", "png", "jpeg"]) $(id).disabled = yes;
}

const nextFrame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

function mix() {
  $("shown").value = Number($("strength").value).toFixed(2);
  if (painting) show($("after"), between(photo, painting, Number($("strength").value)));
}

function split(percent) {
  $("split").value = percent;
  $("stage").style.setProperty("--split", `${percent}%`);
  const [before, after] = ["before", "after"].map((id) => $(id).ariaLabel);
  $("split").ariaValueText = `${Math.round(percent)} % ${before}, ${Math.round(100 - percent)} % ${after}`;
}

// The painting comes in from the right.
function reveal() {
  const [from, to] = [100, 25];
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return split(to);
  const began = performance.now();
  const step = (now) => {
    const share = Math.min(Math.max(now - began, 0) / 900, 1);
    split(from + (to - from) * share * (2 - share));
    if (share < 1) moving = requestAnimationFrame(step);
  };
  moving = requestAnimationFrame(step);
}
let moving;

async function save(type, suffix) {
  complain("");
  try {
    const name = (file.name || "picture").replace(/\.[^.]*$/, "");
    await download($("after"), type, `${name}-painted.${suffix}`);
  } catch (error) {
    complain(error.message);
  }
}

function useFirst(files, nothing) {
  if (files?.length) use(files[0]);
  else complain(nothing);
}

$("file").addEventListener("change", ({ target }) => {
  if (target.files.length) use(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});
$("size").addEventListener("change", () => {
  size = Number($("size").value);
  paint();
});
$("strength").addEventListener("input", mix);
$("split").addEventListener("input", () => {
  cancelAnimationFrame(moving);
  split($("split").value);
});
$("go").addEventListener("click", () => (busy ? painter.stop() : paint()));
$("png").addEventListener("click", () => save("image/png", "png"));
$("jpeg").addEventListener("click", () => save("image/jpeg", "jpg"));
addEventListener("paste", ({ clipboardData }) => useFirst(clipboardData?.files, "The clipboard holds no picture."));
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || document.body.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  useFirst(event.dataTransfer.files, "That was not a file. Please save the picture first, then drop the file.");
});
prepareCamera(use, complain);

if ("kept" in document.body.dataset && "serviceWorker" in navigator) {
  loaded
    .then(() => keep(`worker.js?${painter.version}`, `runtime/${painter.build}.js?${painter.version}`))
    .then(() => (document.body.dataset.kept = "yes"))
    .catch(() => {}); // it paints as well without
}
