"""A running Chromium: started in its box, watched, ended."""

import asyncio
import time
from collections.abc import Sequence

from deliberate.verifiers.browser.devtools import MAX_MESSAGE_BYTES, DevTools
from deliberate.verifiers.browser.errors import BrowserGone, BrowserMissing, Refused
from deliberate.verifiers.browser.processes import cpu_seconds, descendants, kill, private_bytes

LATELY_S = 0.4
START_S = 30.0
"""The first start on a busy machine reads 300 MB from the disk."""

# DevTools speaks through the files 3 and 4, which bubblewrap and the others pass on.
_WITH_PIPES = ("/bin/sh", "-c", 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null', "sh")


class Chromium:
    """One browser, its processes and the connection to it."""

    def __init__(self, process: asyncio.subprocess.Process, tools: DevTools) -> None:
        self.tools = tools
        self._process = process
        self._recent: list[int] = []
        self._recent_until = 0.0

    @classmethod
    async def start(cls, command: Sequence[str]) -> "Chromium":
        """Raises BrowserMissing when it does not come up."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *_WITH_PIPES, *command, stdin=pipe, stdout=pipe, stderr=pipe, limit=MAX_MESSAGE_BYTES
        )
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        last_words = asyncio.create_task(_last_words(process.stderr))
        browser = cls(process, DevTools(process.stdout, process.stdin))
        try:
            async with asyncio.timeout(START_S):
                await browser.tools.call("Browser.getVersion")
                await browser.tools.call("Target.setDiscoverTargets", discover=True)
        except (BrowserGone, Refused, TimeoutError) as error:
            await browser.close()
            said = await last_words
            raise BrowserMissing(f"the browser did not start: {said or type(error).__name__}") from error
        except asyncio.CancelledError:
            await browser.close()
            raise
        return browser

    @property
    def alive(self) -> bool:
        """It can open pages."""
        return not self.tools.gone and self._process.returncode is None

    def processes(self) -> list[int]:
        """Ids on the host of all that it runs."""
        return descendants(self._process.pid)

    def cpu_seconds(self) -> float:
        """Processor time that all its processes took so far."""
        return cpu_seconds(self._processes_lately())

    def largest(self) -> tuple[int, int]:
        """The process that holds most memory, and how many bytes."""
        sizes = {process: private_bytes(process) for process in self._processes_lately()}
        return max(sizes.items(), key=lambda item: item[1])

    def _processes_lately(self) -> list[int]:
        """Its processes of a moment ago: to find them takes long where many others run."""
        now = time.monotonic()
        if now >= self._recent_until:
            self._recent, self._recent_until = self.processes(), now + LATELY_S
        return self._recent

    async def close(self) -> None:
        """End all its processes. Killing the box's first process ends everything inside."""
        await self.tools.close()
        if self._process.returncode is None:
            for process in self.processes():
                kill(process)
        await self._process.wait()


async def _last_words(errors: asyncio.StreamReader) -> str:
    """The end of what it wrote, which it writes all the time."""
    tail = b""
    while chunk := await errors.read(1 << 16):
        tail = (tail + chunk)[-300:]
    return " ".join(tail.decode(errors="replace").split())
