"""One page of a stranger, alone in a fresh browser context: what it asks for, what goes wrong, what it shows.

All its requests are answered here: itself once, three.js, and for everything else a failure. What it must not have
besides (dialogs, downloads, windows of its own) is refused.
"""

import asyncio
import base64
import secrets
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from deliberate.verifiers.browser.chromium import Chromium
from deliberate.verifiers.browser.errors import BrowserMissing, Fault
from deliberate.verifiers.browser.modules import ORIGIN, Library

PAGE = f"{ORIGIN}/"
CALIBRATION = f"{ORIGIN}/calibration"
CALIBRATE_MS = 200
WIDTH, HEIGHT = 640, 480
"""Of the window: without a GPU every pixel is a processor's work."""

MOST_DIALOGS = 100
MOST_ERRORS = 20
MOST_CHARACTERS = 300
"""Of one error."""

# A second fence: the host refuses all this too, and the box has no network.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob: https:; "
    "style-src 'unsafe-inline' https:; "
    "img-src data: blob:; font-src data:; media-src data: blob:; connect-src data: blob:; worker-src blob:; "
    "frame-src 'none'; form-action 'none'; base-uri 'none'; webrtc 'block'"
)

_HERE = Path(__file__).parent
_HTML = "text/html; charset=utf-8"


