"""Sequential revision on scripted replies: what each attempt sees, when a chain ends, and what is chosen."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from deliberate.engines.errors import InvalidRequest, SearchFailed
from deliberate.engines.protocol import Message, Sampling
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.search.budget import Limits
from deliberate.search.events import Failed, Sampled, Scored
from deliberate.search.registry import parse_strategy
from deliberate.search.strategies.revise import Revise
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.registry import parse_verifier

from ..searching import QUESTION, answers, chosen_texts, first_events, search, table

ASK = Revise().instruction
ACCEPTS_3 = parse_verifier({"kind": "regex", "pattern": "<answer>3</answer>"})


@dataclass
class Compiler:
    """Says what is wrong with a text; a text of which it says nothing compiles."""

    errors: Mapping[str, Verdict]
    read: list[Candidate] = field(default_factory=list[Candidate])
    judges: Judges = Judges.OUTCOME

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        self.read += candidates
        return [self.errors.get(candidate.text, Verdict.decided(True)) for candidate in candidates]


def compiler(errors: Mapping[str, Verdict]) -> tuple[VerifierConfig, Compiler]:
    verifier = Compiler(errors)

    class CompilerConfig(VerifierConfig, frozen=True):
        kind: str = "compiler"

        def build(self, resources: Resources) -> Compiler:
            return verifier

    return CompilerConfig(), verifier


def asked(engine: ScriptedEngine) -> list[list[str]]:
    """The turns after the question, of each call."""
    conversations = [call.conversation.messages for call in engine.calls if call.conversation is not None]
    assert all(messages[0] == QUESTION for messages in conversations)
    assert all(_alternates(messages) for messages in conversations)
    return [[str(message["content"]) for message in messages[1:]] for messages in conversations]


def _alternates(messages: Sequence[Message]) -> bool:
    return [m["role"] for m in messages] == [("user", "assistant")[i % 2] for i in range(len(messages))]


async def test_what_the_compiler_says_is_the_next_attempts_context() -> None:
    config, verifier = compiler(
        {
            "x = 1 +": Verdict.decided(False, "line 1: invalid syntax"),
            "x = 1 + y": Verdict.decided(False, "name 'y' is not defined"),
        }
    )
    engine = ScriptedEngine(["x = 1 +", "x = 1 + y", "x = 1 + 1", "never drawn"])
    log = await search(Revise(attempts=4), engine, verifier=config, sampling=Sampling(seed=7, temperature=0))
    first = ["x = 1 +", f"A check of this answer says:\nline 1: invalid syntax\n\n{ASK}"]
    second = ["x = 1 + y", f"A check of this answer says:\nname 'y' is not defined\n\n{ASK}"]
    assert asked(engine) == [[], first, first + second]
    for call in engine.calls:
        assert call.conversation is not None
        assert list(call.prompt_ids) == engine.tokenizer.apply_chat_template(call.conversation.messages)
    assert [(call.n, call.sampling.seed, call.sampling.temperature) for call in engine.calls] == [
        (1, 7, 0),
        (1, 8, 0),
        (1, 9, 0),
    ]
    assert [type(event).__name__ for event in log.events] == ["Sampled", "Scored"] * 3 + ["Chosen"]
    assert [event.seen for event in log.events if isinstance(event, Sampled)] == [(), (0,), (0, 1)]
    assert chosen_texts(log) == ["x = 1 + 1"]
    assert log.chosen.reason == "1 of 1 chains passed, after 3 attempts in all"
    assert log.chosen.fallback is None
    assert log.completion_tokens == engine.stats.generated_tokens_total == len("x = 1 +x = 1 + yx = 1 + 1") + 3
    assert verifier.read[0].logprobs is not None
    assert [candidate.logprobs for candidate in verifier.read[1:]] == [None, None], "they had seen other answers"


async def test_the_best_attempt_wins_and_not_the_last() -> None:
    config, _ = table({"a": 0.4, "b": 0.9, "c": 0.1})
    log = await search(Revise(attempts=3), ScriptedEngine(["a", "b", "c"]), verifier=config)
    assert chosen_texts(log) == ["b"]
    assert log.chosen.choices[0].weight == 0.9


async def test_the_largest_sum_of_scores_wins_where_it_was_asked_for() -> None:
    texts = [str(text) for text in answers(1, 2, "2.0")]
    config, _ = table(dict(zip(texts, [0.8, 0.5, 0.5], strict=True)))
    best = await search(Revise(attempts=3), ScriptedEngine(texts), verifier=config)
    voted = await search(Revise(attempts=3, pick="weighted_vote"), ScriptedEngine(texts), verifier=config)
    assert [chosen_texts(best), chosen_texts(voted)] == [texts[:1], texts[1:2]]


async def test_chains_do_not_wait_for_each_other() -> None:
    """The slow chain's first attempt ends after the fast chain's last; what is drawn is the same as at equal speed."""

    def script(slow: float) -> ScriptedEngine:
        def reply(prompt: str, number: int) -> Reply:
            return Reply(
                "slow" if number == 0 else f"fast {prompt.count('fast')}", seconds_per_token=slow * (not number)
            )

        return ScriptedEngine(reply)

    config, _ = table({})
    engine = script(0.02)
    log = await search(Revise(attempts=3, chains=2), engine, verifier=config)
    ended = [event.index for event in log.events if isinstance(event, Sampled)]
    assert ended[:4] == [1, 3, 5, 0], "candidates are numbered by their place: attempt by attempt, chain by chain"
    assert sorted(call.sampling.seed for call in engine.calls) == list(range(6))
    even = await search(Revise(attempts=3, chains=2), script(0.0), verifier=config)
    assert [r.sample for r in even.candidates][1::2] == [r.sample for r in log.candidates][1::2]


async def test_a_chain_that_passed_leaves_the_others_at_work() -> None:
    def reply(prompt: str, number: int) -> Reply:
        return Reply("<answer>3</answer>" if number in (1, 4) else f"<answer>{number + 10}</answer>")

    engine = ScriptedEngine(reply)
    log = await search(Revise(attempts=4, chains=2), engine, verifier=ACCEPTS_3)
    assert [call.sampling.seed for call in engine.calls] == [0, 1, 2, 4, 6]
    assert log.chosen.reason == "2 of 2 chains passed, after 5 attempts in all"
    assert chosen_texts(log) == ["<answer>3</answer>"]


async def test_an_undecided_verdict_gives_no_feedback_and_ends_nothing() -> None:
    config, _ = compiler({"a": Verdict.undecided("the compiler is not installed"), "b": Verdict(0.5, reason="so so")})
    engine = ScriptedEngine(["a", "b", "c"])
    log = await search(Revise(attempts=3), engine, verifier=config)
    assert asked(engine)[-1] == ["a", ASK, "b", f"A check of this answer says:\nso so\n\n{ASK}"]
    assert chosen_texts(log) == ["c"]
    assert log.chosen.reason.endswith("1 of 3 candidates could not be judged (the compiler is not installed)")


async def test_a_verifier_that_decides_nothing_leaves_it_to_the_majority() -> None:
    config, _ = table({})
    engine = ScriptedEngine(answers(1, 2, 2))
    log = await search(Revise(attempts=3), engine, verifier=config)
    assert chosen_texts(log) == ["<answer>2</answer>"]
    assert log.chosen.fallback is not None and "the majority decided" in log.chosen.fallback


async def test_equal_attempts_are_judged_once() -> None:
    config, verifier = table({"a": 0.2, "b": 0.1})
    log = await search(Revise(attempts=4), ScriptedEngine(["a", "a", "b", "a"]), verifier=config)
    assert verifier.asked == [["a"], ["b"]]
    assert [event.verdict.score for event in log.events if isinstance(event, Scored)] == [0.2, 0.2, 0.1, 0.2]


async def test_what_was_thought_aloud_is_not_shown() -> None:
    engine = ScriptedEngine(["<think>long</think>\n\n<answer>1</answer>", "<answer>3</answer>"])
    await search(Revise(), engine, verifier=ACCEPTS_3)
    assert asked(engine)[1][0] == "<answer>1</answer>"


async def test_only_the_latest_attempts_are_shown() -> None:
    engine = ScriptedEngine(answers(0, 1, 2, 4, 5))
    log = await search(Revise(attempts=5, shown=2), engine, verifier=ACCEPTS_3)
    assert [event.seen for event in log.events if isinstance(event, Sampled)] == [(), (0,), (0, 1), (1, 2), (2, 3)]
    assert asked(engine)[-1][::2] == list(map(str, answers(2, 4)))


async def test_a_long_reason_loses_its_middle() -> None:
    config, _ = compiler({"a": Verdict.decided(False, "first " + "x" * 500 + " last")})
    engine = ScriptedEngine(["a", "b"])
    await search(Revise(max_feedback=11), engine, verifier=config)
    assert asked(engine)[1][1] == f"A check of this answer says:\nfirst \n…\n last\n\n{ASK}"


@pytest.mark.parametrize("token_ids", [True, False])
async def test_a_conversation_that_no_longer_fits_loses_its_oldest_attempts(token_ids: bool) -> None:
    turn = len("assistant: <answer>0</answer>\n") + len(f"user: {ASK}\n")
    question = len("user: ?\nassistant: ")
    room = len("<answer>0</answer>") + 1
    config, _ = table({})
    engine = ScriptedEngine(answers(0, 1, 2, 4), token_ids=token_ids, context_length=question + 2 * turn + room)
    log = await search(Revise(attempts=4), engine, verifier=config)
    assert [event.seen for event in log.events if isinstance(event, Sampled)] == [(), (0,), (0, 1), (1, 2)]
    assert all(record.status == "finished" for record in log.candidates)


async def test_where_not_even_one_attempt_fits_the_question_is_asked_again() -> None:
    config, _ = table({"x" * 60: 0.1, "<answer>3</answer>": 0.8})
    engine = ScriptedEngine(["x" * 60, "<answer>3</answer>"], context_length=100)
    log = await search(Revise(attempts=2), engine, verifier=config)
    assert asked(engine) == [[], []]
    assert chosen_texts(log) == ["<answer>3</answer>"]


async def test_a_question_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="context holds 8"):
        await search(Revise(), ScriptedEngine(["a"], context_length=8), verifier=ACCEPTS_3)


async def test_engines_that_read_conversations_revise_too() -> None:
    engine = ScriptedEngine(answers(1, 3), token_ids=False)
    log = await search(Revise(), engine, verifier=ACCEPTS_3)
    assert asked(engine) == [[], ["<answer>1</answer>", asked(engine)[1][1]]]
    assert chosen_texts(log) == ["<answer>3</answer>"]
    assert log.prompt_tokens == len("user: ?\nassistant: "), "of the question, and not of a revision"


async def test_a_failed_attempt_is_not_shown() -> None:
    engine = ScriptedEngine([Reply("<answer>9</answer>", finish="error"), *answers(1, 3)])
    log = await search(Revise(), engine, verifier=ACCEPTS_3)
    assert [turns[:1] for turns in asked(engine)] == [[], [], ["<answer>1</answer>"]]
    assert [event.index for event in log.events if isinstance(event, Failed)] == [0]
    assert log.chosen.reason == "1 of 1 chains passed, after 3 attempts in all"


async def test_all_attempts_failed() -> None:
    with pytest.raises(SearchFailed, match="All 4 samples failed: scripted failure"):
        await search(Revise(attempts=2, chains=2), ScriptedEngine([Reply("x", finish="error")]), verifier=ACCEPTS_3)


async def test_a_truncated_attempt_wins_only_where_none_ended() -> None:
    config, _ = table({"cut": 0.9, "whole": 0.1})
    engine = ScriptedEngine([Reply("cut", finish="length"), "whole"])
    assert chosen_texts(await search(Revise(attempts=2), engine, verifier=config)) == ["whole"]
    assert chosen_texts(
        await search(Revise(attempts=1), ScriptedEngine([Reply("cut", "length")]), verifier=config)
    ) == ["cut"]


async def test_a_budget_of_tokens_ends_an_attempt_in_its_middle() -> None:
    engine = ScriptedEngine(answers(1, 2, 3))
    log = await search(Revise(), engine, verifier=ACCEPTS_3, limits=Limits(max_tokens_total=25))
    assert log.completion_tokens == engine.stats.generated_tokens_total == 25
    assert [record.status for record in log.candidates] == ["finished", "truncated"]
    assert chosen_texts(log) == ["<answer>1</answer>"]
    assert log.chosen.limit == "max_tokens_total"


async def test_a_budget_of_candidates_counts_attempts() -> None:
    engine = ScriptedEngine(answers(1, 2, 3))
    log = await search(Revise(), engine, verifier=ACCEPTS_3, limits=Limits(max_candidates=2))
    assert len(engine.calls) == len(log.candidates) == 2
    assert log.chosen.limit == "max_candidates"


async def test_leaving_at_any_event_leaves_nothing_running() -> None:
    for count in range(1, 9):
        engine = ScriptedEngine([Reply("<answer>1</answer>", seconds_per_token=0.0001)])
        seen = await first_events(Revise(attempts=2, chains=2), engine, count, verifier=ACCEPTS_3)
        await asyncio.sleep(0)
        assert len(seen) == count
        assert engine.stats.running == 0


async def test_chains_of_cold_requests_are_warmed() -> None:
    config, _ = table({})
    engine = ScriptedEngine(answers(1))
    await search(Revise(attempts=1, chains=2), engine, verifier=config, sampling=Sampling(temperature=0))
    assert [call.sampling.temperature for call in engine.calls] == [0.6, 0.6]


def test_short_names() -> None:
    assert parse_strategy("revise-3") == Revise(attempts=3)
    assert parse_strategy("revise-3x2") == Revise(attempts=3, chains=2)
    with pytest.raises(InvalidRequest, match=r"attempts: .*greater than or equal to 1"):
        parse_strategy("revise-0")
