"""Verifiers as reward functions, called as trainers call them."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.scripted import ScriptedEngine
from deliberate.training.rewards import VerifierReward
from deliberate.verifiers.calculator import Calculator
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict
from deliberate.verifiers.workers import WorkerPool

CHAT = [{"role": "user", "content": "What is 1 + 1?"}]


def says(text: str) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": text}]


@dataclass
class Recorder:
    """Keeps what it is asked."""

    asked: list[tuple[Problem, list[Candidate]]] = field(default_factory=list[tuple[Problem, list[Candidate]]])
    threads: set[str] = field(default_factory=set[str])

    judges = Judges.OUTCOME

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        self.asked.append((problem, list(candidates)))
        self.threads.add(threading.current_thread().name)
        return [Verdict(len(candidate.text) / 100) for candidate in candidates]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """In the place of the calculator."""
    recorder = Recorder()
    monkeypatch.setattr(Calculator, "build", lambda *_: recorder)
    return recorder


@pytest.fixture
def calculator() -> Iterator[VerifierReward]:
    with VerifierReward("calculator") as reward:
        yield reward


def test_scores_and_none_where_nothing_is_decided(calculator: VerifierReward) -> None:
    completions = ["1 + 1 = 2", "1 + 1 = 3", "two"]
    rewards = calculator(prompts=["?"] * 3, completions=completions, completion_ids=[[1], [2], [3]])
    assert rewards == [1.0, 0.0, None]
    assert calculator.__name__ == "calculator"


def test_conversations(calculator: VerifierReward) -> None:
    assert calculator([CHAT, CHAT], [says("1 + 1 = 2"), says("1 + 1 = 3")]) == [1.0, 0.0]


def test_options_from_columns_and_what_else_trainers_pass_on() -> None:
    with VerifierReward({"kind": "reference"}, fill={"answer": "gold"}, name="right") as reward:
        rewards = reward(
            prompts=["1 + 1?", "1 + 1?", "2 + 2?"],
            completions=["It is 2.", "It is 3.", "It is 4."],
            completion_ids=[[1], [2], [3]],
            gold=["2", "2", "4"],
            trainer_state=object(),
            log_metric=print,
            difficulty=[1, 2, 3],
        )
    assert rewards == [1.0, 0.0, 1.0]
    assert reward.__name__ == "right"


def test_each_row_brings_its_own_verifier() -> None:
    reference, both = {"kind": "reference", "answer": "2"}, [{"kind": "reference", "answer": "4"}, "calculator"]
    with VerifierReward(column="verifier") as reward:
        rewards = reward(
            prompts=["1 + 1?", "1 + 1?", "2 + 2?", "2 + 3?", "?"],
            completions=["It is 2.", "It is 3.", "2 + 2 = 5. It is 4.", "It is 5.", "1 + 1 = 2"],
            completion_ids=[[1]] * 5,
            verifier=[reference, reference, both, json.dumps({"kind": "reference", "answer": "5"}), "calculator"],
            answer=["2"] * 5,
        )
    assert rewards == [1.0, 0.0, 0.5, 1.0, 1.0]
    assert reward.__name__ == "verifier"


def test_options_within_a_rows_own_verifier() -> None:
    with VerifierReward(column="judge", fill={"answer": "gold"}) as reward:
        assert reward(["?"] * 2, ["2", "3"], judge=["reference"] * 2, gold=["2", "2"]) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"verifier": ["calculator", None]}, r"Row 1: there is no verifier in its 'verifier': None\. Give the row one"),
        ({"verifier": ["calculator", {}]}, r"Row 1: there is no verifier"),
        ({"verifier": ["calculator", ""]}, r"Row 1: there is no verifier"),
        ({"verifier": ["calculator", '{"kind": ']}, r"Row 1: its 'verifier' is no JSON"),
        ({"verifier": ["calculator", {"kind": "oracle"}]}, r"Row 1: The verifier cannot be read: .*oracle"),
        ({"verifiers": ["calculator"] * 2}, r"Row 0: Unknown field 'verifier'; known: verifiers"),
    ],
)
def test_rows_without_a_verifier_are_named(columns: dict[str, Any], expected: str) -> None:
    with VerifierReward(column="verifier") as reward, pytest.raises(InvalidRequest, match=expected):
        reward(["?"] * 2, ["1 + 1 = 2"] * 2, **columns)


@pytest.mark.parametrize(("verifier", "column"), [(None, None), ("calculator", "verifier")])
def test_one_verifier_for_all_or_one_for_each(verifier: str | None, column: str | None) -> None:
    with pytest.raises(InvalidRequest, match="a verifier for all rows, or the column"):
        VerifierReward(verifier, column=column)


def test_a_weighted_list() -> None:
    spec = [{"kind": "reference", "weight": 3}, {"kind": "regex", "pattern": "It"}]
    with VerifierReward(spec, fill={"0.answer": "gold"}) as reward:
        assert reward(["?"] * 2, ["It is 2.", "It is 3."], gold=["2", "2"]) == [1.0, 0.25]
        assert reward.__name__ == "reference+regex"


def test_completions_of_a_prompt_are_judged_together(recorder: Recorder, calculator: VerifierReward) -> None:
    texts = ["a", "bb", "ccc", "dddd"]
    assert calculator(["x", "y", "x", "x"], texts) == [0.01, 0.02, 0.03, 0.04]
    batches = {problem.messages[0]["content"]: [c.text for c in candidates] for problem, candidates in recorder.asked}
    assert batches == {"x": ["a", "ccc", "dddd"], "y": ["bb"]}


def test_verifiers_see_tokens_tools_and_calls(recorder: Recorder) -> None:
    tool = {"type": "function", "function": {"name": "add"}}
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    done = [
        {"role": "assistant", "content": "Well.", "tool_calls": [call]},
        {"role": "tool", "content": "5"},
        *says("Five."),
    ]
    with VerifierReward("calculator", end_token_id=9) as reward:
        reward([CHAT] * 2, [done, says("cut")], [[1, 9], [1, 2]], tools=[[tool]] * 2)
    ((problem, (first, second)),) = recorder.asked
    assert problem.tools == (tool,)
    assert first.text == 'Well.<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>Five.'
    assert (first.token_ids, first.finished) == ((1, 9), True)
    assert (second.token_ids, second.finished) == ((1, 2), False)


def test_tokens_are_counted_where_no_model_is() -> None:
    with VerifierReward({"kind": "length", "maximum": 2, "slack": 2}) as reward:
        assert reward(["?"] * 3, ["x"] * 3, [[1, 2], [1, 2, 3], [1, 2, 3, 4]]) == [1.0, 0.5, 0.0]
        assert reward(["?"], ["x"]) == [None]


async def test_it_works_within_an_event_loop_and_stays_in_its_own(recorder: Recorder) -> None:
    with VerifierReward("calculator") as reward:
        assert reward(["?"], ["a"]) == [0.01]
        assert reward(["?"], ["a"]) == [0.01]
        assert recorder.threads == {"calculator"}
        verdicts = await reward.verdicts(["?"], ["bb"])
        assert [verdict.score for verdict in verdicts] == [0.02]
    assert all(thread.name != "calculator" or not thread.is_alive() for thread in await running("calculator"))


async def running(name: str) -> list[threading.Thread]:
    """Threads of that name, once they had time to end."""
    for _ in range(100):
        found = [thread for thread in threading.enumerate() if thread.name == name]
        if not found:
            break
        await asyncio.sleep(0.01)
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_a_verifier_that_crashes_is_no_reward(calculator: VerifierReward, monkeypatch: pytest.MonkeyPatch) -> None:
    class Crashes(Recorder):
        async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
            raise RuntimeError("bug")

    monkeypatch.setattr(Calculator, "build", lambda *_: Crashes())
    assert calculator(["?"] * 2, ["1 + 1 = 2"] * 2) == [None, None]


def test_models_are_lent(recorder: Recorder) -> None:
    engine = ScriptedEngine(["ok"])
    workers = WorkerPool()
    resources = Resources(workers, {"tiny": engine}, policy="tiny")
    with VerifierReward({"kind": "likelihood", "model": "policy"}, resources=resources) as reward:
        (score,) = reward(["?"], ["abc"])
    assert score is not None
    assert 0 < score < 1
    assert engine.failure is None, "what was lent is not closed"
    workers.close()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("oracle", ["oracle", "calculator"]),
        ({"kind": "reference", "answer": ""}, ["answer", "at least 1 character"]),
        ({"kind": "likelihood"}, ["needs a model"]),
    ],
)
def test_wrong_verifiers_are_refused_at_once(spec: object, expected: list[str]) -> None:
    with pytest.raises(InvalidRequest) as error:
        VerifierReward(spec)
    for text in expected:
        assert text in str(error.value)


def test_wrong_rows_are_named() -> None:
    with VerifierReward("reference", fill={"answer": "gold"}) as reward:
        with pytest.raises(InvalidRequest, match=r"Row 1: .*answer.*at least 1 character"):
            reward(["?"] * 2, ["2", "2"], gold=["2", ""])
        with pytest.raises(InvalidRequest, match=r"Row 0: Unknown field 'gold'; known: glod. Did you mean 'glod'"):
            reward(["?"], ["2"], glod=["2"])
        with pytest.raises(ValueError, match="zip"):
            reward(["?"], ["2", "2"], gold=["2", "2"])


def test_the_documentation_tells_the_truth() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rewards.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(example, {})
