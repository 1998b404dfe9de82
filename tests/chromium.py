"""A real browser for tests: headless Chromium, driven through two pipes by its DevTools protocol; no library needed.

`with Browser.open() as browser:` starts one, `page = browser.page(360, 800, dark=True)` is a tab of it; then
`page.go(path.as_uri())`, `page.evaluate("document.title")`, `page.press("ArrowRight")` and so on, and at the end
`page.errors == []` and `page.requests == [...]` tell that nothing went wrong and nobody was asked for anything.
"""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 60.0
"""Seconds to wait for an answer; a machine that is busy with other tests may be slow."""

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # it cannot be had as root, nor in most containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--no-first-run",
    "--no-default-browser-check",
    # it is to ask the network for nothing of its own
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--remote-debugging-pipe",
)

# Chromium reads commands from descriptor 3 and writes answers to 4; both are moved out of the way first, since either
# may be one of these two.
AS_THREE_AND_FOUR = """
import fcntl, os, sys
reads, writes = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(reads, 3)
os.dup2(writes, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""

KEYS = {
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Home": 36,
    "End": 35,
    "PageUp": 33,
    "PageDown": 34,
    "Tab": 9,
    "Enter": 13,
    "Escape": 27,
    " ": 32,
}
"""Names of keys, and the numbers that browsers still want with them."""


def find_browser() -> str | None:
    """The program, or None where there is none."""
    return os.environ.get("CYCLESTYLE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


needs_chromium = pytest.mark.skipif(
    find_browser() is None or sys.platform == "win32",
    reason=f"no Chromium here (looked for {', '.join(NAMES)}, and CYCLESTYLE_CHROMIUM)",
)


class Browser:
    """A running Chromium with a profile of its own."""

    def __init__(self, program: str, profile: Path) -> None:
        to_browser, self.outgoing = os.pipe()
        self.incoming, from_browser = os.pipe()
        command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        environment = {name: value for name, value in os.environ.items() if not name.endswith("_proxy")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", AS_THREE_AND_FOUR, str(to_browser), str(from_browser), *command],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment | {"HOME": str(profile)},
            start_new_session=True,  # so that its children can be ended with it
        )
        os.close(to_browser)
        os.close(from_browser)
        self.count, self.answers, self.pages = 0, dict[int, dict[str, Any]](), dict[str, Page]()
        self.events: list[dict[str, Any]] = []
        self.news, self.ended = threading.Condition(), False
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    @classmethod
    @contextlib.contextmanager
    def open(cls) -> Iterator["Browser"]:
        """Start one, and end it with all that it started."""
        program = find_browser()
        assert program is not None
        with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
            browser = cls(program, Path(profile))
            try:
                yield browser
            finally:
                browser.close()

    def close(self) -> None:
        """End it; there is nothing in its profile worth a farewell."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.outgoing)
        self.listener.join(timeout=10)

    def _listen(self) -> None:
        """Take in what the browser says: answers by their number, and events."""
        rest = b""
        with os.fdopen(self.incoming, "rb", buffering=0) as pipe:
            while piece := pipe.read(1 << 16):
                *whole, rest = (rest + piece).split(b"\0")
                with self.news:
                    for message in map(json.loads, whole):
                        self._take(message)
                    self.news.notify_all()
        with self.news:
            self.ended = True
            self.news.notify_all()

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self.answers[message["id"]] = message
        else:
            self.events.append(message)
            page = self.pages.get(message.get("sessionId", ""))
            if page is not None:
                page.note(message["method"], message["params"])

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The answer to a command of the protocol."""
        self.count += 1
        number = self.count
        message = {"id": number, "method": method, "params": parameters}
        os.write(self.outgoing, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        with self.news:
            came = self.news.wait_for(lambda: number in self.answers or self.ended, PATIENCE)
            assert came, f"Chromium did not answer {method} in {PATIENCE:.0f} s"
            assert number in self.answers, f"Chromium ended at {method}"
            answer = self.answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def page(
        self, width: int = 1280, height: int = 900, *, dark: bool = False, touch: bool = False, scripts: bool = True
    ) -> "Page":
        """A new page of so many CSS pixels; `touch`: as on a phone."""
        context = self.ask("Target.createBrowserContext")["browserContextId"]
        target = self.ask("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self.pages[session] = Page(self, session, context)
        for part in ("Page", "Runtime", "Network", "Log", "DOM"):
            page.ask(f"{part}.enable")
        page.ask("Page.setLifecycleEventsEnabled", enabled=True)
        page.resize(width, height, touch=touch)
        page.look(dark=dark)
        if not scripts:
            page.ask("Emulation.setScriptExecutionDisabled", value=True)
        return page

    def close_pages(self) -> None:
        """Close all pages, and forget what belonged to them alone."""
        for page in list(self.pages.values()):
            page.close()


class Page:
    """One tab, and what went on in it."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self.browser, self.session, self.context = browser, session, context
        self.errors: list[str] = []
        """What the console holds of errors and warnings: of scripts, of the network, of the content policy."""
        self.requests: list[str] = []
        """Everything that was asked for, but for what a page carries inside (data: and blob:)."""
        self.loaded = 0

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command of the protocol, about this page."""
        return self.browser.ask(method, self.session, **parameters)

    def close(self) -> None:
        """Close it, and its cookies, storage and workers with it."""
        del self.browser.pages[self.session]
        self.browser.ask("Target.disposeBrowserContext", browserContextId=self.context)

    def note(self, method: str, told: dict[str, Any]) -> None:
        """Take in an event."""
        if method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in {"error", "warning", "assert"}:
            self.errors.append(" ".join(str(one.get("value", one.get("description"))) for one in told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in {"error", "warning"}:
            self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}".strip())
        elif method == "Network.requestWillBeSent" and not told["request"]["url"].startswith(("data:", "blob:")):
            self.requests.append(told["request"]["url"])
        elif method == "Page.lifecycleEvent" and told["name"] == "load":
            self.loaded += 1

    def go(self, url: str) -> None:
        """Open an address, and wait until everything of it is loaded."""
        before = self.loaded
        answer = self.ask("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        with self.browser.news:
            assert self.browser.news.wait_for(lambda: self.loaded > before, PATIENCE), f"{url} was not loaded"

    def resize(self, width: int, height: int, *, touch: bool = False) -> None:
        """Another size, in CSS pixels."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.ask("Emulation.setTouchEmulationEnabled", enabled=touch)

    def look(self, *, dark: bool = False, media: str = "") -> None:
        """Light or dark, on a screen or in `print`."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def evaluate(self, script: str) -> Any:
        """The value of an expression (also of a promise, once it is kept), as JSON has it."""
        answer = self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, script: str) -> Any:
        """The value of an expression as soon as it is true."""
        return self.evaluate(
            f"""new Promise((keep, fail) => {{
                const began = Date.now();
                (function look() {{
                    const value = (() => {script})();
                    if (value) keep(value);
                    else if (Date.now() - began > {1000 * PATIENCE - 5000}) fail(new Error("never true"));
                    else setTimeout(look, 20);
                }})();
            }})"""
        )

    def press(self, *keys: str) -> None:
        """Press keys by their names (KEYS), or letters, one after the other."""
        for key in keys:
            more: dict[str, Any] = {"key": key, "code": "Space" if key == " " else key}
            more |= {"windowsVirtualKeyCode": KEYS[key]} if key in KEYS else {}
            text = {"Enter": "\r", " ": " "}.get(key) or (key if len(key) == 1 else None)
            self.ask("Input.dispatchKeyEvent", type="keyDown", **more, **({"text": text} if text else {}))
            self.ask("Input.dispatchKeyEvent", type="keyUp", **more)

    def place(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of the first element that a selector finds, scrolled into view."""
        found = self.evaluate(
            f"""(() => {{
                const found = document.querySelector({json.dumps(selector)});
                found.scrollIntoView({{block: "center", behavior: "instant"}});
                const box = found.getBoundingClientRect();
                return [box.left, box.top, box.width, box.height];
            }})()"""
        )
        return tuple(found)

    def click(self, selector: str) -> None:
        """Click into the middle of an element."""
        left, top, width, height = self.place(selector)
        at = {"x": left + width / 2, "y": top + height / 2, "button": "left", "clickCount": 1}
        self.ask("Input.dispatchMouseEvent", type="mousePressed", **at)
        self.ask("Input.dispatchMouseEvent", type="mouseReleased", **at)

    def drag(self, selector: str, start: float, end: float, *, touch: bool = False) -> None:
        """Drag across an element, from one share of its width to another, half way down."""
        left, top, width, height = self.place(selector)
        steps = [(left + width * (start + (end - start) * part / 5), top + height / 2) for part in range(6)]
        if touch:
            for kind, points in [("touchStart", steps[:1]), *(("touchMove", [at]) for at in steps[1:])]:
                at = [{"x": x, "y": y} for x, y in points]
                self.ask("Input.dispatchTouchEvent", type=kind, touchPoints=at)
            self.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
            return
        kinds = ["mousePressed", *["mouseMoved"] * 5, "mouseReleased"]
        for kind, (x, y) in zip(kinds, [*steps, steps[-1]], strict=True):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def choose_files(self, selector: str, *files: Path) -> None:
        """Give files to an `input type=file`."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.ask("DOM.setFileInputFiles", nodeId=node, files=[str(file.absolute()) for file in files])

    def drop_files(self, selector: str, *files: Path) -> None:
        """Drop files onto an element, as from a file manager."""
        left, top, width, height = self.place(selector)
        data = {"items": [], "files": [str(file.absolute()) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.ask("Input.dispatchDragEvent", type=kind, x=left + width / 2, y=top + height / 2, data=data)

    def download_to(self, folder: Path) -> None:
        """Put what is downloaded into a folder."""
        self.browser.ask(
            "Browser.setDownloadBehavior",
            behavior="allow",
            browserContextId=self.context,
            downloadPath=str(folder.absolute()),
        )

    def offline(self, yes: bool = True) -> None:
        """Cut the network, or mend it."""
        self.ask("Network.emulateNetworkConditions", offline=yes, latency=0, downloadThroughput=-1, uploadThroughput=-1)

    def too_wide(self) -> list[str]:
        """Elements that reach beyond the right edge and cannot be scrolled to in a box of their own."""
        return self.evaluate(
            """(() => {
                const room = document.documentElement.clientWidth;
                const scrolled = (one) => one && (["auto", "scroll", "hidden", "clip"].includes(
                    getComputedStyle(one).overflowX) || scrolled(one.parentElement));
                const wide = [...document.body.querySelectorAll("*")].filter((one) =>
                    one.getBoundingClientRect().right > room + 1 && !scrolled(one.parentElement));
                const all = document.documentElement.scrollWidth > room ? ["the whole page"] : [];
                const told = (one) => `${one.tagName} ${one.className} ${one.textContent.slice(0, 40)}`;
                return [...all, ...wide.map(told)];
            })()"""
        )

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of what is seen, or of the whole page."""
        answer = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        path.write_bytes(base64.b64decode(answer["data"]))

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def print_to(self, path: Path) -> None:
        """The page as a PDF."""
        path.write_bytes(base64.b64decode(self.ask("Page.printToPDF", printBackground=True)["data"]))

    def accessible(self) -> list[dict[str, Any]]:
        """What a screen reader is told: role, name and value of each node that is not ignored, in reading order."""
        nodes = self.ask("Accessibility.getFullAXTree")["nodes"]
        return [
            {part: node.get(part, {}).get("value") for part in ("role", "name", "value")}
            | {"properties": {one["name"]: one["value"].get("value") for one in node.get("properties", [])}}
            for node in nodes
            if not node["ignored"]
        ]
