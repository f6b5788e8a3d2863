"""A verifier that crashes, hangs or talks nonsense: the answer comes all the same, and says who chose it instead."""

import asyncio
import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import httpx
import pytest

from deliberate.engines.errors import UpstreamFailed
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.server.serving import ServedModel
from deliberate.server.settings import Settings
from deliberate.verifiers.agent_format import AgentFormat
from deliberate.verifiers.calculator import Calculator
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig

from .support import MESSAGES, Live, running

Fault = Literal["crash", "fails", "hangs", "some", "too few", "nothing", "nan", "scored", "group"]
FAULTS: dict[Fault, tuple[str, str]] = {
    "crash": ("unavailable", "broken crashed: KeyError"),
    "group": ("unavailable", "broken crashed: ExceptionGroup"),
    "fails": ("unavailable", "broken failed: http://judge is down"),
    "hangs": ("timeout", "broken took more than 0.3 s"),
    "too few": ("unavailable", "broken gave 0 verdicts for"),
    "nothing": ("unavailable", "broken crashed: TypeError"),
    "nan": ("unavailable", "broken gave the score nan"),
    "scored": ("unavailable", "broken gave the score 0.0 with status 'unavailable'"),
}
WHOLE_ANSWERS = ["best-of-4", "weighted-vote-4", "revise-4"]
STEPS = ["beam-2x2", "dvts-4x2", "rebase-4", "particles-4", "mcts-4", "tot-2x2", "rstar-4"]
SAYS = ["2", "3", "2", "2"]
"""The answers, in turn: the majority is for 2."""


class Broken(VerifierConfig, frozen=True):
    """Has a bug."""

    kind: Literal["broken"] = "broken"
    fault: Fault = "crash"

    def build(self, resources: Resources) -> "BrokenVerifier":
        return BrokenVerifier(self.fault)


@dataclass(frozen=True)
class BrokenVerifier:
    fault: Fault

    judges = Judges.STEPS

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> Any:
        match self.fault:
            case "crash":
                raise KeyError("a secret of the server")
            case "group":
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._crash())
            case "fails":
                raise UpstreamFailed("http://judge is down")
            case "hangs":
                await asyncio.Event().wait()
            case "some":
                return [Verdict(0.9) if ">3<" in c.text else Verdict.undecided("asleep") for c in candidates]
            case "too few":
                return []
            case "nothing":
                return None
            case "nan":
                return [Verdict(float("nan"))] * len(candidates)
            case "scored":
                return [Verdict(0.0, False, reason="crashed", status="unavailable")] * len(candidates)

    async def _crash(self) -> None:
        raise ZeroDivisionError


def says(prompt: str, number: int) -> Reply:
    """One step, then an answer."""
    begun = prompt.endswith("\n\n")
    return Reply(f"<answer>{SAYS[number % len(SAYS)]}</answer>" if begun else "Let me think.\n\n")


def says_at_once(prompt: str, number: int) -> Reply:
    return Reply(f"<answer>{SAYS[number % len(SAYS)]}</answer>")


