"""The page of `cyclestyle serve` in a real browser: a file becomes what PyTorch makes of it, on this machine alone."""

import base64
import functools
import io
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import chromium
import numpy as np
import pytest
import torch
from chromium import Browser, Page, needs_chromium
from numpy.typing import NDArray
from PIL import Image

from cyclestyle.config import GeneratorSettings
from cyclestyle.images import load, to_images, to_pictures
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.painter import Painter, PainterCard, load_painter, save_painter
from cyclestyle.serving.server import Server
from cyclestyle.serving.site import Site, build_site, write_bundle

pytestmark = needs_chromium

NEAR = 2.0
"""Of 255 levels, on average: what is allowed between the page and PyTorch."""

SLOW_CARD = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
"""A graphics card that is imitated by the processor."""

NO_CARD = "No available adapters."
"""What Chromium itself puts on the console where there is no graphics card to be asked for."""

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> tuple[Painter, Path]:
    """A small painter that changes pictures a lot, in PyTorch and exported."""
    exporting = pytest.importorskip("cyclestyle.exporting.exporting")
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("painter")
    torch.manual_seed(3)
    settings = GeneratorSettings(width=8, blocks=2, upsampling="resize")
    network = build_generator(settings)
    for parameter in network.parameters():
        parameter.data.mul_(4.0 if parameter.ndim > 1 else 1.0)  # a new one paints everything grey
    save_painter(
        network,
        PainterCard(direction="photo to painting", generator=settings, side=64, step=1),
        folder / "paint.safetensors",
    )
    exporting.export_painter(folder / "paint.safetensors", folder / "painter.onnx")
    return load_painter(folder / "paint.safetensors"), folder / "painter.onnx"


@pytest.fixture(scope="module")
def site(painter: tuple[Painter, Path]) -> Site:
    return build_site(painter[1], kept=False)


