"""Lean is not at hand for tests: a program in its place that answers as it would shows what is made of the answers."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Conversation, Sampling
from deliberate.engines.scripted import ScriptedEngine
from deliberate.search.deliberation import prepare
from deliberate.search.strategies.beam_search import BeamSearch
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict
from deliberate.verifiers.prover import Prover
from deliberate.verifiers.sandbox.sandbox import Sandbox
from deliberate.verifiers.workers import WorkerPool

pytestmark = pytest.mark.asyncio(loop_scope="module")

STAND_IN = """#!/bin/sh
case "$1" in
--print-prefix) echo "{prefix}" ;;
-o)
    if /bin/grep -q nonsense "$3"; then
        echo "$3:1:0: warning: unused"
        echo "$3:3:7: error: unknown identifier 'nonsense'"
        exit 1
    fi
    /bin/cp "$3" "$2" ;;
--run)
    if /bin/grep -q loop Cand.olean; then while :; do :; done; fi
    if ! /bin/grep -q "theorem $3" Cand.olean; then
        echo "uncaught exception: there is no $3" >&2
        exit 1
    fi
    if /bin/grep -q forged Cand.olean; then echo "accepted, by "; fi
    {broken}
    echo "accepted, by $(/bin/grep -o -E 'unproved|sorryAx|propext|Quot.sound' Cand.olean | /usr/bin/sort -u \
| /usr/bin/tr '\\n' ' ')" | /bin/sed 's/ $//' ;;
esac
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proving(workers: WorkerPool) -> AsyncIterator[Resources]:
    sandbox = Sandbox()
    yield Resources(workers, {}, sandbox=sandbox)
    await sandbox.close()


@pytest.fixture
def prefix(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the stand-in lies: a folder that the boxes' users can read."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder)
        prefix.chmod(0o755)
        (prefix / "bin").mkdir()
        install(prefix)
        monkeypatch.setenv("PATH", f"{prefix}/bin:/usr/bin:/bin")
        yield prefix


def install(prefix: Path, broken: str = "") -> None:
    lean = prefix / "bin" / "lean"
    lean.write_text(STAND_IN.format(prefix=prefix, broken=broken))
    lean.chmod(0o755)


async def judge(resources: Resources, text: str, **options: Any) -> Verdict:
    verifier = Prover(system="lean", goal="∀ n : Nat, n + 0 = n", **options).build(resources)
    problem = Problem(({"role": "user", "content": "Prove it."},))
    [verdict] = await verifier.verify(problem, [Candidate(text)])
    return verdict


@pytest.mark.parametrize(
    ("code", "passed", "reason"),
    [
        ("```lean\nintro n\nrfl\n```", True, "the proof is accepted"),
        (
            "```lean4\ntheorem answer : ∀ n : Nat, n + 0 = n := by\n  intro n\n  exact propext_free\n```",
            True,
            "accepted",
        ),
        ("by\n  intro n\n  rfl", True, "accepted"),
        ("simp [Quot.sound, propext]", True, "accepted"),
        ("exact sorryAx _", False, "it rests on 'sorryAx'"),
        ("theorem reply : True := trivial", False, "there is no answer"),
        ("nonsense", False, "unknown identifier 'nonsense'"),
        ("forged", False, "accepted, by"),
        ("```python\nprint(1)\n```", False, "no proof found"),
    ],
)
@pytest.mark.usefixtures("prefix")
async def test_what_is_made_of_the_answers(proving: Resources, code: str, passed: bool, reason: str) -> None:
    verdict = await judge(proving, code)
    assert (verdict.status, verdict.passed) == ("ok", passed), verdict
    assert reason in verdict.reason


@pytest.mark.usefixtures("prefix")
async def test_axioms_are_those_that_the_request_allows(proving: Resources) -> None:
    assert not (await judge(proving, "exact propext", axioms=["Quot.sound"])).passed
    assert (await judge(proving, "exact propext", axioms=["propext"])).passed


@pytest.mark.usefixtures("prefix")
async def test_a_check_without_end_decides_nothing(proving: Resources) -> None:
    verdict = await judge(proving, "loop", timeout_s=1)
    assert (verdict.status, verdict.reason) == ("timeout", "the proof was not checked in 1 s")


@pytest.mark.usefixtures("prefix")
async def test_a_goal_that_is_none_says_nothing_of_candidates(proving: Resources) -> None:
    verdict = await judge(proving, "rfl", definitions="nonsense")
    reason = "Lean does not accept the goal itself: \"unknown identifier 'nonsense'\""
    assert (verdict.status, verdict.reason) == ("unavailable", reason)


async def test_a_lean_that_the_check_does_not_fit_decides_nothing(proving: Resources, prefix: Path) -> None:
    install(prefix, broken="echo 'Check.lean:9:1: error: unknown constant'; exit 1")
    verdict = await judge(proving, "rfl")
    reason = "proofs cannot be checked by this Lean: 'unknown constant'"
    assert (verdict.status, verdict.reason) == ("unavailable", reason)


async def test_without_lean_nothing_is_decided(
    proving: Resources, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    verdict = await judge(proving, "rfl")
    assert (verdict.status, verdict.score) == ("unavailable", None)
    assert verdict.reason == "lean is not installed (get it by elan, https://lean-lang.org)"


async def test_searches_over_steps_are_refused(proving: Resources) -> None:
    engine = ScriptedEngine(["rfl"])
    resources = Resources(proving.workers, {"policy": engine}, policy="policy", sandbox=proving.sandbox)
    with pytest.raises(InvalidRequest, match="partial"):
        prepare(
            BeamSearch(verifier=Prover(system="lean", goal="True")),
            Conversation(({"role": "user", "content": "?"},)),
            Sampling(),
            resources,
        )


@pytest.mark.skipif(shutil.which("lean") is None, reason="needs Lean 4, which is no package of this system")
async def test_lean_itself(proving: Resources) -> None:
    proofs = {
        "intro n\nrfl": True,
        "theorem answer : ∀ n : Nat, n + 0 = n := fun _ => rfl": True,
        "sorry": False,
        "axiom f : False\ntheorem answer : ∀ n : Nat, n + 0 = n := f.elim": False,
        "theorem answer : True := trivial": False,
        'macro "theorem" : command => `(example : True := trivial)\ntheorem': False,
    }
    verdicts = {code: await judge(proving, f"```lean\n{code}\n```") for code in proofs}
    assert {code: verdict.passed for code, verdict in verdicts.items()} == proofs, verdicts
