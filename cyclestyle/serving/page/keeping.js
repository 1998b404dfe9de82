// Keeps what this visit has loaded, for visits without network (keep.js), and drops what earlier ones had loaded.

export async function keep(...others) {
  await navigator.serviceWorker.register("keep.js");
  const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
  const here = new URL(".", location).href;
  const needed = new Set([...loaded, ...["./", ...others].map((one) => new URL(one, location).href)]);
  const kept = await caches.open("painter");
  const wanted = [...needed].filter((url) => url.startsWith(here));
  await kept.addAll(wanted);
  for (const request of await kept.keys()) {
    if (request.url.startsWith(here) && !needed.has(request.url)) await kept.delete(request);
  }
}
