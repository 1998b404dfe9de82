// Paints, on a thread of its own, so that the page stays alive. Says what it did in messages: see painter.js.

const TRIAL = { width: 128, height: 96 };
// Of values in [-1, 1]: on average half of one of 256 levels, and a dozen levels anywhere.
const MEAN = 0.004;
const LARGEST = 0.1;

let ort, onCpu, onGpu;

onmessage = async ({ data }) => {
  try {
    postMessage(data.kind === "open" ? await open(data) : await paint(data), data.kind === "open" ? [] : [data.pixels]);
  } catch (error) {
    postMessage({ kind: "failed", why: String(error?.message ?? error), memory: isMemory(error) });
  }
};

// Runtime and model are given as bytes: nothing is fetched here but this file and the runtime's script.
async function open({ build, binary, model, gpu, hasty }) {
  ort = await import(`./runtime/${build}.js${location.search}`);
  ort.env.wasm.wasmBinary = binary;
  ort.env.logLevel = "fatal"; // what goes wrong is raised, and said once
  onCpu = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  const cpu = await tried(onCpu, hasty);
  let why = "";
  let seconds = cpu.seconds;
  if (gpu) {
    try {
      onGpu = await ort.InferenceSession.create(model, { executionProviders: ["webgpu"] });
      const made = await tried(onGpu, false);
      why = differs(made.painting, cpu.painting);
      if (!why && gpu !== "insist" && made.seconds > cpu.seconds) why = "it is slower than the processor";
      seconds = made.seconds;
    } catch (error) {
      why = String(error?.message ?? error);
    }
    if (why) {
      onGpu = undefined;
      seconds = cpu.seconds;
    }
  }
  return { kind: "ready", backend: onGpu ? "webgpu" : "wasm", why, rate: seconds / (TRIAL.width * TRIAL.height) };
}

// The second time counts: code is compiled, and memory taken, at the first.
async function tried(session, once) {
  const { width, height } = TRIAL;
  const photo = new Float32Array(3 * width * height).map((_, place) => {
    const x = place % width, y = Math.floor(place / width) % height, channel = Math.floor(place / (width * height));
    return 0.6 * Math.sin(x / (5 + 3 * channel)) * Math.cos(y / 9) + ((x >> 4) + (y >> 4) & 1 ? 0.3 : -0.3);
  });
  let painting, seconds;
  for (let time = 0; time < (once ? 1 : 2); time += 1) {
    const began = performance.now();
    painting = await run(session, photo, width, height);
    seconds = (performance.now() - began) / 1000;
  }
  return { painting, seconds };
}

function differs(made, wanted) {
  let sum = 0, largest = 0;
  for (let place = 0; place < wanted.length; place += 1) {
    const apart = Math.abs(made[place] - wanted[place]);
    sum += apart;
    largest = Math.max(largest, apart);
  }
  const mean = sum / wanted.length;
  if (mean < MEAN && largest < LARGEST) return ""; // false for what is no number
  return `its painting differs from the processor's (by ${mean.toPrecision(2)} on average, ${largest.toPrecision(2)} at most)`;
}

async function run(session, photo, width, height) {
  const given = { [session.inputNames[0]]: new ort.Tensor("float32", photo, [1, 3, height, width]) };
  return (await session.run(given))[session.outputNames[0]].data;
}

// Pixels are RGBA bytes; the same buffer is given back, painted over.
async function paint({ pixels, width, height }) {
  const began = performance.now();
  const bytes = new Uint8ClampedArray(pixels); // rounds, and cuts what is beyond 0 or 255
  const area = width * height;
  const photo = new Float32Array(3 * area);
  for (let place = 0; place < area; place += 1) {
    for (let channel = 0; channel < 3; channel += 1) photo[channel * area + place] = bytes[4 * place + channel] / 127.5 - 1;
  }
  let painting, why = "";
  if (onGpu) {
    try {
      painting = await run(onGpu, photo, width, height);
      if (painting.some(Number.isNaN)) throw new Error("it gives values that are no numbers");
    } catch (error) {
      onGpu = undefined;
      why = String(error?.message ?? error);
    }
  }
  const backend = onGpu ? "webgpu" : "wasm";
  painting = onGpu ? painting : await run(onCpu, photo, width, height);
  for (let place = 0; place < area; place += 1) {
    for (let channel = 0; channel < 3; channel += 1) bytes[4 * place + channel] = (painting[channel * area + place] + 1) * 127.5;
  }
  return { kind: "painted", pixels, backend, why, seconds: (performance.now() - began) / 1000 };
}

// The runtime says it in many ways; a bare number is an exception of C++ that nobody could translate.
function isMemory(error) {
  const said = String(error?.message ?? error);
  return error instanceof RangeError || /^\d+$/.test(said) || /memory|alloc|out of bounds|too large|bad_array/i.test(said);
}
