"""Several verifiers as one: the weighted mean of their scores."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from deliberate.verifiers.guard import build_guarded
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, Verifier, VerifierConfig

if TYPE_CHECKING:
    from deliberate.verifiers.protocol import VerifierConfig as AnyVerifier

_MEMBERS_TIME = 0.9
"""Share of the ensemble's time limit."""


class Ensemble(VerifierConfig, frozen=True):
    """The weighted mean of its members' scores; a list of verifiers in a request is short for it.

    It accepts when every member that accepts or rejects does accept. A member that could decide nothing of a batch is
    left out of the batch, and every reason names it; a candidate that any other member could not decide is undecided.
    """

    kind: Literal["ensemble"] = "ensemble"
    members: Annotated[tuple["AnyVerifier", ...], Field(min_length=1, max_length=16)]
    """Any verifiers, each with its `weight`."""
    complete: bool = False
    """No member is left out: where one could not decide, nothing is decided. For rewards, which would else be paid for
    the rest alone."""

    @property
    def compares(self) -> bool:
        return any(member.compares for member in self.members)

    @property
    def top_logprobs(self) -> int:
        return max(member.top_logprobs for member in self.members)

    def build(self, resources: Resources) -> "EnsembleVerifier":
        # Less time than the whole has, so that one that hangs is left out before all are cut off.
        lent = replace(resources, verifier_seconds=_MEMBERS_TIME * resources.verifier_seconds)
        members = tuple(Member(member, build_guarded(member, lent)) for member in self.members)
        return EnsembleVerifier(members, self.complete)

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"members": [member.describe() for member in self.members]}


@dataclass(frozen=True, slots=True)
class Member:
    config: VerifierConfig
    verifier: Verifier


@dataclass(frozen=True, slots=True)
class EnsembleVerifier:
    members: tuple[Member, ...]
    complete: bool = False

    @property
    def judges(self) -> Judges:
        """What all members can judge of a candidate; step scores are not combined."""
        order = list(Judges)
        least = min(order.index(member.verifier.judges) for member in self.members)
        return order[min(least, order.index(Judges.PARTIAL))]

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        shares = [_shares(candidate, len(self.members)) for candidate in candidates]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(member.verifier.verify(problem, [share[number] for share in shares]))
                for number, member in enumerate(self.members)
            ]
        columns = [_Column(member.config, task.result()) for member, task in zip(self.members, tasks, strict=True)]
        deciding = [column for column in columns if self.complete or column.decided_any]
        silent = [column for column in columns if column not in deciding]
        return [
            replace(_combined(deciding or columns, silent, row), evidence=_packed([c.verdicts[row] for c in columns]))
            for row in range(len(candidates))
        ]


@dataclass(frozen=True, slots=True)
class _Column:
    """One member's verdicts on the batch."""

    config: VerifierConfig
    verdicts: list[Verdict]

    @property
    def decided_any(self) -> bool:
        return any(verdict.status == "ok" for verdict in self.verdicts)


def _packed(verdicts: list[Verdict]) -> tuple[float, ...]:
    """The members' evidence in one: of each its length and its numbers."""
    if not any(verdict.evidence for verdict in verdicts):
        return ()
    return tuple(number for verdict in verdicts for number in (float(len(verdict.evidence)), *verdict.evidence))


def _shares(candidate: Candidate, members: int) -> list[Candidate]:
    """The candidate for each member, with what that one found earlier."""
    if candidate.earlier is None or not candidate.evidence:
        return [replace(candidate, earlier=None)] * members
    shares, rest = list[Candidate](), candidate.evidence
    for _ in range(members):
        end = 1 + int(rest[0])
        shares.append(replace(candidate, earlier=replace(candidate.earlier, evidence=rest[1:end])))
        rest = rest[end:]
    return shares


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
    # Members that looked at the same thing show the same picture.
    shown = tuple(dict.fromkeys(attachment for _, verdict in verdicts for attachment in verdict.attachments))
    passed = all(opinions) if opinions else None
    return Verdict(min(1.0, score), passed, (), "; ".join(reasons + notes), attachments=shown)
