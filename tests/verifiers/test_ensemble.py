import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pytest
from pydantic import ValidationError

from deliberate.verifiers.ensemble import Ensemble, EnsembleVerifier, Member
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.registry import parse_verifier


class Fixed(VerifierConfig, frozen=True):
    """Says what it is told."""

    kind: Literal["fixed"] = "fixed"
    judges: ClassVar[Judges] = Judges.STEPS

    def build(self, resources: Resources) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class Says:
    verdicts: list[Verdict]
    judges: Judges = Judges.STEPS

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        return self.verdicts


async def judge(*members: tuple[float, list[Verdict]]) -> list[Verdict]:
    verifier = EnsembleVerifier(tuple(Member(Fixed(weight=weight), Says(verdicts)) for weight, verdicts in members))
    return await verifier.verify(Problem(()), [Candidate("") for _ in members[0][1]])


GRADE, NO, YES = Verdict(0.5, reason="half"), Verdict.decided(False, "no"), Verdict.decided(True, "yes")
SILENT = Verdict.undecided("asleep")


async def test_the_weighted_mean() -> None:
    (verdict,) = await judge((3, [YES]), (1, [GRADE]))
    assert verdict == Verdict(0.875, True, (), "fixed: yes; fixed: half")
    (verdict,) = await judge((1, [YES]), (1, [NO]))
    assert (verdict.score, verdict.passed) == (0.5, False)
    (verdict,) = await judge((1, [GRADE]), (2, [GRADE]))
    assert (verdict.score, verdict.passed) == (0.5, None)


async def test_a_member_that_decided_nothing_is_left_out_for_all() -> None:
    verdicts = await judge((1, [YES, NO]), (9, [SILENT, SILENT]))
    assert [verdict.score for verdict in verdicts] == [1.0, 0.0]
    assert all("fixed left out: asleep" in verdict.reason for verdict in verdicts)


async def test_a_complete_ensemble_leaves_nobody_out() -> None:
    members = tuple(Member(Fixed(), Says(verdicts)) for verdicts in ([YES, NO], [SILENT, SILENT]))
    verdicts = await EnsembleVerifier(members, complete=True).verify(Problem(()), [Candidate(""), Candidate("")])
    assert verdicts == [Verdict.undecided("fixed: asleep")] * 2


async def test_a_member_that_missed_one_candidate_leaves_it_undecided() -> None:
    late = Verdict.undecided("too slow", "timeout")
    first, second = await judge((1, [YES, YES]), (1, [late, NO]))
    assert first == Verdict(None, None, (), "fixed: too slow", "timeout")
    assert second.score == 0.5


async def test_when_nobody_decides_nothing_is_decided() -> None:
    (verdict,) = await judge((1, [SILENT]), (1, [SILENT]))
    assert (verdict.score, verdict.status) == (None, "unavailable")


async def test_members_work_at_the_same_time() -> None:
    barrier = asyncio.Barrier(2)

    class Meets(Says):
        async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
            await asyncio.wait_for(barrier.wait(), 20)
            return self.verdicts

    members = tuple(Member(Fixed(), Meets([YES])) for _ in range(2))
    assert len(await EnsembleVerifier(members).verify(Problem(()), [Candidate("")])) == 1


def test_a_list_is_short_for_it_and_may_nest(resources: Resources) -> None:
    config = parse_verifier(["calculator", {"kind": "regex", "pattern": "x", "weight": 2}, ["json"]])
    assert isinstance(config, Ensemble)
    assert [member.kind for member in config.members] == ["calculator", "regex", "ensemble"]
    assert config.describe()["members"][1] == {"kind": "regex", "pattern": "x", "weight": 2.0}
    assert config.build(resources).judges is Judges.OUTCOME
    assert parse_verifier(["calculator"]).build(resources).judges is Judges.PARTIAL


def test_the_schema_of_members_lists_every_kind() -> None:
    schema = Ensemble.model_json_schema()
    definitions = schema["$defs"]
    assert {"Calculator", "JsonDocument", "Likelihood", "Pattern", "Reference"} <= set(definitions)


def test_it_needs_a_member_and_known_ones() -> None:
    with pytest.raises(ValidationError, match="at least 1"):
        parse_verifier([])
    with pytest.raises(ValidationError, match="calculater"):
        parse_verifier(["calculater"])


def test_it_compares_candidates_where_a_member_does() -> None:
    for comparing in ({"kind": "code"}, {"kind": "judge", "mode": "pairwise"}):
        assert parse_verifier([comparing, "calculator"]).compares
    tested = {"kind": "code", "test_source": "assert f() == 1"}
    assert not parse_verifier([tested, "judge", "calculator"]).compares