@contextmanager
def served(fault: Fault, script: Any = says_at_once, seconds: float = 0.3) -> Generator[Live]:
    engine = ScriptedEngine(script)
    settings = Settings(port=0, log_level="critical", verifier_timeout_seconds=seconds, drain_timeout_seconds=1)
    model = ServedModel("tiny", engine, default_verifier=Broken(fault=fault))
    with running(settings, [model]) as url, httpx.Client(base_url=url, timeout=30) as http:
        yield Live(url, engine, http)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[Fault], None]:
    """Gives the calculator a fault."""
    return lambda fault: monkeypatch.setattr(Calculator, "build", lambda *_: BrokenVerifier(fault))


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_broken_decides_nothing(fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    status, reason = FAULTS[fault]
    with served(fault) as server:
        start = time.monotonic()
        reply = server.chat(strategy="best-of-4", seed=0)
        assert time.monotonic() - start < 5
    assert reply.status_code == 200
    assert reply.json()["choices"][0]["message"]["content"] == "<answer>2</answer>"
    report = reply.json()["deliberation"]
    for candidate in report["candidates"]:
        assert (candidate["score"], candidate["passed"], candidate["verdict"]) == (None, None, status)
        assert reason in candidate["reason"]
    assert reason in report["fallback"]
    assert "so the majority decided" in report["fallback"]
    assert "4 of 4 candidates could not be judged" in report["reason"]
    assert "secret" not in reply.text
    crashed = [r for r in caplog.records if r.name == "deliberate.verifiers.guard" and r.levelno == logging.ERROR]
    assert bool(crashed) == (fault not in ("hangs", "fails")), "what an operator must mend is in the log"
    assert fault != "crash" or "a secret of the server" in caplog.text, "the log has the traceback"


@pytest.mark.parametrize("strategy", [*WHOLE_ANSWERS, *STEPS])
@pytest.mark.parametrize("fault", ["crash", "hangs"])
def test_every_strategy_says_how_it_chose_instead(fault: Fault, strategy: str, broken: Callable[[Fault], None]) -> None:
    broken(fault)
    # Without one of its own, rstar asks no verifier.
    own = {"kind": "rstar", "simulations": 4, "verifier": "calculator"}
    with served(fault, says_at_once if strategy in WHOLE_ANSWERS else says) as server:
        report = server.chat(strategy=own if strategy == "rstar-4" else strategy, seed=0).json()["deliberation"]
    assert "the majority decided" in report["fallback"]
    assert ("crashed: KeyError" if fault == "crash" else "took more than 0.3 s") in report["fallback"]
    assert {candidate["score"] for candidate in report["candidates"]} == {None}
    assert any(candidate["chosen"] == 0 for candidate in report["candidates"])


def test_what_could_be_judged_decides_and_the_rest_is_named() -> None:
    with served("some") as server:
        reply = server.chat(strategy="best-of-4", seed=0).json()
    assert reply["choices"][0]["message"]["content"] == "<answer>3</answer>"
    assert "3 of 4 candidates could not be judged (asleep)" in reply["deliberation"]["reason"]
    assert reply["deliberation"]["fallback"] is None


@pytest.mark.parametrize("strategy", [*WHOLE_ANSWERS, *STEPS])
def test_every_strategy_names_what_was_not_judged(strategy: str, broken: Callable[[Fault], None]) -> None:
    broken("some")
    own = {"kind": "rstar", "simulations": 4, "verifier": "calculator"}
    with served("some", says_at_once if strategy in WHOLE_ANSWERS else says) as server:
        reply = server.chat(strategy=own if strategy == "rstar-4" else strategy, seed=0).json()
    assert "<answer>3</answer>" in reply["choices"][0]["message"]["content"], "the only one that has a score"
    report = reply["deliberation"]
    assert "could not be judged (asleep)" in f"{report['reason']} {report['fallback']}"
    assert {candidate["score"] for candidate in report["candidates"]} <= {0.9, None}


def test_a_search_that_ends_with_the_first_pass_goes_on_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AgentFormat, "build", lambda *_: BrokenVerifier("crash"))
    with served("crash") as server:
        report = server.chat(strategy="best-of-4@agent_format", seed=0).json()["deliberation"]
    assert "agent_format crashed: KeyError" in report["fallback"]
    assert "so the majority decided" in report["fallback"]
    assert [candidate["verdict"] for candidate in report["candidates"]] == ["unavailable"] * 4


@pytest.mark.parametrize(("fault", "reason"), [("crash", "crashed: KeyError"), ("hangs", "took more than 1.8 s")])
def test_a_broken_member_is_left_out(fault: Fault, reason: str, broken: Callable[[Fault], None]) -> None:
    broken(fault)
    verifier = [{"kind": "regex", "pattern": "3"}, {"kind": "calculator"}]
    with served(fault, seconds=2) as server:  # Enough for the other member.
        strategy = {"kind": "best_of_n", "n": 4, "verifier": verifier}
        report = server.chat(strategy=strategy, seed=0).json()["deliberation"]
    assert [candidate["score"] for candidate in report["candidates"]] == [0.0, 1.0, 0.0, 0.0]
    assert all(f"calculator left out: calculator {reason}" in c["reason"] for c in report["candidates"])


def test_a_broken_verifier_is_no_score_in_verify_either(broken: Callable[[Fault], None]) -> None:
    broken("crash")
    body = {"verifier": "calculator", "messages": MESSAGES, "candidates": ["1 + 1 = 2"]}
    with served("crash") as server:
        (verdict,) = server.http.post("/v1/verify", json=body).json()["data"]
    assert (verdict["score"], verdict["status"]) == (None, "unavailable")
    assert "calculator crashed: KeyError" in verdict["reason"]
