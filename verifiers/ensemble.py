"""Several verifiers as one: the weighted mean of their scores."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, Verifier, VerifierConfig

if TYPE_CHECKING:
    from deliberate.verifiers.protocol import VerifierConfig as AnyVerifier


class Ensemble(VerifierConfig, frozen=True):
    """The weighted mean of its members' scores; a list of verifiers in a request is short for it.

    It accepts when every member that accepts or rejects does accept. A member that could decide nothing of a batch is
    left out of the batch, and every reason names it; a candidate that any other member could not decide is undecided.
    """

    kind: Literal["ensemble"] = "ensemble"
    members: Annotated[tuple["AnyVerifier", ...], Field(min_length=1, max_length=16)]
    """Any verifiers, each with its `weight`."""

    def build(self, resources: Resources) -> "EnsembleVerifier":
        return EnsembleVerifier(tuple(Member(member, member.build(resources)) for member in self.members))

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"members": [member.describe() for member in self.members]}


@dataclass(frozen=True, slots=True)
class Member:
    config: VerifierConfig
    verifier: Verifier


@dataclass(frozen=True, slots=True)
class EnsembleVerifier:
    members: tuple[Member, ...]

    @property
    def judges(self) -> Judges:
        """What all members can judge of a candidate; step scores are not combined."""
        order = list(Judges)
        least = min(order.index(member.verifier.judges) for member in self.members)
        return order[min(least, order.index(Judges.PARTIAL))]

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(member.verifier.verify(problem, candidates)) for member in self.members]
        columns = [_Column(member.config, task.result()) for member, task in zip(self.members, tasks, strict=True)]
        deciding = [column for column in columns if column.decided_any]
        silent = [column for column in columns if not column.decided_any]
        return [_combined(deciding or columns, silent, row) for row in range(len(candidates))]


@dataclass(frozen=True, slots=True)
class _Column:
    """One member's verdicts on the batch."""

    config: VerifierConfig
    verdicts: list[Verdict]

    @property
    def decided_any(self) -> bool:
        return any(verdict.status == "ok" for verdict in self.verdicts)


def _combined(columns: list[_Column], silent: list[_Column], row: int) -> Verdict:
    notes = [f"{column.config.kind} left out: {column.verdicts[row].reason}" for column in silent]
    for column in columns:
        verdict = column.verdicts[row]
        if verdict.status != "ok":
            return Verdict.undecided(f"{column.config.kind}: {verdict.reason}", verdict.status)
    verdicts = [(column.config, column.verdicts[row]) for column in columns]
    total = sum(config.weight for config, _ in verdicts)
    score = sum(config.weight / total * (verdict.score or 0.0) for config, verdict in verdicts)
    opinions = [verdict.passed for _, verdict in verdicts if verdict.passed is not None]
    reasons = [f"{config.kind}: {verdict.reason or f'{verdict.score:.3g}'}" for config, verdict in verdicts]
    return Verdict(min(1.0, score), all(opinions) if opinions else None, (), "; ".join(reasons + notes))
