"""Searches over steps on scripted answers, for tests: what was asked, what happened, and the tree that grew."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from deliberate.engines.protocol import Conversation, Sampling
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.search.budget import Limits
from deliberate.search.deliberation import Deliberation, prepare
from deliberate.search.events import PROMPT, Event, Expanded
from deliberate.search.log import Log
from deliberate.search.strategy import Strategy
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.workers import WorkerPool

WORKERS = WorkerPool()
SEPARATOR = "\n\n"


@dataclass
class StepJudge:
    """Scores a chain by a function of its text; None is undecided."""

    score: Callable[[str], float | None]
    asked: list[list[str]] = field(default_factory=list[list[str]])
    candidates: list[Candidate] = field(default_factory=list[Candidate])
    judges: Judges = Judges.STEPS

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        self.asked.append([candidate.text for candidate in candidates])
        self.candidates += candidates
        return [self._verdict(self.score(candidate.text)) for candidate in candidates]

    def _verdict(self, score: float | None) -> Verdict:
        return Verdict.undecided("no idea") if score is None else Verdict(score)


def judged_by(score: Callable[[str], float | None]) -> tuple[VerifierConfig, StepJudge]:
    """A verifier config that builds a step judge, and that judge."""
    judge = StepJudge(score)

    class JudgeConfig(VerifierConfig, frozen=True):
        kind: str = "judge"

        def build(self, resources: Resources) -> StepJudge:
            return judge

    return JudgeConfig(), judge


def by_place(replies: Mapping[str, Sequence[Reply | str]], **options: object) -> ScriptedEngine:
    """An engine whose next replies depend on the chain so far: those of a chain are given in turn, for ever.

    A reply to a chain that goes on ends in the separator, which is added here to texts that hold no `<answer>`.
    """
    given: dict[str, int] = {}

    def script(prompt: str, number: int) -> Reply:
        chain = prompt.partition("assistant: ")[2]
        turn = given[chain] = given.get(chain, -1) + 1
        reply = replies[chain][turn % len(replies[chain])]
        if isinstance(reply, Reply):
            return reply
        return Reply(reply if "<answer>" in reply else reply + SEPARATOR)

    return ScriptedEngine(script, **options)  # pyright: ignore[reportArgumentType]


def deliberation(
    strategy: Strategy,
    engine: ScriptedEngine,
    verifier: VerifierConfig | None,
    sampling: Sampling | None = None,
    limits: Limits | None = None,
) -> Deliberation:
    """A search that is ready to run."""
    return prepare(
        strategy,
        Conversation(({"role": "user", "content": "?"},)),
        sampling or Sampling(),
        Resources(WORKERS, {"policy": engine}, policy="policy"),
        default_verifier=verifier,
        limits=limits,
    )


async def grow(
    strategy: Strategy,
    engine: ScriptedEngine,
    verifier: VerifierConfig | None,
    sampling: Sampling | None = None,
    limits: Limits | None = None,
) -> Log:
    """The whole log of one search."""
    log = Log()
    async with aclosing(deliberation(strategy, engine, verifier, sampling, limits).events()) as events:
        async for event in events:
            log.add(event)
    return log


def tree_of(events: Sequence[Event]) -> dict[int, tuple[int, str]]:
    """Parent and text of each step, by its index."""
    return {event.index: (event.parent, event.step.text) for event in events if isinstance(event, Expanded)}


def first_steps(events: Sequence[Event]) -> list[int]:
    """The steps that follow the prompt."""
    return [index for index, (parent, _) in tree_of(events).items() if parent == PROMPT]
