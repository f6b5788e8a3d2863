"""Least-to-most: exactly what the model is asked, in which order and at what cost, and how it ends."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from deliberate.engines.errors import ContextOverflow, InvalidRequest, SearchFailed
from deliberate.engines.protocol import Conversation, Finish, Sample, Sampling, StructuredOutput
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.search.events import Asked, Chosen, Event, Prompted, Sampled, Streamed
from deliberate.search.prompts.least_to_most import LeastToMost, sub_questions

from .prompting import QUESTION, assistant, prepared, read, search, system, user

CONFIG = {"kind": "least_to_most", "decompose": "Split.", "solve": "First:", "conclude": "Now:"}
LIST = "1. How many has Anna?\n2. How many has Elsa?"
SPLIT = user("How many?\n\nSplit.")
ANNA, ELSA, WHOLE = user("How many?\n\nFirst:\nHow many has Anna?"), user("How many has Elsa?"), user("Now:\nHow many?")


async def test_the_parts_are_asked_one_after_another_and_then_the_whole() -> None:
    engine = ScriptedEngine([LIST, "Seven.", "<think>7 - 2</think> Five.", "<answer>12</answer>"])
    log = await search(prepared(engine, CONFIG, strategy="vote-2", sampling=Sampling(seed=40)))
    assert read(engine) == [
        (SPLIT,),
        (ANNA,),
        (ANNA, assistant("Seven."), ELSA),
        (ANNA, assistant("Seven."), ELSA, assistant("Five."), WHOLE),
    ]
    assert [(call.n, call.sampling.seed) for call in engine.calls] == [(1, 40), (1, 41), (1, 42), (2, 40)]
    assert [type(event) for event in log.events] == [Asked, Asked, Asked, Prompted, Sampled, Sampled, Chosen]
    asked = [event.sample.text for event in log.events if isinstance(event, Asked)]
    assert asked == [LIST, "Seven.", "<think>7 - 2</think> Five."]
    assert [record.index for record in log.candidates] == [0, 1], "what was asked before is no candidate"
    assert log.completion_tokens == engine.stats.generated_tokens_total == sum(event.spent for event in log.events)
    assert log.prompt_tokens == len(engine.calls[-1].prompt_ids)


async def test_the_conversation_only_grows() -> None:
    """So that the engine reads each part of it once."""
    engine = ScriptedEngine([LIST, "Seven.", "Five.", "12"])
    await search(prepared(engine, CONFIG))
    prompts = [bytes(call.prompt_ids).removesuffix(b"assistant: ") for call in engine.calls[1:]]
    assert all(later.startswith(earlier) for earlier, later in pairwise(prompts))


async def test_other_transforms_before_and_after() -> None:
    engine = ScriptedEngine(["What is one?", "1", "12"])
    await search(prepared(engine, [{"kind": "r1_template", "text": "Tags!"}, CONFIG, "zero_shot_cot"]))
    tags = system("Tags!")
    part = user("How many?\n\nFirst:\nWhat is one?")
    end = user("Now:\nHow many?\n\nLet's think step by step.")
    assert read(engine) == [(tags, SPLIT), (tags, part), (tags, part, assistant("1"), end)]


async def test_a_question_that_is_not_split_is_asked_as_it_stands() -> None:
    engine = ScriptedEngine(["This one is simple enough.", "12"])
    log = await search(prepared(engine, CONFIG))
    assert read(engine) == [(SPLIT,), (QUESTION,)]
    assert log.completion_tokens == engine.stats.generated_tokens_total


async def test_no_more_parts_than_wanted() -> None:
    engine = ScriptedEngine([LIST, "Seven.", "12"])
    await search(prepared(engine, CONFIG | {"max_questions": 1}))
    assert read(engine) == [(SPLIT,), (ANNA,), (ANNA, assistant("Seven."), WHOLE)]


async def test_an_empty_answer_is_left_out() -> None:
    engine = ScriptedEngine([LIST, "", "Five.", "12"])
    await search(prepared(engine, CONFIG))
    elsa = user("How many?\n\nFirst:\nHow many has Elsa?")
    assert read(engine) == [(SPLIT,), (ANNA,), (elsa,), (elsa, assistant("Five."), WHOLE)]


async def test_a_cut_answer_is_taken_as_far_as_it_came() -> None:
    engine = ScriptedEngine([LIST, "She has seven.", "5", "12"])
    log = await search(prepared(engine, CONFIG | {"max_questions": 1}, sampling=Sampling(max_tokens=30)))
    assert read(engine) == [(SPLIT,), (ANNA,), (ANNA, assistant("She has seven."), WHOLE)]
    engine = ScriptedEngine(["1. A?\n2. B?", "She has", "5"])
    await search(prepared(engine, CONFIG, sampling=Sampling(max_tokens=8)))
    part = user("How many?\n\nFirst:\nA?")
    assert read(engine) == [(SPLIT,), (part,), (part, assistant("She has"), WHOLE)], "a cut question is not asked"
    assert log.chosen.fallback is None


async def test_a_failed_answer_ends_the_search() -> None:
    engine = ScriptedEngine([LIST, Reply("Se", finish="error"), "12"])
    events: list[Event] = []
    with pytest.raises(SearchFailed, match="Question 1 of the prompt transforms failed: scripted failure"):
        async for event in prepared(engine, CONFIG, strategy="vote-4").events():
            events.append(event)
    assert len(engine.calls) == 2
    assert sum(event.spent for event in events) == engine.stats.generated_tokens_total


async def test_a_conversation_that_outgrows_the_context_is_refused() -> None:
    engine = ScriptedEngine([LIST, "x" * 100, "12"], context_length=150)
    with pytest.raises(ContextOverflow) as refusal:
        await search(prepared(engine, CONFIG))
    assert refusal.value.param == "prompt"
    assert len(engine.calls) == 2
    assert engine.stats.running == 0


async def test_leaving_while_it_asks_stops_the_engine() -> None:
    engine = ScriptedEngine([LIST, Reply("x" * 1000, seconds_per_token=0.01)])
    log = asyncio.create_task(search(prepared(engine, CONFIG, strategy="vote-4")))
    while len(engine.calls) < 2 or engine.stats.running == 0:
        await asyncio.sleep(0.01)
    log.cancel()
    with pytest.raises(asyncio.CancelledError):
        await log
    assert engine.stats.running == 0
    spent = engine.stats.generated_tokens_total
    await asyncio.sleep(0.05)
    assert engine.stats.generated_tokens_total == spent
    assert len(engine.calls) == 2


async def test_leaving_between_two_questions_stops_it_too() -> None:
    engine = ScriptedEngine([LIST, "7"])
    events = prepared(engine, CONFIG).events()
    assert isinstance(await anext(events), Asked)
    await events.aclose()
    assert len(engine.calls) == 1
    assert engine.stats.running == 0


async def test_forms_and_tools_are_kept_for_the_answer() -> None:
    engine = ScriptedEngine(["What is one?", "1", "12"], structured_output=True, tools=True)
    form = StructuredOutput(json_object=True)
    deliberation = prepared(engine, CONFIG, sampling=Sampling(structured_output=form, top_logprobs=2, temperature=0.3))
    tools = ({"type": "function", "function": {"name": "f"}},)
    conversation = Conversation((QUESTION,), tools, "auto", True)
    await search(replace(deliberation, conversation=conversation))
    *asked, answer = engine.calls
    for call in asked:
        assert (call.sampling.structured_output, call.sampling.top_logprobs, call.sampling.temperature) == (
            None,
            0,
            0.3,
        )
        assert call.conversation == Conversation(call.conversation.messages if call.conversation else ())
    assert (answer.sampling.structured_output, answer.sampling.top_logprobs) == (form, 2)
    assert answer.conversation is not None
    assert (answer.conversation.tools, answer.conversation.tool_choice) == (tools, "auto")


async def test_engines_that_read_conversations() -> None:
    engine = ScriptedEngine(["What is one?", "1", "12"], token_ids=False)
    log = await search(prepared(engine, CONFIG))
    part = user("How many?\n\nFirst:\nWhat is one?")
    assert read(engine) == [(SPLIT,), (part,), (part, assistant("1"), WHOLE)]
    assert log.completion_tokens == engine.stats.generated_tokens_total
    assert log.prompt_tokens == len(engine.tokenizer.apply_chat_template(read(engine)[-1]))
    assert "".join(event.delta.text for event in log.events if isinstance(event, Streamed)) == "12"


def test_the_question_must_come_last() -> None:
    engine = ScriptedEngine(["x"])
    with pytest.raises(InvalidRequest, match="that is of role 'tool'") as refusal:
        prepared(engine, "least_to_most", QUESTION, assistant("f()"), {"role": "tool", "content": "3"})
    assert refusal.value.param == "prompt"
    assert engine.calls == []


@pytest.mark.parametrize(
    ("listed", "questions"),
    [
        ("1. A b?\n2) C d?\n(3) E f?", ["A b?", "C d?", "E f?"]),
        ("Sure! These questions:\n\n- A?\n* B?\n• C?\n\nGood luck!", ["A?", "B?", "C?"]),
        ("**1. A?**\n*B?*\n  - **C?**", ["A?", "B?", "C?"]),
        ("1. Compute 12 + 30\n2. Halve it", ["Compute 12 + 30", "Halve it"]),
        ("<think>What is asked? 1. X?</think>A?\nB?", ["A?", "B?"]),
        ("A?\nA?\nHOW many?\n", ["A?"]),
        ("There are 7.\n\n<answer>7</answer>", []),
        ("1.\n-\n- \n**", []),
        ("", []),
    ],
)
def test_sub_questions(listed: str, questions: list[str]) -> None:
    assert sub_questions(Sample(listed, (), (), Finish("stop")), "How many?") == questions


def test_default_texts_ask_for_what_is_read() -> None:
    assert "one per line" in LeastToMost().decompose
