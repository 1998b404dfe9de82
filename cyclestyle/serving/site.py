"""The files of the page: what is served from here, and what is put elsewhere to be served."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from cyclestyle.files import written_aside
from cyclestyle.serving.card import about, read_card

PAINTER = "painter.onnx"
SCRIPTS = ("page.js", "painter.js", "pictures.js", "camera.js", "keeping.js", "worker.js")
KEEPER = "keep.js"
"""Of pages that are hosted. A port of one's own machine is lent to one page today and to another tomorrow."""
RUNTIME = (
    "plain.js",
    "plain.wasm.gz",
    "webgpu.js",
    "webgpu.wasm.gz",
    "LICENSE.txt",
    "ThirdPartyNotices.txt",
    "origin.json",
)

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self'",
        "connect-src 'self'",
        "style-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
"""Content security: nothing but this page's own files is loaded, and nothing is sent anywhere."""

WORDS = {
    "photo to painting": ("Your photo, as a painting", "photo", "painting"),
    "painting to photo": ("Your painting, as a photo", "painting", "photo"),
    "unknown": ("Your picture, painted", "picture", "painting"),
}
"""By direction: the title, and what a picture is before and after."""


@dataclass(frozen=True)
class Site:
    """Everything that is served, by its path below the page."""

    files: dict[str, bytes]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.files.values()))

    @property
    def visit(self) -> int:
        """Bytes that one visitor loads at most: one of the two builds, and no licences."""
        left_out = ("runtime/plain", "runtime/LICENSE", "runtime/Third", "runtime/origin")  # the other build is larger
        return sum(len(content) for name, content in self.files.items() if not name.startswith(left_out))


def build_site(painter: Path, *, kept: bool) -> Site:
    """The page of an exported painter.

    Args:
        painter: a file that `cyclestyle export` wrote.
        kept: whether browsers may keep the page, so that it opens without network.

    Raises:
        FileNotFoundError or ValueError: it is no such file.
    """
    if not painter.is_file():
        raise FileNotFoundError(f"no such painter: {painter}")
    model = painter.read_bytes()
    card = read_card(model, painter)
    runtime = {f"runtime/{name}": _ours("runtime", name) for name in RUNTIME}
    title, before, after = WORDS[card.direction]
    page = (
        _templates()
        .get_template("index.html.jinja")
        .render(
            title=title,
            before=before,
            after=after,
            policy=POLICY,
            # Under another name for each painter: browsers and the machines between keep files by their names.
            painter=f"{PAINTER}?{hashlib.sha256(model).hexdigest()[:12]}",
            bytes=len(model),
            plain=len(runtime["runtime/plain.wasm.gz"]),
            webgpu=len(runtime["runtime/webgpu.wasm.gz"]),
            kept=kept,
            preview=card.preview,
            scripts=_fingerprint(
                [_ours("page", "worker.js"), *(text for name, text in runtime.items() if name.endswith(".js"))]
            ),
            about=about(card, len(model)),
            version=json.loads(runtime["runtime/origin.json"])["version"],
        )
    )
    scripts = (*SCRIPTS, KEEPER) if kept else SCRIPTS
    own = {name: _ours("page", name) for name in ("page.css", *scripts)}
    return Site({"index.html": page.encode(), **own, PAINTER: model, **runtime})


def _fingerprint(contents: list[bytes]) -> str:
    return hashlib.sha256(b"".join(contents)).hexdigest()[:12]


def _is_page(folder: Path) -> bool:
    """Whether such a page is there already, which may be replaced."""
    page = folder / "index.html"
    return page.is_file() and b"data-painter=" in page.read_bytes()


@cache
def _ours(folder: str, name: str) -> bytes:
    return (files("cyclestyle.serving") / folder / name).read_bytes()


@cache
def _templates() -> Environment:
    loader = PackageLoader("cyclestyle.serving", "page")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def write_bundle(site: Site, folder: Path) -> None:
    """Put a page's files into a folder: new, empty, or with such a page in it, which is replaced.

    Raises ValueError if the folder holds anything else, OSError if it cannot be written.
    """
    if folder.is_file():
        raise ValueError(f"{folder} is a file; give a folder after --bundle, new or empty")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    strange = sorted(there - site.files.keys() if _is_page(folder) else there)
    if strange:
        more = f" and {len(strange) - 1:,} more" if strange[1:] else ""
        raise ValueError(f"{folder} holds other files ({strange[0]}{more}); give a folder after --bundle, new or empty")
    # The page last: whoever comes in between sees the one before, with files that are as good.
    for name in sorted(site.files, key=lambda name: name == "index.html"):
        with written_aside(folder / name) as aside:
            aside.write_bytes(site.files[name])
            aside.chmod(0o644)  # whoever serves it may be another user
