"""What a search may spend: tokens, candidates, time. Enforced in the middle of a step, for every strategy alike."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from time import perf_counter
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from deliberate.engines.passing import PassingEngine
from deliberate.engines.protocol import Delta, Engine, Finish, Prompt, Sampling
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Verdict, Verifier

Limit: TypeAlias = Literal["max_candidates", "max_tokens_total", "deadline_s"]

_CUT = "cut by the budget"
_JUDGING = 0.1
"""Share of the time that is kept for judging, where a verifier does: an answer that nobody judged is of little use."""


class Limits(BaseModel):
    """Where a search ends at the latest. The best answer until then is the reply, which says what ended it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    max_candidates: Annotated[int, Field(ge=1)] | None = None
    """Whole candidates: a search over steps ends with this many."""
    max_tokens_total: Annotated[int, Field(ge=1)] | None = None
    """New tokens of all candidates and steps together, those that were dropped too."""
    deadline_s: Annotated[FiniteFloat, Field(gt=0)] | None = None
    """Seconds from the request's arrival."""


class Budget:
    """What is left of the limits. Time counts from `start` (by `perf_counter`), or from now.

    With `judges`, nothing is generated in the last tenth of the time, which is the verifier's.
    """

    def __init__(self, limits: Limits | None = None, start: float | None = None, *, judges: bool = False) -> None:
        self.limits = limits or Limits()
        self.ended: Limit | None = None
        """The limit that was reached first."""
        self.tokens = 0
        """Spent so far."""
        self._candidates = 0
        seconds = self.limits.deadline_s
        start = perf_counter() if start is None else start
        self._deadline = None if seconds is None else start + seconds
        self._judging = 0.0 if seconds is None or not judges else _JUDGING * seconds
        self._waiting: set[asyncio.Timeout] = set()

    def spend(self, tokens: int) -> None:
        """Count new tokens."""
        self.tokens += tokens
        limit = self.limits.max_tokens_total
        if limit is not None and self.tokens >= limit:
            self.end("max_tokens_total")

    def admit_candidate(self) -> bool:
        """Count one more whole candidate; False where there are enough."""
        if self.ended == "max_candidates":
            return False
        self._candidates += 1
        if self._candidates == self.limits.max_candidates:
            self.end("max_candidates")
        return True

    def end(self, limit: Limit) -> None:
        """Nothing is generated from here on; what waits for tokens is woken."""
        if self.ended is not None:
            return
        self.ended = limit
        for timeout in self._waiting:
            if not timeout.expired():
                timeout.reschedule(asyncio.get_running_loop().time())

    async def wait(self, deltas: AsyncGenerator[Delta, None]) -> Delta | None:
        """The next delta; None where the budget ends first. Raises StopAsyncIteration at the end."""
        if self.ended is not None:
            return None
        timeout = asyncio.timeout(self.seconds_left(self._judging))
        try:
            async with timeout:
                self._waiting.add(timeout)
                return await anext(deltas)
        except TimeoutError:
            if not timeout.expired():
                raise
            self.end("deadline_s")
            return None
        finally:
            self._waiting.discard(timeout)

    def seconds_left(self, less: float = 0.0) -> float | None:
        """Until so much before the deadline; None without one."""
        return None if self._deadline is None else max(0.0, self._deadline - less - perf_counter())

    def describe(self) -> str:
        """What ended the search, in a sentence; it has ended."""
        assert self.ended is not None, "only of a budget that ended"
        return f"{self.ended} = {getattr(self.limits, self.ended):.10g} was reached"


def was_cut(finish: Finish) -> bool:
    """Whether the budget ended this sample."""
    return finish.detail == _CUT


class BudgetedEngine(PassingEngine):
    """An engine whose samples end, as if by length, where the budget does."""

    def __init__(self, engine: Engine, budget: Budget) -> None:
        super().__init__(engine)
        self._budget = budget

    async def generate(self, prompt: Prompt, sampling: Sampling, n: int = 1) -> AsyncGenerator[Delta, None]:
        if self._budget.limits.max_tokens_total is not None:
            sampling = sampling.model_copy(update={"stream_interval": 1})
        running = dict.fromkeys(range(n))
        async with aclosing(self._behind.generate(prompt, sampling, n)) as deltas:
            while running and (delta := await self._budget.wait(deltas)) is not None:
                self._budget.spend(len(delta.token_ids) + delta.unseen_tokens)
                if delta.finish is not None:
                    del running[delta.index]
                yield delta
        for index in running:
            yield Delta(index, finish=Finish("length", detail=_CUT))


@dataclass(frozen=True, slots=True)
class BudgetedVerifier:
    """A verifier that has decided nothing where the deadline passes first."""

    verifier: Verifier
    budget: Budget

    @property
    def judges(self) -> Judges:
        return self.verifier.judges

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        timeout = asyncio.timeout(self.budget.seconds_left())
        try:
            async with timeout:
                return await self.verifier.verify(problem, candidates)
        except TimeoutError:
            if not timeout.expired():
                raise
            return [Verdict.undecided("the deadline passed", "timeout")] * len(candidates)