class Tab:
    """A page, from the calibration page, which is ours (`open`), to its end (`close`)."""

    def __init__(self, browser: Chromium, library: Library | None) -> None:
        self.errors: list[str] = []
        """Uncaught errors and what the console calls errors, each once."""
        self.refused: list[str] = []
        """Addresses that the page asked for and did not get."""
        self.loaded = asyncio.Event()
        """The page and what it is made of are there."""
        self.fault: asyncio.Future[Fault] = asyncio.get_running_loop().create_future()
        """Set when the page is lost, by its own fault."""
        self._dialogs = 0
        self._tools = browser.tools
        self._library = library
        self._probe = f"probe_{secrets.token_hex(16)}"
        self._page: bytes | None = None
        self._context = self._target = self._session = ""

    async def open(self) -> None:
        """Make ready for a page, and show the calibration page meanwhile.

        Raises BrowserGone, Refused; BrowserMissing where nothing can be drawn.
        """
        self._context = (await self._tools.call("Target.createBrowserContext", disposeOnDetach=True))[
            "browserContextId"
        ]
        self._tools.listen("", self._on_browser)
        where = {"browserContextId": self._context, "width": WIDTH, "height": HEIGHT}
        self._target = (await self._tools.call("Target.createTarget", url="about:blank", **where))["targetId"]
        attached = await self._tools.call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        self._tools.listen(self._session, self._on_page)
        source = _probe().replace("PROBE", self._probe)
        await asyncio.gather(
            self._tools.call("Browser.setDownloadBehavior", behavior="deny", browserContextId=self._context),
            self.call("Page.enable"),
            self.call("Runtime.enable"),
            self.call("Fetch.enable", patterns=[{"urlPattern": "*"}]),
            self.call("Page.addScriptToEvaluateOnNewDocument", source=source),
            self.resize(WIDTH, HEIGHT),
        )
        await self.call("Page.navigate", url=CALIBRATION)
        await self.loaded.wait()
        answer = await self.call("Runtime.evaluate", expression="gl !== null && !gl.isContextLost()")
        if answer["result"].get("value") is not True:
            raise BrowserMissing("the browser draws no WebGL here")

    async def calibrate(self) -> float:
        """Frames per second of the calibration page, now."""
        how = {"awaitPromise": True, "returnByValue": True}
        answer = await self.call("Runtime.evaluate", expression=f"rate({CALIBRATE_MS})", **how)
        return float(answer["result"]["value"])

    async def load(self, page: str) -> None:
        """Begin to load the page."""
        self._page = page.encode(errors="replace")
        self.loaded.clear()
        await self.call("Page.navigate", url=PAGE)

    async def call(self, method: str, /, **parameters: Any) -> dict[str, Any]:
        """A DevTools command to the page. Raises BrowserGone, Refused."""
        return await self._tools.call(method, self._session, **parameters)

    async def resize(self, width: int, height: int) -> None:
        """Give the page another window, in pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    async def read(self) -> str:
        """What the probe saw, in its own words."""
        return await self._ask("read()") or "0"

    async def hidden_errors(self, count: int) -> list[str]:
        """The first uncaught errors, also those that the page keeps from the console."""
        return [error for number in range(min(count, MOST_ERRORS)) if (error := await self._ask(f"error({number})"))]

    async def close(self) -> None:
        """Drop the page with all that it stored."""
        self._tools.forget(self._session)
        self._tools.forget("")
        await self._tools.call("Target.disposeBrowserContext", browserContextId=self._context)

    async def _ask(self, what: str) -> str:
        answer = await self.call("Runtime.evaluate", expression=f"{self._probe}.{what}", returnByValue=True)
        value = answer["result"].get("value")
        return value if isinstance(value, str) else ""

    def _lost(self, why: str) -> None:
        if not self.fault.done():
            self.fault.set_result(Fault(why))

    def _on_browser(self, method: str, event: Mapping[str, Any]) -> None:
        if method == "Target.targetCreated":
            target = event["targetInfo"]
            own = target.get("browserContextId") == self._context
            if own and target["type"] == "page" and self._target not in ("", target["targetId"]):
                self._tools.begin("Target.closeTarget", targetId=target["targetId"])
        elif method == "Target.targetCrashed" and event["targetId"] == self._target:
            self._lost("the page crashed")

    def _on_page(self, method: str, event: Mapping[str, Any]) -> None:
        match method:
            case "Fetch.requestPaused":
                self._answer(event["requestId"], event["request"]["url"])
            case "Page.loadEventFired":
                self.loaded.set()
            case "Page.frameNavigated" if "parentId" not in event["frame"]:
                if event["frame"]["url"] not in (PAGE, CALIBRATION):
                    self._lost("the page goes elsewhere")
            case "Page.javascriptDialogOpening":
                self._dialogs += 1
                self._tools.begin("Page.handleJavaScriptDialog", self._session, accept=False)
                if self._dialogs > MOST_DIALOGS:
                    self._lost("the page opens one dialog after the other")
            case "Inspector.targetCrashed":
                self._lost("the page crashed")
            case "Runtime.exceptionThrown":
                self._error(_thrown(event["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if event["type"] == "error":
                self._error(" ".join(map(_shown, event["args"])))
            case _:
                pass

    def _error(self, text: str) -> None:
        text = " ".join(text[: 4 * MOST_CHARACTERS].split())[:MOST_CHARACTERS]
        if len(self.errors) < MOST_ERRORS and text not in self.errors:
            self.errors.append(text)

    def _answer(self, request: str, url: str) -> None:
        if url == CALIBRATION:
            self._fulfil(request, _HTML, _base64(_calibration()))
            return
        if url == PAGE and self._page is not None:
            page, self._page = self._page, None
            self._fulfil(request, _HTML, base64.b64encode(page).decode())
            return
        if url == PAGE:
            self._lost("the page loads itself again")
        script = _encoded(self._library, url)
        if script is not None:
            self._fulfil(request, "text/javascript; charset=utf-8", script)
            return
        if not url.endswith("/favicon.ico") and len(self.refused) < MOST_ERRORS:
            self.refused.append(url[:MOST_CHARACTERS])
        self._tools.begin("Fetch.failRequest", self._session, requestId=request, errorReason="AccessDenied")

    def _fulfil(self, request: str, content_type: str, body: str) -> None:
        headers = {"content-type": content_type, "access-control-allow-origin": "*", "content-security-policy": _POLICY}
        listed = [{"name": name, "value": value} for name, value in headers.items()]
        self._tools.begin(
            "Fetch.fulfillRequest",
            self._session,
            requestId=request,
            responseCode=200,
            responseHeaders=listed,
            body=body,
        )


def _thrown(details: Mapping[str, Any]) -> str:
    exception = details.get("exception", {})
    # Of a stack trace, the first line; the text alone says only that something was uncaught.
    lines = str(exception.get("description") or exception.get("value") or "").splitlines()
    return f"{details['text']} {lines[0] if lines else ''}"


def _shown(argument: Mapping[str, Any]) -> str:
    return str(argument.get("value", argument.get("description", "")))[:MOST_CHARACTERS]


def _encoded(library: Library | None, url: str) -> str | None:
    script = None if library is None else library.answer(url)
    return None if script is None else _base64(script)


@lru_cache(maxsize=16)
def _base64(script: bytes) -> str:
    return base64.b64encode(script).decode()


@cache
def _probe() -> str:
    return (_HERE / "probe.js").read_text(encoding="utf-8")


@cache
def _calibration() -> bytes:
    return (_HERE / "calibration.html").read_bytes()
