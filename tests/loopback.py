"""A Kaggle on this machine, for the real client: nothing that it is told by these tests leaves the machine.

The client knows Kaggle as `http://localhost` where KAGGLE_API_ENVIRONMENT says LOCALHOST, and asks it through the proxy
that HTTP_PROXY names: this server, on a free port. Whatever else it might want to reach goes through the same proxy,
since HTTPS_PROXY names it too, and is refused and noted here.
"""

import io
import json
import os
import random
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

ZIP = "gan-getting-started.zip"
CLOSED = "http://127.0.0.1:9"
"""A proxy at which nobody listens (discard)."""
MEGABYTE = 1 << 20


class Asked(NamedTuple):
    method: str
    address: str
    headers: Message

    @property
    def after(self) -> int | None:
        """The byte from which on it was asked for; None if for all."""
        wanted = self.headers.get("Range")
        return None if wanted is None else int(wanted.removeprefix("bytes=").removesuffix("-"))


class Answer(NamedTuple):
    status: int
    text: str
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def refused(status: int, message: str) -> Answer:
    """As Kaggle refuses: in JSON, with a message that the client repeats."""
    return Answer(status, json.dumps({"code": status, "message": message}))


class Loopback:
    """The server. Tests set what it does; it notes what it was asked."""

    def __init__(self) -> None:
        self.zip = b""
        self.etag = '"first"'
        self.refusals: list[Answer] = []
        """Answers to the next requests for the zip's address; with none left, the address is given."""
        self.always: Answer | None = None
        self.storage: list[Answer] = []
        """Answers of the storage to the next requests; with none left, the zip is given."""
        self.token: Answer = Answer(200, json.dumps({"active": True, "username": "somebody"}))
        self.breaks: list[int] = []
        """Bytes after which the next transfers break."""
        self.after_break: list[Answer] = []
        """Answers of the storage once a transfer has broken."""
        self.stalls_after: int | None = None
        """Bytes after which a transfer stands still until `going_on` is set."""
        self.when_stalled: Callable[[], None] = lambda: None
        self.going_on = threading.Event()
        self.asked: list[Asked] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def transfers(self) -> list[Asked]:
        return [one for one in self.asked if one.method == "GET"]

    @property
    def strangers(self) -> list[str]:
        """What was asked of others than this server's Kaggle."""
        return [one.address for one in self.asked if not one.address.startswith("http://localhost/")]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None: ...

            def do_CONNECT(self) -> None:
                loopback.asked.append(Asked("CONNECT", self.path, self.headers))
                self.send_error(501)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                loopback.asked.append(Asked("POST", self.path, self.headers))
                if self.path.endswith("IntrospectToken"):
                    self._give(loopback.token)
                elif loopback.always or loopback.refusals:
                    self._give(loopback.always or loopback.refusals.pop(0))
                else:
                    self._give(Answer(302, "", headers=(("Location", f"http://localhost/storage/{ZIP}?signed"),)))

            def do_GET(self) -> None:
                loopback.asked.append(Asked("GET", self.path, self.headers))
                if loopback.storage:
                    self._give(loopback.storage.pop(0))
                else:
                    with suppress(OSError):  # the client has gone
                        self._transfer(loopback.asked[-1].after)

            def _give(self, answer: Answer) -> None:
                self.send_response(answer.status)
                for name, value in (*answer.headers, ("Content-Type", answer.kind)):
                    self.send_header(name, value)
                content = answer.text.encode()
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def _transfer(self, after: int | None) -> None:
                resumed = after is not None and self.headers.get("If-Range") == loopback.etag
                start = after if resumed and after is not None else 0
                rest = loopback.zip[start:]
                self.send_response(206 if resumed else 200)
                for name, value in (
                    ("Content-Type", "application/zip"),
                    ("Content-Length", str(len(rest))),
                    ("ETag", loopback.etag),
                    ("Accept-Ranges", "bytes"),
                    ("Last-Modified", "Mon, 02 Mar 2026 10:00:00 GMT"),
                ):
                    self.send_header(name, value)
                if resumed:
                    self.send_header("Content-Range", f"bytes {start}-{len(loopback.zip) - 1}/{len(loopback.zip)}")
                self.end_headers()
                if loopback.breaks:
                    self.wfile.write(rest[: loopback.breaks.pop(0)])
                    self.close_connection = True
                    loopback.storage, loopback.after_break = loopback.after_break, []
                    return
                stall = loopback.stalls_after
                if stall is not None:
                    loopback.stalls_after = None
                    self.wfile.write(rest[:stall])
                    self.wfile.flush()
                    loopback.when_stalled()
                    loopback.going_on.wait(60)
                self.wfile.write(rest[stall or 0 :])

        return Handler

    @contextmanager
    def serving(self) -> Iterator["Loopback"]:
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.going_on.set()
            self.server.shutdown()
            self.server.server_close()


def jpeg(number: int, size: tuple[int, int] = (256, 256)) -> bytes:
    """A small picture, each number another."""
    file = io.BytesIO()
    Image.new("RGB", size, (number % 256, number // 256, 99)).save(file, "JPEG")
    return file.getvalue()


def competition_zip(paintings: int = 3, photos: int = 5, *, padding: int = 0) -> bytes:
    """A zip laid out as the competition's, with so many random bytes as TFRecords."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(paintings):
            archive.writestr(f"monet_jpg/{number:010x}.jpg", jpeg(number))
        archive.writestr("monet_tfrec/monet00-60.tfrec", random.Random(0).randbytes(padding))
        for number in range(photos):
            archive.writestr(f"photo_jpg/{number:010x}.jpg", jpeg(1000 + number))
        archive.writestr("photo_tfrec/photo00-352.tfrec", b"tf")
    return file.getvalue()


def keep_at_home(patch: pytest.MonkeyPatch, home: Path, proxy: str = CLOSED) -> None:
    """Let the client know nobody's credentials, and reach nothing but a proxy on this machine."""
    for name in list(os.environ):
        if name.startswith("KAGGLE_") or name.lower() in {"no_proxy", "xdg_config_home", "verbose", "verbose_output"}:
            patch.delenv(name)
    home.mkdir(exist_ok=True)
    patch.setenv("HOME", str(home))
    patch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        patch.setenv(name, proxy)
        patch.setenv(name.upper(), proxy)


def sign_in(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("KAGGLE_USERNAME", "somebody")
    patch.setenv("KAGGLE_KEY", "secret")


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that is bound to happen."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.02)
