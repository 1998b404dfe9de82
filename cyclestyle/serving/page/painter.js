// The painter: everything it is made of is loaded once and kept, so that it can be started again without network.

export class TooLarge extends Error {}
export class Stopped extends Error {}

export class Painter {
  constructor({ painter, bytes, plain, webgpu, version }) {
    this.version = version; // of the scripts, so that they may be kept
    this.model = { url: painter, bytes: Number(bytes) };
    this.builds = { plain: Number(plain), webgpu: Number(webgpu) };
    this.rate = undefined; // seconds for a pixel
    this.backend = "wasm";
    this.why = ""; // not the graphics card
  }

  // `told` is called with the share of what is loaded. Wanted: "wasm", "webgpu" (whatever its speed), or null.
  async load(wanted, told) {
    if (typeof WebAssembly !== "object" || typeof DecompressionStream !== "function") {
      throw new Error("this browser is too old to paint (it has no WebAssembly, or cannot unpack); please use a newer one");
    }
    this.gpu = wanted === "wasm" ? false : await graphicsCard(wanted === "webgpu");
    this.build = this.gpu ? "webgpu" : "plain";
    const whole = this.model.bytes + this.builds[this.build];
    let loaded = 0;
    const count = (more) => told(Math.min((loaded += more) / whole, 1));
    [this.bytes, this.binary] = await Promise.all([
      fetched(this.model.url, count).then(unpacked),
      fetched(`runtime/${this.build}.wasm.gz`, count).then(unpacked),
    ]);
    await this.start(false);
  }

  async start(hasty) {
    this.worker = new Worker(`worker.js?${this.version}`, { type: "module" });
    const { build, binary, bytes: model, gpu } = this;
    this.ready = this.ask({ kind: "open", build, binary, model, gpu, hasty });
    const { backend, rate, why } = await this.ready;
    Object.assign(this, { backend, why }, hasty ? {} : { rate });
  }

  ask(message, transfer = []) {
    const { worker } = this;
    return new Promise((keep, fail) => {
      this.fail = fail;
      worker.onmessage = ({ data }) => {
        if (data.kind !== "failed") keep(data);
        else fail(data.memory ? new TooLarge(data.why) : new Error(data.why));
      };
      worker.onerror = (event) => {
        event.preventDefault();
        fail(new Error(event.message || "its program could not be loaded"));
      };
      worker.postMessage(message, transfer);
    });
  }

  // ImageData to ImageData.
  async paint(photo) {
    const { width, height } = photo;
    try {
      await this.ready;
      const pixels = photo.data.slice().buffer;
      const made = await this.ask({ kind: "paint", pixels, width, height }, [pixels]);
      this.rate = made.seconds / (width * height);
      this.backend = made.backend;
      this.why ||= made.why;
      return { painting: new ImageData(new Uint8ClampedArray(made.pixels), width, height), seconds: made.seconds };
    } catch (error) {
      if (!(error instanceof Stopped)) this.again(); // after running out of memory nothing can be relied on
      throw error;
    }
  }

  stop() {
    this.fail?.(new Stopped());
    this.again();
  }

  // Begin anew.
  again() {
    this.worker.terminate();
    this.start(true).catch(() => {}); // who paints next is told
  }
}

// A card that is only imitated by the processor is slower than the processor.
async function graphicsCard(insist) {
  if (!("gpu" in navigator) || !("Suspending" in WebAssembly)) return false;
  const card = await navigator.gpu.requestAdapter().catch(() => null);
  if (!card) return false;
  if (insist) return "insist";
  return !(card.info?.isFallbackAdapter ?? card.isFallbackAdapter);
}

async function fetched(url, count) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} is not there (${answer.status})`);
  const pieces = [];
  const reader = answer.body.getReader();
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    pieces.push(value);
    count(value.length);
  }
  return new Blob(pieces);
}

// Some servers have the browser unpack what ends in .gz; then it is unpacked already.
async function unpacked(blob) {
  const [first, second] = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  if (first !== 0x1f || second !== 0x8b) return blob.arrayBuffer();
  return new Response(blob.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}
