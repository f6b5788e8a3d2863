"""Running strategies on scripted replies, for tests."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from deliberate.engines.protocol import Conversation, Sampling
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.search.budget import Limits
from deliberate.search.deliberation import Deliberation, prepare
from deliberate.search.events import Event
from deliberate.search.log import Log
from deliberate.search.strategy import Strategy
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.workers import WorkerPool

QUESTION = {"role": "user", "content": "?"}


@dataclass
class TableVerifier:
    """Scores by the candidate's text; a text that is not in the table cannot be judged."""

    scores: Mapping[str, float]
    asked: list[list[str]] = field(default_factory=list[list[str]])
    copies: list[list[int]] = field(default_factory=list[list[int]])
    judges: Judges = Judges.STEPS

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        self.asked.append([c.text for c in candidates])
        self.copies.append([c.copies for c in candidates])
        return [
            Verdict(self.scores[c.text]) if c.text in self.scores else Verdict.undecided("not in the table")
            for c in candidates
        ]


def table(scores: Mapping[str, float]) -> tuple[VerifierConfig, TableVerifier]:
    """A verifier config that builds a table verifier, and that verifier."""
    verifier = TableVerifier(scores)

    class TableConfig(VerifierConfig, frozen=True):
        kind: str = "table"

        def build(self, resources: Resources) -> TableVerifier:
            return verifier

    return TableConfig(), verifier


def _prepared(
    strategy: Strategy,
    engine: ScriptedEngine,
    verifier: VerifierConfig | None,
    sampling: Sampling,
    choices: int = 1,
    limits: Limits | None = None,
) -> Deliberation:
    return prepare(
        strategy,
        Conversation((QUESTION,)),
        sampling,
        Resources(WorkerPool(), {"policy": engine}, policy="policy"),
        limits=limits,
        default_verifier=verifier,
        choices=choices,
    )


async def search(
    strategy: Strategy,
    engine: ScriptedEngine,
    *,
    verifier: VerifierConfig | None = None,
    sampling: Sampling | None = None,
    choices: int = 1,
    limits: Limits | None = None,
) -> Log:
    """The whole log of one search."""
    log = Log()
    deliberation = _prepared(strategy, engine, verifier, sampling or Sampling(), choices, limits)
    async with aclosing(deliberation.events()) as events:
        async for event in events:
            log.add(event)
    return log


async def first_events(
    strategy: Strategy, engine: ScriptedEngine, count: int, *, verifier: VerifierConfig | None = None
) -> list[Event]:
    """The beginning of a search that is then abandoned."""
    seen: list[Event] = []
    async with aclosing(_prepared(strategy, engine, verifier, Sampling()).events()) as events:
        async for event in events:
            seen.append(event)
            if len(seen) == count:
                break
    return seen


def answers(*values: object) -> list[Reply | str]:
    """Replies that give these final answers."""
    return [f"<answer>{value}</answer>" for value in values]


def chosen_texts(log: Log) -> list[str]:
    """The answers of the reply, best first."""
    return [log.sample(choice.index).text for choice in log.chosen.choices]
