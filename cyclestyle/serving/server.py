"""A server for this machine alone, of a handful of files that are named beforehand."""

import errno
import os
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from cyclestyle.serving.site import POLICY, Site

HOST = "127.0.0.1"

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".gz": "application/gzip",
    ".onnx": "application/octet-stream",
}

HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # The next painter may be served at the same address.
    "Cache-Control": "no-store",
    # With these two, browsers let WebAssembly have threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Server(ThreadingHTTPServer):
    """Serves a page to the browsers of this machine."""

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # there it would let two listen at one port

    def __init__(self, site: Site, port: int) -> None:
        """Raises ValueError if the port cannot be had."""
        self.site = site
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ValueError(
                    f"port {port} is taken by another program; choose another: --port {port + 1}"
                ) from None
            if error.errno == errno.EACCES:
                raise ValueError(
                    f"port {port} may not be used by everybody; choose one above 1023: --port 8000"
                ) from None
            raise

    @property
    def address(self) -> str:
        """To type into a browser."""
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away in the middle is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "cyclestyle", ""
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: who looks at what is nobody's business."""

    def do_HEAD(self) -> None:
        self._answer(content=False)

    def do_GET(self) -> None:
        self._answer(content=True)

    def _answer(self, *, content: bool) -> None:
        """Give one of the files by its name; there is nothing else, so no path leads out of them."""
        name = unquote(urlsplit(self.path).path).removeprefix("/") or "index.html"
        found = cast(Server, self.server).site.files.get(name)
        status = HTTPStatus.NOT_FOUND if found is None else HTTPStatus.OK
        body = b"There is nothing here.\n" if found is None else found
        self.send_response(status)
        kind = KINDS[".txt"] if found is None else KINDS[PurePosixPath(name).suffix]
        headers = {"Content-Type": kind, "Content-Length": str(len(body))} | HEADERS
        if found is not None and urlsplit(self.path).query and name.endswith(".js"):
            # Kept, since the query is made of what is in it: a worker starts again after the server has ended.
            headers["Cache-Control"] = "private, max-age=86400, immutable"
        for header, value in headers.items():
            self.send_header(header, value)
        self.end_headers()
        if content:
            self.wfile.write(body)
