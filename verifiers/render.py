"""The `render` verifier: does the reply's web page work, as a browser shows it?"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, Field, FiniteFloat, model_validator

from deliberate.verifiers.browser.candidate import Page, page_of
from deliberate.verifiers.browser.errors import BrowserMissing, Busy
from deliberate.verifiers.browser.modules import TO_INSTALL, asks_for_three
from deliberate.verifiers.browser.pool import BrowserPool
from deliberate.verifiers.browser.rendering import Rendering
from deliberate.verifiers.browser.scores import PARTS, Part
from deliberate.verifiers.browser.slot import Order
from deliberate.verifiers.browser.statics import Statics, statics
from deliberate.verifiers.protocol import Attachment, Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.workers import WorkerLost, WorkerPool

STATICS_S = 3.0
SHOWN = 120
"""Characters of a page's own words in a reason."""

PartName = Literal[
    "syntax",
    "errors",
    "drawing",
    "picture",
    "animation",
    "performance",
    "responsiveness",
    "interaction",
    "creativity",
]
Weight = Annotated[FiniteFloat, Field(ge=0, le=1_000)]
_STATIC = frozenset({"creativity"})
"""Parts that need no browser."""


class Parts(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """What is judged, and with which weight; a part of weight 0 is not."""

    syntax: Weight = 1.0
    """The markup is complete and every script can be read."""
    errors: Weight = 1.0
    """No uncaught error or rejection, no error in the console."""
    drawing: Weight = 1.0
    """WebGL draws on a canvas that can be seen."""
    picture: Weight = 1.0
    """The canvas is not blank."""
    animation: Weight = 1.0
    """What WebGL draws keeps changing."""
    performance: Weight = 1.0
    """Frames per second, relative to a calibration scene in the same browser just before."""
    responsiveness: Weight = 1.0
    """The canvas fits a window of another shape."""
    interaction: Weight = 1.0
    """Dragging, the wheel or keys change the picture, beyond how it moves by itself."""
    creativity: Weight = 0.0
    """How many kinds of geometries, materials, lights and techniques the source uses. It is read, not looked at: in
    training let a judge say instead."""

    @model_validator(mode="after")
    def _weighs_something(self) -> "Parts":
        if not self.weights:
            raise ValueError("at least one part needs a weight above 0")
        return self

    @property
    def weights(self) -> dict[str, float]:
        """By name, those above 0."""
        return {name: weight for name, weight in self if weight > 0}


class Render(VerifierConfig, frozen=True):
    """Shows the reply's web page, such as a three.js scene, in a contained browser without a network.

    The page is the last block of HTML, or of JavaScript, which gets a page around it; three.js comes from this machine
    at any of the usual addresses, in the version installed here, and nothing else can be loaded. The score is the
    weighted mean of `parts`; a page that hangs, crashes, takes too much memory or leaves scores 0, and so does a
    reply without a page or with one that is too large. Where no browser can run nothing is decided. Several of these
    with the same page and limits share one visit, so that every part can stand in a list with a weight of its own.
    """

    kind: Literal["render"] = "render"
    parts: Parts = Parts()
    """Weights of the parts of the score."""
    required: tuple[PartName, ...] = ("syntax", "errors", "drawing", "picture")
    """Parts that must score 1 for the candidate to pass; of these only those with a weight."""
    max_bytes: Annotated[int, Field(ge=1, le=2_000_000)] = 500_000
    """Largest page, in UTF-8."""
    max_memory_mb: Annotated[int, Field(ge=256, le=4_096)] = 1_024
    """Most memory that the page may take, in MiB."""
    timeout_s: Annotated[FiniteFloat, Field(gt=0, le=60)] = 20.0
    """Seconds for one page. One that needs more of an idle machine scores 0."""

    def build(self, resources: Resources) -> "RenderVerifier":
        return RenderVerifier(self, resources.workers, resources.browsers)


@dataclass(frozen=True, slots=True)
class RenderVerifier:
    config: Render
    workers: WorkerPool
    browsers: BrowserPool | None

    judges = Judges.OUTCOME

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        return list(await asyncio.gather(*(self._judge(candidate.text) for candidate in candidates)))

    async def _judge(self, text: str) -> Verdict:
        page = await asyncio.to_thread(page_of, text)
        if page is None:
            return Verdict.decided(False, "no web page found")
        size = len(page.html.encode(errors="replace"))
        if size > self.config.max_bytes:
            return Verdict.decided(False, f"the page has {size} bytes, more than {self.config.max_bytes}")
        if not page.whole:
            return Verdict.decided(False, "the reply ends within the page")
        try:
            return await self._visit(page)
        except (BrowserMissing, WorkerLost) as error:
            return Verdict.undecided(f"not shown: {error}")
        except Busy as error:
            return Verdict.undecided(f"not shown: {error}", "timeout")

    async def _visit(self, page: Page) -> Verdict:
        try:
            static = await self.workers.run(STATICS_S, statics, page.html)
        except (TimeoutError, MemoryError, RecursionError):
            static = Statics("the markup cannot be read", ())
        return self._verdict(static, await self._shown(page.html))

    async def _shown(self, html: str) -> Rendering:
        if self.config.parts.weights.keys() <= _STATIC:
            return Rendering()
        if self.browsers is None:
            raise BrowserMissing("this server has no browsers")
        if asks_for_three(html) and await asyncio.to_thread(self.browsers.library) is None:
            raise BrowserMissing(TO_INSTALL)
        performance = "performance" in self.config.parts.weights
        order = Order(html, performance, self.config.timeout_s, self.config.max_memory_mb << 20)
        return await self.browsers.render(order)

    def _verdict(self, static: Statics, seen: Rendering) -> Verdict:
        attachments = () if seen.screenshot is None else (Attachment.of("screenshot", "image/jpeg", seen.screenshot),)
        if seen.fault is not None:
            told = f" ({seen.errors[0]!r:.{SHOWN}})" if seen.errors else ""
            return Verdict(0.0, False, (), seen.fault + told, attachments=attachments)
        weights = self.config.parts.weights
        parts = {name: PARTS[name](static, seen) for name in weights}
        score = sum(weights[name] * part.score for name, part in parts.items()) / sum(weights.values())
        passed = all(parts[name].score == 1 for name in self.config.required if name in parts)
        return Verdict(min(1.0, score), passed, (), _reason(parts, seen), attachments=attachments)


def _reason(parts: dict[str, Part], seen: Rendering) -> str:
    said = [
        f"{name} {part.score:.2g}" + (f" ({part.found:.{SHOWN}})" if part.found else "") for name, part in parts.items()
    ]
    refused = [f"not loaded: {seen.refused[0]!r:.{SHOWN}}"] if seen.refused else []
    return ", ".join(said + refused)