@pytest.fixture(scope="module")
def paint(painter: tuple[Painter, Path]) -> Callable[[Image.Image], Pixels]:
    """What PyTorch makes of a picture."""
    return lambda picture: np.asarray(to_pictures(painter[0](to_images([picture])))[0])


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[str]:
    """Its address, while it runs."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def address(site: Site) -> Iterator[str]:
    with running(Server(site, 0)) as at:
        yield at


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chromium, "FLAGS", (*chromium.FLAGS, *camera))
        with Browser.open() as one:
            yield one


@pytest.fixture(scope="module")
def shared(browser: Browser, address: str) -> Page:
    """A page with its painter ready, for tests that leave it as it was: to start it takes a second or two."""
    page = browser.page()
    start(page, address)
    return page


@pytest.fixture
def page(shared: Page) -> Iterator[Page]:
    shared.evaluate(js.value("strength", 1))
    yield shared
    assert shared.errors == []


class js:  # noqa: N801 - reads as a name of the language
    """Expressions to evaluate in the page."""

    ready = "document.body.dataset.backend"
    trouble = "document.getElementById('trouble').textContent"
    status = "document.getElementById('status').textContent"
    painted = f"({status}).startsWith('Painted') && !document.getElementById('png').disabled"
    settled = f"({painted}) || ({trouble})"

    @staticmethod
    def value(name: str, value: object) -> str:
        """Set a control as if somebody had."""
        return f"""(() => {{ const one = document.getElementById('{name}'); one.value = {value};
            for (const kind of ['input', 'change']) one.dispatchEvent(new Event(kind)); }})()"""


def start(page: Page, address: str, *, backend: str = "wasm") -> None:
    page.go(f"{address}?backend={backend}")
    page.wait_for(f"({js.ready}) || ({js.trouble})")


def canvas(page: Page, name: str) -> Pixels:
    """A canvas' pixels, exactly."""
    url = page.evaluate(f"document.getElementById('{name}').toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))


def give(page: Page, picture: Path) -> None:
    """Choose a file and wait until it is painted, or refused."""
    page.evaluate("document.getElementById('status').textContent = ''")
    page.choose_files("#file", picture)
    page.wait_for(js.settled)


def apart(one: Pixels, other: Pixels) -> float:
    """Mean difference, of 255 levels."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(float) - other).mean())


def scene(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """A picture with areas, edges and texture."""
    chances = np.random.default_rng(seed)
    coarse = Image.fromarray(chances.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    noise = chances.normal(0, 12, (*size[::-1], 3))
    return Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8))


def follow_workers(page: Page) -> None:
    """Count what the page's workers ask for and complain of as the page's own. They wait for it before they begin."""
    page.ask("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=True, flatten=True)


def let_worker_begin(page: Page) -> None:
    """Listen to the worker that waits, then let it begin."""
    browser = page.browser

    def waiting() -> list[str]:
        told = [one["params"]["sessionId"] for one in browser.events if one["method"] == "Target.attachedToTarget"]
        return [one for one in told if one not in browser.pages]

    with browser.news:
        assert browser.news.wait_for(lambda: bool(waiting()), chromium.PATIENCE)
        (session,) = waiting()
        browser.pages[session] = page
    for part in ("Network", "Runtime", "Log"):
        browser.ask(f"{part}.enable", session)
    browser.ask("Runtime.runIfWaitingForDebugger", session)


def test_a_dropped_file_becomes_what_pytorch_makes_of_it_without_network(
    browser: Browser, site: Site, paint: Callable[[Image.Image], Pixels], tmp_path: Path
) -> None:
    picture = scene((120, 83))
    picture.save(tmp_path / "photo.png")
    page = browser.page()
    follow_workers(page)
    with running(Server(site, 0)) as address:
        page.go(f"{address}?backend=wasm")
        let_worker_begin(page)
        page.wait_for(js.ready)
    page.offline()  # and the server is gone
    before = len(page.requests)
    page.drop_files("body", tmp_path / "photo.png")
    page.wait_for(js.settled)
    made = canvas(page, "after")
    assert np.array_equal(canvas(page, "before"), np.asarray(picture))
    assert apart(made, paint(picture)) < 0.1 < NEAR
    assert apart(made, np.asarray(picture)) > 10  # it is another picture
    assert page.errors == []
    assert len(page.requests) == before
    asked = {urllib.parse.urlsplit(one) for one in page.requests}
    assert {f"{one.scheme}://{one.netloc}/" for one in asked} == {address}
    assert {"/painter.onnx", "/runtime/plain.wasm.gz", "/worker.js", "/runtime/plain.js"} <= {one.path for one in asked}
    assert page.evaluate("crossOriginIsolated")  # so that there can be threads


def test_downloads_hold_what_is_seen(page: Page, tmp_path: Path) -> None:
    scene((64, 40)).save(tmp_path / "My photo.png")
    give(page, tmp_path / "My photo.png")
    (tmp_path / "down").mkdir()
    page.download_to(tmp_path / "down")
    for button, name in (("png", "My photo-painted.png"), ("jpeg", "My photo-painted.jpg")):
        page.click(f"#{button}")
        until_there(page, tmp_path / "down" / name)
    seen = canvas(page, "after")
    with Image.open(tmp_path / "down" / "My photo-painted.png") as png:
        assert np.array_equal(np.asarray(png.convert("RGB")), seen)
    with Image.open(tmp_path / "down" / "My photo-painted.jpg") as jpeg:
        assert (jpeg.format, jpeg.size) == ("JPEG", (64, 40))
        assert apart(np.asarray(jpeg.convert("L")), np.asarray(Image.fromarray(seen).convert("L"))) < 5


def until_there(page: Page, path: Path) -> None:
    for _ in range(500):
        if path.exists() and path.stat().st_size:
            return
        page.evaluate("new Promise((done) => setTimeout(done, 20))")
    raise AssertionError(f"{path.name} was not downloaded")


def test_strength_goes_from_the_photo_to_the_painting_and_beyond(page: Page, tmp_path: Path) -> None:
    picture = scene((48, 32), seed=1)
    picture.save(tmp_path / "photo.png")
    give(page, tmp_path / "photo.png")
    photo, painting = np.asarray(picture).astype(float), canvas(page, "after").astype(float)
    for strength in (0, 0.5, 1, 1.5):
        page.evaluate(js.value("strength", strength))
        wanted = (photo + strength * (painting - photo)).clip(0, 255)
        assert np.abs(canvas(page, "after") - wanted).max() <= 0.5
    assert page.evaluate("document.getElementById('shown').value") == "1.50"


def broken_files(folder: Path) -> dict[str, tuple[Path, str]]:
    whole = io.BytesIO()
    scene((300, 200)).save(whole, "JPEG", quality=95)
    contents = {
        "empty.jpg": (b"", "“empty.jpg” is empty (0 bytes)"),
        "noise.jpg": (np.random.default_rng(0).bytes(5000), "“noise.jpg” cannot be read"),
        "words.txt": (b"no picture", "“words.txt” is not a picture"),
        "torn.png": (b"\x89PNG\r\n\x1a\n" + bytes(50), "“torn.png” cannot be read"),
        "half.jpg": (whole.getvalue()[: len(whole.getvalue()) // 2], "“half.jpg” cannot be read"),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    return {name: (folder / name, said) for name, (_, said) in contents.items()}


def test_files_that_are_no_pictures_are_named_and_the_painting_stays(page: Page, tmp_path: Path) -> None:
    scene((40, 40)).save(tmp_path / "photo.png")
    give(page, tmp_path / "photo.png")
    before = canvas(page, "after")
    for name, (path, said) in broken_files(tmp_path).items():
        page.evaluate("document.getElementById('trouble').textContent = ''")
        page.choose_files("#file", path)
        assert said in page.wait_for(js.trouble), name
        assert not page.evaluate("document.getElementById('trouble').hidden")
        assert np.array_equal(canvas(page, "after"), before)
    give(page, tmp_path / "photo.png")
    assert page.evaluate(js.trouble) == ""


def odd_pictures(folder: Path) -> list[Path]:
    turned = Image.Exif()
    turned[0x0112] = 6
    scene((50, 30)).save(folder / "turned.jpg", exif=turned, quality=95)
    clear = scene((40, 40)).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize((40, 40)))
    clear.save(folder / "clear.png")
    scene((33, 21)).convert("CMYK").convert("L").save(folder / "grey.png")
    scene((1, 1)).save(folder / "one.png")
    scene((1, 300)).save(folder / "thin.png")
    scene((64, 64)).save(folder / "lossless.webp", lossless=True)
    scene((31, 17)).save(folder / "still.gif")
    return [
        folder / name
        for name in ("turned.jpg", "clear.png", "grey.png", "one.png", "thin.png", "lossless.webp", "still.gif")
    ]


def test_odd_pictures_are_read_and_painted_as_by_translate(
    page: Page, paint: Callable[[Image.Image], Pixels], tmp_path: Path
) -> None:
    for path in odd_pictures(tmp_path):
        give(page, path)
        assert page.evaluate(js.trouble) == "", path.name
        seen = canvas(page, "before")
        assert apart(seen, np.asarray(load(path))) < 1, path.name
        made = canvas(page, "after")
        assert made.shape == seen.shape
        if path.name != "one.png":  # nothing is certain of what is flat: see cyclestyle.exporting.parity
            assert apart(made, paint(Image.fromarray(seen))) < NEAR, path.name


def test_photos_are_scaled_to_the_size_that_is_chosen(page: Page, tmp_path: Path) -> None:
    picture = scene((900, 600))
    picture.save(tmp_path / "photo.png")
    give(page, tmp_path / "photo.png")
    sizes = page.evaluate("[...document.getElementById('size').options].map((one) => one.value)")
    assert sizes == ["256", "384", "512", "768", "900"]
    assert canvas(page, "after").shape == (341, 512, 3)
    page.evaluate("document.getElementById('status').textContent = ''")
    page.evaluate(js.value("size", 256))
    page.wait_for(js.settled)
    wanted = np.asarray(picture.resize((256, 171), Image.Resampling.BICUBIC))
    assert apart(canvas(page, "before"), wanted) < NEAR
    page.evaluate(js.value("size", 512))
    page.wait_for(f"({js.status}).startsWith('Painted at 512') && !document.getElementById('png').disabled")


@pytest.mark.slow
def test_a_painting_can_be_stopped_and_begun_again(page: Page, tmp_path: Path) -> None:
    scene((2000, 1500)).save(tmp_path / "large.jpg")
    page.evaluate("document.getElementById('status').textContent = ''")
    page.choose_files("#file", tmp_path / "large.jpg")
    page.wait_for(js.settled)
    page.evaluate(js.value("size", 2000))
    page.wait_for(f"({js.status}).startsWith('Painting at 2000')")
    (tmp_path / "empty.png").touch()
    page.choose_files("#file", tmp_path / "empty.png")
    assert "is empty" in page.wait_for(js.trouble)
    assert page.evaluate(js.status).startswith("Painting at 2000")  # which goes on
    page.click("#go")
    page.wait_for(f"({js.status}) === 'Stopped.'")
    assert page.evaluate("document.getElementById('png').disabled")
    assert page.evaluate("document.getElementById('go').textContent") == "Paint"
    page.evaluate(js.value("size", 256))
    page.wait_for(f"({js.status}).startsWith('Painted at 256')")
    page.evaluate(js.value("size", 512))  # what other tests expect
    page.wait_for(f"({js.status}).startsWith('Painted at 512')")
    assert page.evaluate("document.getElementById('go').hidden")


def while_painting(page: Page, action: str) -> None:
    """Have something done the next time that painting begins, at once: it may take a few hundredths of a second."""
    page.evaluate(f"""(() => {{
        const status = document.getElementById('status');
        const looking = new MutationObserver(() => {{
            if (!status.textContent.startsWith('Painting')) return;
            looking.disconnect();
            setTimeout(() => {action});
        }});
        looking.observe(status, {{ childList: true, characterData: true, subtree: true }});
    }})()""")


def chosen(content: bytes, name: str) -> str:
    """To choose a file, from within the page."""
    return f"""(() => {{
        const bytes = Uint8Array.from(atob('{base64.b64encode(content).decode()}'), one => one.charCodeAt(0));
        const files = new DataTransfer();
        files.items.add(new File([bytes], '{name}'));
        const input = document.getElementById('file');
        input.files = files.files;
        input.dispatchEvent(new Event('change'));
    }})()"""


STOPPED = "document.getElementById('go').click()"


@pytest.mark.slow
def test_a_page_paints_on_without_the_server_though_its_worker_has_to_start_again(
    browser: Browser, site: Site, tmp_path: Path
) -> None:
    page = browser.page()
    with running(Server(site, 0)) as at:
        start(page, at)
    page.offline()
    small = io.BytesIO()
    scene((60, 40), seed=8).save(small, "PNG")
    # the other painting is given up, and its worker with it
    while_painting(page, chosen(small.getvalue(), "small.png"))
    scene((600, 400)).save(tmp_path / "first.png")
    page.choose_files("#file", tmp_path / "first.png")
    page.wait_for(f"({js.status}).startsWith('Painted at 60') || ({js.trouble})")
    assert page.evaluate(js.trouble) == ""
    assert page.errors == []


@pytest.mark.slow
@pytest.mark.parametrize("meanwhile", ["stopped", "broken", "smaller"])
def test_the_first_painting_is_shown_whatever_happens_meanwhile(
    meanwhile: str, browser: Browser, address: str, tmp_path: Path
) -> None:
    page = browser.page()
    start(page, address)
    actions = {"stopped": STOPPED, "broken": chosen(b"", "empty.png"), "smaller": js.value("size", 256)}
    while_painting(page, actions[meanwhile])
    scene((600, 400)).save(tmp_path / "first.png")
    page.choose_files("#file", tmp_path / "first.png")
    if meanwhile == "stopped":
        page.wait_for(f"({js.status}) === 'Stopped.'")
        page.click("#go")
    page.wait_for(js.painted)
    page.wait_for("Number(document.getElementById('split').value) < 90")
    assert ("is empty" in page.evaluate(js.trouble)) is (meanwhile == "broken")
    assert page.errors == []


def test_a_picture_can_be_pasted(page: Page, tmp_path: Path) -> None:
    picture = scene((30, 20), seed=5)
    content = io.BytesIO()
    picture.save(content, "PNG")
    page.evaluate("document.getElementById('status').textContent = ''")
    packed = base64.b64encode(content.getvalue()).decode()
    page.evaluate(f"""(async () => {{
        const bytes = Uint8Array.from(atob("{packed}"), (one) => one.charCodeAt(0));
        const held = new DataTransfer();
        held.items.add(new File([bytes], "image.png", {{ type: "image/png" }}));
        document.body.dispatchEvent(new ClipboardEvent("paste", {{ clipboardData: held, bubbles: true }}));
    }})()""")
    page.wait_for(js.settled)
    assert np.array_equal(canvas(page, "before"), np.asarray(picture))
    page.evaluate("dispatchEvent(new ClipboardEvent('paste', { clipboardData: new DataTransfer() }))")
    assert page.evaluate(js.trouble) == "The clipboard holds no picture."


def test_it_is_used_by_keyboard_and_told_to_screen_readers(page: Page, tmp_path: Path) -> None:
    scene((300, 200)).save(tmp_path / "photo.png")
    give(page, tmp_path / "photo.png")
    page.wait_for("document.getElementById('split').value === '25'")  # the painting has come in
    page.evaluate("document.getElementById('file').focus()")
    order = []
    for _ in range(6):
        page.press("Tab")
        order.append(page.evaluate("document.activeElement.id"))
    assert order == ["camera", "split", "size", "strength", "png", "jpeg"]
    page.evaluate("document.getElementById('split').focus()")
    page.press("ArrowRight", "ArrowRight", "End")
    assert page.evaluate("document.getElementById('stage').style.getPropertyValue('--split')") == "100%"
    page.press("Home")
    assert page.evaluate("document.getElementById('split').ariaValueText") == "0 % photo, 100 % painting"
    told = {(one["role"], one["name"]) for one in page.accessible()}
    assert {
        ("slider", "Where the photo ends and the painting begins"),
        ("slider", "Strength"),
        ("combobox", "Size"),
        ("button", "Download as PNG"),
        ("image", "painting"),
        ("heading", "Your photo, as a painting"),
    } <= told
    assert any(role == "status" for role, _ in told)


def test_everything_fits_on_a_phone(browser: Browser, address: str, tmp_path: Path) -> None:
    scene((300, 400)).save(tmp_path / "photo.png")
    page = browser.page(360, 780, touch=True)
    start(page, address)
    assert page.too_wide() == []
    give(page, tmp_path / "photo.png")
    page.evaluate("document.querySelector('details').open = true")
    colours = set()
    for dark in (False, True):
        page.look(dark=dark)
        assert page.too_wide() == []
        colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2
    page.wait_for("document.getElementById('split').value === '25'")
    page.drag("#split", 0.25, 0.75, touch=True)
    assert 70 < float(page.evaluate("document.getElementById('split').value")) < 80
    assert page.errors == []


def test_a_browser_without_webassembly_is_told(browser: Browser, address: str) -> None:
    page = browser.page()
    page.ask("Page.addScriptToEvaluateOnNewDocument", source="delete window.WebAssembly")
    page.go(address)
    assert "has no WebAssembly" in page.wait_for(js.trouble)
    assert page.errors == []


def test_a_browser_without_scripts_is_told(browser: Browser, address: str) -> None:
    page = browser.page(scripts=False)
    page.go(address)
    assert any("needs JavaScript" in (one["name"] or "") for one in page.accessible())


@pytest.mark.slow
def test_a_painter_that_cannot_be_started_is_told(browser: Browser, site: Site) -> None:
    content = site.files["painter.onnx"]
    torn = Site(site.files | {"painter.onnx": content[: len(content) // 2]})
    gone = Site({name: content for name, content in site.files.items() if name != "painter.onnx"})
    for files, reason in ((torn, "could not be started"), (gone, "is not there (404)")):
        page = browser.page()
        with running(Server(files, 0)) as at:
            start(page, at)
            assert reason in page.evaluate(js.trouble)


@pytest.mark.slow
def test_without_a_graphics_card_the_processor_paints(
    browser: Browser, address: str, paint: Callable[[Image.Image], Pixels], tmp_path: Path
) -> None:
    picture = scene((60, 60))
    picture.save(tmp_path / "photo.png")
    page = browser.page()
    page.go(address)
    assert page.wait_for(js.ready) == "wasm"
    give(page, tmp_path / "photo.png")
    assert apart(canvas(page, "after"), paint(picture)) < NEAR
    assert "on this device’s processor" in page.evaluate(js.status)
    assert all(one.startswith(NO_CARD) for one in page.errors)


class Plain(SimpleHTTPRequestHandler):
    """Hosts static files, below a path, without special headers; unpacks what ends in .gz, as some hosts do."""

    unpacks = False

    def log_message(self, *_: object) -> None: ...

    def end_headers(self) -> None:
        if self.unpacks and self.path.endswith(".gz"):
            self.send_header("Content-Encoding", "gzip")
        super().end_headers()


class Unpacking(Plain):
    unpacks = True


@pytest.mark.slow
def test_a_bundle_paints_below_any_path_and_opens_again_without_network(
    browser: Browser, painter: tuple[Painter, Path], paint: Callable[[Image.Image], Pixels], tmp_path: Path
) -> None:
    picture = scene((50, 70))
    picture.save(tmp_path / "photo.png")
    write_bundle(build_site(painter[1], kept=True), tmp_path / "pages" / "of" / "mine")
    page = browser.page()
    handler = functools.partial(Plain, directory=str(tmp_path / "pages"))
    with running(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as at:
        start(page, f"{at}of/mine/")
        assert not page.evaluate("crossOriginIsolated")
        give(page, tmp_path / "photo.png")
        assert apart(canvas(page, "after"), paint(picture)) < NEAR
        assert {urllib.parse.urlsplit(one).path.startswith("/of/mine/") for one in page.requests} == {True}
        page.wait_for("document.body.dataset.kept === 'yes'")
    # The host is gone: nothing but what was kept can be had.
    start(page, f"{at}of/mine/")
    while_painting(page, STOPPED)  # a worker is ended, and another begins
    page.choose_files("#file", tmp_path / "photo.png")
    page.wait_for(f"({js.status}) === 'Stopped.'")
    give(page, tmp_path / "photo.png")
    assert apart(canvas(page, "after"), paint(picture)) < NEAR
    assert [one for one in page.errors if "ERR_CONNECTION_REFUSED" not in one] == []


@pytest.mark.slow
def test_hosts_may_unpack_what_is_packed(browser: Browser, painter: tuple[Painter, Path], tmp_path: Path) -> None:
    write_bundle(build_site(painter[1], kept=True), tmp_path)
    page = browser.page()
    with running(ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Unpacking, directory=str(tmp_path)))) as at:
        start(page, at)
        assert page.evaluate(js.ready) == "wasm"


def test_the_camera_gives_a_picture(page: Page) -> None:
    page.evaluate("document.getElementById('status').textContent = ''")
    page.click("#camera")
    page.wait_for("document.getElementById('video').videoWidth")
    page.click("#take")
    page.wait_for(js.settled)
    assert canvas(page, "before").std() > 10  # Chromium's test picture
    assert page.evaluate("document.getElementById('video').srcObject === null")  # the camera is off


@pytest.mark.slow
def test_a_graphics_card_is_taken_if_its_painting_is_the_same(
    site: Site, paint: Callable[[Image.Image], Pixels], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The card is imitated, and so slower than WebAssembly: taken only if insisted on."""
    picture = scene((64, 48))
    picture.save(tmp_path / "photo.png")
    flags = [one for one in chromium.FLAGS if one != "--disable-gpu"]
    monkeypatch.setattr(chromium, "FLAGS", (*flags, *SLOW_CARD))
    strict = site.files["worker.js"].replace(b"const MEAN = 0.004", b"const MEAN = 0")
    assert strict != site.files["worker.js"]
    other = Site(site.files | {"worker.js": strict})
    with Browser.open() as browser:
        for files, backend, wanted in ((site, "webgpu", "webgpu"), (other, "webgpu", "wasm"), (site, "", "wasm")):
            with running(Server(files, 0)) as at:
                page = browser.page()
                start(page, at, backend=backend)
                assert page.evaluate(js.ready) == wanted
                why: Any = page.evaluate("document.body.dataset.why")
                assert ("differs from the processor's" in why) == (files is other)
                give(page, tmp_path / "photo.png")
                assert apart(canvas(page, "after"), paint(picture)) < NEAR
