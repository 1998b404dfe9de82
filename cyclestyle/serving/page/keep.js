// Opens the page also without network: from what keeping.js kept. The network is asked first, so nothing kept is ever
// shown instead of something newer.

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && url.startsWith(registration.scope)) event.respondWith(newest(event.request));
});

async function newest(request) {
  try {
    return await fetch(request);
  } catch (error) {
    const old = await caches.match(request, { ignoreSearch: request.mode === "navigate", ignoreVary: true });
    if (old) return old;
    throw error;
  }
}
