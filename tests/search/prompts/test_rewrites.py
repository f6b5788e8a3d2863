"""Prompt transforms that ask the model nothing: exactly what it reads, with every strategy and on every engine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from deliberate.engines.errors import InvalidRequest, UnknownName
from deliberate.engines.protocol import Message
from deliberate.engines.scripted import ScriptedEngine
from deliberate.search.prompts.r1_template import R1Template
from deliberate.search.prompts.registry import TRANSFORMS, parse_transforms
from deliberate.search.registry import STRATEGIES
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.registry import parse_verifier

from .prompting import QUESTION, assistant, prepared, read, search, system, user

FEW_SHOT = {
    "kind": "few_shot",
    "examples": [{"question": "1 + 1?", "answer": "2"}, {"question": "2 + 2?", "answer": "4"}],
}
SHOTS = (user("1 + 1?"), assistant("2"), user("2 + 2?"), assistant("4"))
STEPS = user("How many?\n\nLet's think step by step.")
CALL: Message = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
RESULT: Message = {"role": "tool", "content": "3", "tool_call_id": "1"}
R1 = R1Template().text


@pytest.mark.parametrize(
    ("prompt", "messages", "expected"),
    [
        ("zero_shot_cot", [QUESTION], [STEPS]),
        ({"kind": "zero_shot_cot", "text": "Carefully!"}, [QUESTION], [user("How many?\n\nCarefully!")]),
        ("zero_shot_cot", [user("a"), assistant("b"), QUESTION], [user("a"), assistant("b"), STEPS]),
        ("zero_shot_cot", [QUESTION, CALL, RESULT], [STEPS, CALL, RESULT]),
        (FEW_SHOT, [QUESTION], [*SHOTS, QUESTION]),
        (FEW_SHOT, [system("s"), QUESTION], [system("s"), *SHOTS, QUESTION]),
        (FEW_SHOT, [user("a"), assistant("b"), QUESTION], [user("a"), assistant("b"), *SHOTS, QUESTION]),
        ("r1_template", [QUESTION], [system(R1), QUESTION]),
        ("r1_template", [system("Be brief."), QUESTION], [system(f"{R1}\n\nBe brief."), QUESTION]),
        ({"kind": "r1_template", "text": "Tags!"}, [QUESTION], [system("Tags!"), QUESTION]),
        (["zero_shot_cot", FEW_SHOT, "r1_template"], [QUESTION], [system(R1), *SHOTS, STEPS]),
        (
            [{"kind": "zero_shot_cot", "text": "b"}, {"kind": "zero_shot_cot", "text": "c"}],
            [user("a")],
            [user("a\n\nb\n\nc")],
        ),
        ([], [QUESTION], [QUESTION]),
    ],
)
@pytest.mark.parametrize("token_ids", [True, False])
async def test_what_the_model_reads(
    prompt: Any, messages: list[Message], expected: list[Message], token_ids: bool
) -> None:
    engine = ScriptedEngine(["x"], token_ids=token_ids)
    if token_ids:  # as the template reads it
        expected = [{**message, "content": message["content"] or ""} for message in expected]
    log = await search(prepared(engine, prompt, *messages))
    seen = [{**message, "content": message["content"] or ""} if token_ids else message for message in read(engine)[0]]
    assert seen == expected
    assert log.completion_tokens == 2


def test_the_paper_asks_for_both_tags() -> None:
    assert R1.startswith("A conversation between User and Assistant.")
    assert R1.endswith("<think> reasoning process here </think> <answer> answer here </answer>.")


@pytest.mark.parametrize("kind", STRATEGIES)
async def test_every_strategy_continues_the_changed_prompt(kind: str) -> None:
    engine = ScriptedEngine(["1 + 1 = 2\n\n<answer>2</answer>"])
    verifier = parse_verifier("calculator")
    log = await search(prepared(engine, ["zero_shot_cot", FEW_SHOT], strategy=kind, verifier=verifier))
    changed = bytes(engine.tokenizer.apply_chat_template([*SHOTS, STEPS]))
    assert bytes(engine.calls[0].prompt_ids).startswith(changed)
    assert all(str(STEPS["content"]).encode() in bytes(call.prompt_ids) for call in engine.calls)
    assert "<answer>2</answer>" in log.sample(log.chosen.choices[0].index).text


@dataclass
class Witness:
    """A verifier that remembers the problems."""

    problems: list[Problem] = field(default_factory=list[Problem])
    judges: Judges = Judges.OUTCOME

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        self.problems.append(problem)
        return [Verdict(1.0) for _ in candidates]


def witnessed() -> tuple[VerifierConfig, Witness]:
    witness = Witness()

    class WitnessConfig(VerifierConfig, frozen=True):
        kind: str = "witness"

        def build(self, resources: Resources) -> Witness:
            return witness

    return WitnessConfig(), witness


@pytest.mark.parametrize("prompt", [[FEW_SHOT, "r1_template"], ["least_to_most", "zero_shot_cot"]])
async def test_verifiers_read_what_was_asked_and_the_ids_that_candidates_continue(prompt: Any) -> None:
    engine = ScriptedEngine(["What is one?"])
    config, witness = witnessed()
    await search(prepared(engine, prompt, strategy="best-of-2", verifier=config))
    (problem,) = witness.problems
    assert problem.messages == (QUESTION,)
    assert problem.prompt_ids == engine.calls[-1].prompt_ids
    assert problem.prompt_ids != tuple(engine.tokenizer.apply_chat_template([QUESTION]))


@pytest.mark.parametrize("kind", ["zero_shot_cot", "least_to_most", FEW_SHOT])
def test_nobody_asked_anything(kind: Any) -> None:
    engine = ScriptedEngine(["x"])
    with pytest.raises(InvalidRequest, match="no message is of role 'user'") as refusal:
        prepared(engine, kind, system("s"), assistant("a"))
    assert refusal.value.param == "prompt"
    assert engine.calls == []


def test_a_transform_is_found_by_its_file() -> None:
    assert list(TRANSFORMS) == ["few_shot", "least_to_most", "r1_template", "zero_shot_cot"]


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_every_field_is_described(kind: str) -> None:
    for name, schema in TRANSFORMS[kind].model_json_schema()["properties"].items():
        assert name == "kind" or schema.get("description"), f"{kind}.{name} has no description"


@pytest.mark.parametrize(
    "config", ["zero_shot_cot", "r1_template", "least_to_most", FEW_SHOT, {"kind": "least_to_most", "max_questions": 3}]
)
def test_described_transforms_read_back(config: Any) -> None:
    (transform,) = parse_transforms(config)
    assert parse_transforms(transform.describe()) == (transform,)
    assert transform.describe() == ({"kind": config} if isinstance(config, str) else config)


@pytest.mark.parametrize(
    ("prompt", "param", "message"),
    [
        (["zero_shot_cot", "few_shots"], "prompt[1]", "Did you mean 'few_shot'"),
        ({"kind": "cot"}, "prompt", "known: few_shot, least_to_most"),
        ("few_shot", "prompt.examples", "required"),
        ({"kind": "few_shot", "examples": []}, "prompt.examples", "at least 1"),
        ({"kind": "few_shot", "examples": [{"question": " ", "answer": "4"}]}, "prompt.examples.0.question", "' '"),
        ([{"kind": "zero_shot_cot", "text": ""}], "prompt[0].text", "text"),
        ({"kind": "zero_shot_cot", "txt": "x"}, "prompt.txt", "not permitted"),
        ({"kind": "least_to_most", "max_questions": 0}, "prompt.max_questions", "greater than or equal to 1"),
        ({"examples": []}, "prompt.kind", "needs a 'kind'"),
        (7, "prompt", "7"),
        (["zero_shot_cot"] * 9, "prompt", "9 transforms; send at most 8"),
    ],
)
def test_wrong_prompts_are_explained(prompt: Any, param: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as refusal:
        parse_transforms(prompt)
    assert refusal.value.param == param
    assert isinstance(refusal.value, UnknownName) == message.startswith(("Did", "known"))
