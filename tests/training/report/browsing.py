"""A real browser that opens a report from the disk."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from deliberate.verifiers.browser.chromium import Chromium
from deliberate.verifiers.browser.containment import browser_command


class Opened:
    """A page in a tab."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self._session = session
        self._loaded = asyncio.Event()
        self.wrong: list[str] = []
        """Uncaught errors, what the console calls errors, and what the page's policy refused."""
        self.asked: list[str] = []
        """Addresses of all requests."""
        browser.tools.listen(session, self._hear)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await self._browser.tools.call(method, self._session, **parameters)

    async def load(self, address: str) -> None:
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=address)
        await asyncio.wait_for(self._loaded.wait(), 30)
        await self.value("new Promise(done => requestAnimationFrame(() => setTimeout(() => done(0), 50)))")

    async def value(self, expression: str) -> Any:
        """What an expression is worth in the page."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def _hear(self, method: str, event: Mapping[str, Any]) -> None:
        match method:
            case "Page.loadEventFired":
                self._loaded.set()
            case "Network.requestWillBeSent":
                self.asked.append(event["request"]["url"])
            case "Runtime.exceptionThrown" | "Log.entryAdded":
                self.wrong.append(json.dumps(event))
            case "Runtime.consoleAPICalled" if event["type"] == "error":
                self.wrong.append(json.dumps(event["args"]))
            case "Page.javascriptDialogOpening":
                self.wrong.append(f"a dialog: {event['message']}")
                self._browser.tools.begin("Page.handleJavaScriptDialog", self._session, accept=False)
            case _:
                pass


@asynccontextmanager
async def opened(path: Path, *, width: int = 1200, height: int = 900) -> AsyncGenerator[Opened]:
    """The report, shown."""
    browser = await Chromium.start(await asyncio.to_thread(browser_command, 0, contained=False))
    try:
        size = {"newWindow": True, "width": width, "height": height}
        target = await browser.tools.call("Target.createTarget", url="about:blank", **size)
        attached = await browser.tools.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Opened(browser, attached["sessionId"])
        await page.load(path.as_uri())
        yield page
    finally:
        await browser.close()
