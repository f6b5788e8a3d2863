"""rStar on scripted replies: which actions are drawn after which, what they read, and which candidates are trusted."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deliberate.engines.errors import InvalidRequest, SearchFailed, UnknownName
from deliberate.engines.protocol import Conversation, Sampling
from deliberate.engines.scripted import ByteTokenizer, Reply, ScriptedEngine
from deliberate.search.actions import FOLLOWERS, Action
from deliberate.search.budget import Limits
from deliberate.search.deliberation import prepare
from deliberate.search.events import PROMPT, Completed, Expanded, Failed, Retraced, Scored, Visited
from deliberate.search.log import Log
from deliberate.search.registry import parse_strategy
from deliberate.search.strategies.rstar import RStar
from deliberate.search.strategy import Strategy
from deliberate.verifiers.protocol import Resources, VerifierConfig
from deliberate.verifiers.registry import parse_verifier
from deliberate.verifiers.workers import WorkerPool

from ..searching import QUESTION, chosen_texts, first_events, search, table

PLAIN = "user: ?\nassistant: "
PARTS = f"user: ?\n\n{RStar().ask_parts}\nassistant: "
REPHRASE = f"user: ?\n\n{RStar().ask_rephrase}\nassistant: "
REPHRASED = "user: ?\n\nIn other words: Which?\nassistant: "
WORKERS = WorkerPool()


def obedient(prompt: str, number: int) -> Reply:
    """Does as each action asks: steps are short, and chains of two steps end."""
    asked, _, written = prompt.partition("assistant: ")
    if RStar().ask_rephrase in asked:
        return Reply("Which?")
    if written.endswith("How many?"):
        return Reply(" 5.\n\nmore")
    if RStar().ask_parts in asked:
        return Reply("How many? 4.\n\nmore")
    if written.count("\n\n") < 2:
        return Reply("So 4.\n\nmore")
    return Reply("<answer>4</answer>")


def whimsical(salt: int, slow: float = 0.0) -> Callable[[str, int], Reply]:
    """Replies that depend on the prompt alone, at uneven speed."""

    def reply(prompt: str, number: int) -> Reply:
        rng, haste = Random(f"{salt}:{prompt}"), Random(f"{salt}:{number}")
        text = rng.choice(
            ["Why? No.\n\n-", f"{len(prompt)}\n\n-", "a\n\n-", "<answer>1</answer>", "<answer>2</answer>"]
        )
        finish = "length" if rng.random() < 0.1 else "stop"
        return Reply(text, finish, seconds_per_token=haste.choice([0.0, slow]))

    return reply


def _way(event: Expanded, taken: dict[int, Expanded]) -> Iterator[Expanded]:
    """A step and those before it."""
    while True:
        yield event
        if event.parent == PROMPT:
            return
        event = taken[event.parent]


def paths(log: Log) -> list[str]:
    """Every step with the actions that led to it."""
    names = {PROMPT: ""}
    for event in log.events:
        if isinstance(event, Expanded):
            names[event.index] = f"{names[event.parent]}/{event.action}: {event.step.text}"
    return sorted(name for name in names.values() if name)


async def with_critic(
    strategy: Strategy, policy: ScriptedEngine, critic: ScriptedEngine, verifier: VerifierConfig | None = None
) -> Log:
    """A search whose discriminator is the served model "critic"."""
    resources = Resources(WORKERS, {"policy": policy, "critic": critic}, policy="policy")
    ready = prepare(strategy, Conversation((QUESTION,)), Sampling(), resources, default_verifier=verifier)
    log = Log()
    async with aclosing(ready.events()) as events:
        async for event in events:
            log.add(event)
    return log


class TestActions:
    async def test_what_each_action_reads_and_adds(self) -> None:
        engine = ScriptedEngine(obedient)
        log = await search(RStar(simulations=48, max_steps=4), engine)
        read = {bytes(call.prompt_ids).decode() for call in engine.calls}
        assert {PLAIN, PARTS, REPHRASE, REPHRASED} <= read
        assert f"{PLAIN}So 4.\n\n" in read, "a step, or all that is left, after a step"
        assert f"{PARTS}How many? 4.\n\n" in read, "another question after a first"
        assert f"{PLAIN}How many? 4.\n\nSo 4.\n\n" in read, "steps after a question and its answer"
        assert f"{PARTS}How many?" in read, "another answer to the same question"
        assert f"{PLAIN}How many? 5.\n\n" in read, "which takes the place of the first"
        assert f"{REPHRASED}So 4.\n\n" in read, "what follows other words reads them"
        texts = {event.sample.text for event in log.events if isinstance(event, Completed)}
        assert all("Which?" not in text for text in texts), "a rephrasing is no part of an answer"

    async def test_steps_end_at_the_separator_and_the_rest_does_not(self) -> None:
        engine = ScriptedEngine(obedient)
        await search(RStar(simulations=16), engine)
        stops = {call.sampling.stop for call in engine.calls if bytes(call.prompt_ids).decode() == REPHRASE}
        assert stops == {()}
        assert {call.sampling.stop for call in engine.calls} == {(), ("\n\n",)}

    @settings(max_examples=15, deadline=None)
    @given(salt=st.integers(0, 10_000))
    def test_only_what_may_follow_follows(self, salt: int) -> None:
        strategy = RStar(simulations=24, max_steps=3)
        log = asyncio.run(search(strategy, ScriptedEngine(whimsical(salt))))
        taken = {event.index: event for event in log.events if isinstance(event, Expanded)}
        for event in taken.values():
            before = None if event.parent == PROMPT else Action(taken[event.parent].action)
            assert Action(event.action) in FOLLOWERS[before]
            twins = [other for other in taken.values() if (other.parent, other.action) == (event.parent, event.action)]
            assert len(twins) <= 3
            assert len(twins) == 1 or event.action in (Action.STEP, Action.SUB_QUESTION)
            depth = len(list(_way(event, taken)))
            assert depth <= 3
            assert depth < 3 or event.action == Action.REST

    async def test_a_rephrasing_that_says_nothing_is_not_followed(self) -> None:
        def reply(prompt: str, number: int) -> Reply:
            return Reply("" if RStar().ask_rephrase in prompt else "<answer>1</answer>")

        engine = ScriptedEngine(reply)
        log = await search(RStar(simulations=64), engine)
        assert "8 of 64 simulations ended, no action is open" in log.chosen.reason
        assert "In other words" not in "".join(bytes(call.prompt_ids).decode() for call in engine.calls)

    async def test_prompts_that_do_not_fit_are_not_tried(self) -> None:
        engine = ScriptedEngine(["So.\n\n-", "<answer>1</answer>"], context_length=len(PLAIN) + 40)
        log = await search(RStar(simulations=8), engine)
        assert {event.action for event in log.events if isinstance(event, Expanded)} == {"step", "rest"}


class TestSearch:
    async def test_the_exact_tree_of_a_seed(self) -> None:
        engine = ScriptedEngine(obedient)
        log = await search(RStar(simulations=3, in_flight=1, checks=1), engine, sampling=Sampling(seed=5))
        steps = [
            (event.index, event.parent, event.action, event.step.text)
            for event in log.events
            if isinstance(event, Expanded)
        ]
        assert steps == [
            (0, PROMPT, "step", "So 4."),
            (1, 0, "rest", "So 4.\n\nmore"),
            (2, PROMPT, "sub_question", "How many? 4."),
            (3, 2, "sub_question", "How many? 4."),
            (4, 3, "step", "<answer>4</answer>"),
            (5, PROMPT, "sub_question", "How many? 4."),
            (6, 5, "step", "So 4."),
            (7, 6, "step", "<answer>4</answer>"),
        ]
        order = [
            (type(event).__name__, event.index)
            for event in log.events
            if isinstance(event, Completed | Retraced | Visited)
        ]
        assert order == [
            *[("Visited", 0), ("Visited", 1), ("Completed", 1), ("Retraced", 1)],
            *[("Visited", 2), ("Visited", 3), ("Visited", 4), ("Completed", 4), ("Retraced", 4)],
            *[("Visited", 5), ("Visited", 6), ("Visited", 7), ("Completed", 7), ("Retraced", 7)],
        ]
        assert len(engine.calls) == len(steps) + 3, "one for each step, and one for each candidate's check"
        assert len({call.sampling.seed for call in engine.calls}) == len(engine.calls)
        assert chosen_texts(log) == ["So 4.\n\nSo 4.\n\nmore"]
        assert log.chosen.reason == "3 of 3 simulations ended; 3 of 3 different candidates were found consistent"
        assert log.completion_tokens == sum(event.spent for event in log.events) == engine.stats.generated_tokens_total

    @pytest.mark.parametrize("salt", range(4))
    async def test_the_tree_does_not_depend_on_what_ran_when(self, salt: int) -> None:
        runs = [
            await search(RStar(simulations=16), ScriptedEngine(whimsical(salt, slow)), sampling=Sampling(seed=salt))
            for slow in (0.0, 0.001)
        ]
        assert paths(runs[0]) == paths(runs[1])
        assert chosen_texts(runs[0]) == chosen_texts(runs[1])
        assert runs[0].completion_tokens == runs[1].completion_tokens

    async def test_simulations_do_not_wait_for_each_other(self) -> None:
        """The first simulation's first action ends last: by then the second has its answer, and that was checked."""

        def reply(prompt: str, number: int) -> Reply:
            quick = obedient(prompt, number)
            return Reply(quick.text, seconds_per_token=0.05) if number == 0 else quick

        log = await search(RStar(simulations=2, in_flight=2), ScriptedEngine(reply))
        order = [type(event).__name__ for event in log.events]
        first = next(at for at, event in enumerate(log.events) if isinstance(event, Expanded) and event.index == 0)
        assert "Completed" in order[:first]
        assert "Retraced" in order[:first]

    async def test_all_that_is_open_is_found_and_then_it_ends(self) -> None:
        log = await search(RStar(simulations=100, max_steps=1), ScriptedEngine(["<answer>1</answer>"]))
        assert paths(log) == ["/rest: <answer>1</answer>"]
        assert log.chosen.reason.startswith("1 of 100 simulations ended, no action is open")

    async def test_equal_steps_are_followed_as_one(self) -> None:
        log = await search(RStar(simulations=40, in_flight=1, max_steps=3), ScriptedEngine(obedient))
        taken = [event for event in log.events if isinstance(event, Expanded)]
        first = [event.index for event in taken if event.parent == PROMPT and event.action == Action.STEP]
        followers = [sum(event.parent == index for event in taken) for index in first]
        assert len(first) == 3
        assert followers[0] == 4, "three steps and all that is left"
        assert followers[1:] == [1, 1], "only what the simulation that drew it went on with"

    async def test_answers_are_worth_what_agrees_with_them(self) -> None:
        """Of four answers three agree; what the first was worth changed with each further one."""
        engine = ScriptedEngine(lambda prompt, number: Reply(f"<answer>{1 + (number == 2)}</answer>"))
        log = await with_critic(
            RStar(simulations=4, in_flight=1, pick="score", discriminator="critic"),
            engine,
            ScriptedEngine(["<answer>1</answer>"]),
        )
        values = [event.value for event in log.events if isinstance(event, Visited)]
        assert values == [1, 1, pytest.approx(1 / 3), pytest.approx(3 / 4)]
        assert chosen_texts(log) == ["<answer>1</answer>"]
        assert log.chosen.choices[0].weight == 3 / 4

    async def test_a_default_verifier_is_not_asked_unless_it_is_named(self) -> None:
        config, verifier = table({"<answer>4</answer>": 0.9})
        await search(RStar(simulations=4), ScriptedEngine(obedient), verifier=config)
        assert verifier.asked == []

    async def test_a_verifier_rewards_where_one_is_named(self) -> None:
        """The rarer answer is the one that it likes; what it cannot judge has no weight."""
        verifier = parse_verifier({"kind": "regex", "pattern": "<answer>2"})
        replies = ScriptedEngine(lambda prompt, number: Reply(f"<answer>{1 + (number == 3)}</answer>"))
        critic = ScriptedEngine([" <answer>2</answer>"])
        log = await with_critic(RStar(simulations=8, verifier=verifier, discriminator="critic"), replies, critic)
        assert chosen_texts(log)[0] == "<answer>2</answer>"
        assert log.chosen.choices[0].weight == 1

    async def test_one_that_judges_whole_answers_will_do(self) -> None:
        verifier = parse_verifier({"kind": "regex", "pattern": "<answer>4"})
        log = await search(RStar(simulations=4, verifier=verifier), ScriptedEngine(obedient))
        scored = {event.index for event in log.events if isinstance(event, Scored)}
        assert scored == {event.index for event in log.events if isinstance(event, Completed)}
        assert log.chosen.choices[0].weight >= 1

    async def test_failed_steps_end_their_simulation_alone(self) -> None:
        def reply(prompt: str, number: int) -> Reply:
            return Reply("oh", "error") if number % 4 == 1 else obedient(prompt, number)

        log = await search(RStar(simulations=8), ScriptedEngine(reply))
        assert any(isinstance(event, Failed) for event in log.events)
        assert "8 of 8 simulations ended" in log.chosen.reason

    async def test_all_steps_failed(self) -> None:
        with pytest.raises(SearchFailed, match=r"All 8 samples failed: scripted failure"):
            await search(RStar(), ScriptedEngine([Reply("x", "error")]))

    @pytest.mark.parametrize("tokens", [1, 9, 40, 120])
    async def test_a_budget_ends_it_in_the_middle(self, tokens: int) -> None:
        engine = ScriptedEngine(obedient)
        log = await search(RStar(simulations=64), engine, limits=Limits(max_tokens_total=tokens))
        assert log.chosen.limit == "max_tokens_total"
        assert tokens <= log.completion_tokens == engine.stats.generated_tokens_total <= tokens + RStar().slots
        assert engine.stats.running == 0

    async def test_leaving_at_any_event_leaves_nothing_running(self) -> None:
        whole = await search(RStar(simulations=4), ScriptedEngine(obedient))
        for count in range(1, len(whole.events)):
            engine = ScriptedEngine(obedient)
            assert len(await first_events(RStar(simulations=4), engine, count)) == count
            await asyncio.sleep(0)
            assert engine.stats.running == 0


class TestConsistency:
    async def test_the_second_model_decides_between_answers(self) -> None:
        """One answer is given often, and the other model never comes to it."""

        def reply(prompt: str, number: int) -> Reply:
            return Reply(f"<answer>{2 if number % 4 == 3 else 1}</answer>")

        def sceptic(prompt: str, number: int) -> Reply:
            written = prompt.partition("assistant: ")[2]
            return Reply(" no: <answer>2</answer>" if written else "<answer>2</answer>")

        policy, critic = ScriptedEngine(reply), ScriptedEngine(sceptic)
        strategy = RStar(simulations=8, checks=1, discriminator="critic")
        assert chosen_texts(
            await search(strategy.model_copy(update={"discriminator": None}), ScriptedEngine(reply))
        ) == ["<answer>1</answer>"]
        log = await with_critic(strategy, policy, critic)
        assert chosen_texts(log) == ["<answer>2</answer>"]
        checks = {event.index: event.agrees for event in log.events if isinstance(event, Retraced)}
        texts = {record.index: record.sample.text for record in log.candidates if record.sample is not None}
        assert {texts[index]: agrees for index, agrees in checks.items()} == {
            "<answer>1</answer>": False,
            "<answer>2</answer>": True,
        }
        assert len(critic.calls) == 2, "equal candidates are checked once"
        assert log.chosen.reason.endswith("1 of 2 different candidates were found consistent")
        spent = policy.stats.generated_tokens_total + critic.stats.generated_tokens_total
        assert log.completion_tokens == sum(event.spent for event in log.events) == spent

    async def test_it_is_given_a_beginning_of_the_asked_length_as_sampled(self) -> None:
        policy = ScriptedEngine(lambda prompt, number: Reply("x" * 90 + f"<answer>{number}</answer>"))
        critic = ScriptedEngine(["<answer>0</answer>"])
        await with_critic(RStar(simulations=2, discriminator="critic"), policy, critic)
        shares = [(len(call.prompt_ids) - len(PLAIN)) / len("x" * 90 + "<answer>1</answer>.") for call in critic.calls]
        assert len(shares) == 8
        assert len(set(shares)) > 1
        assert all(0.19 <= share <= 0.8 for share in shares)
        assert all(bytes(call.prompt_ids).decode().startswith(PLAIN + "x") for call in critic.calls)

    async def test_a_model_of_another_vocabulary_reads_the_text(self) -> None:
        class Shifted(ByteTokenizer):
            fingerprint = "shifted"

            def encode(self, text: str) -> list[int]:
                return [*b"::", *text.encode()]

        critic = ScriptedEngine(["<answer>7</answer>"])
        critic.tokenizer = Shifted()
        policy = ScriptedEngine(["x" * 50 + "<answer>7</answer>"])
        log = await with_critic(RStar(simulations=1, checks=1, discriminator="critic"), policy, critic)
        assert b"::xxx" in bytes(critic.calls[0].prompt_ids)
        assert [event.agrees for event in log.events if isinstance(event, Retraced)] == [True]

    async def test_consistency_is_the_share_that_agrees(self) -> None:
        policy = ScriptedEngine(["<answer>1</answer>"])
        critic = ScriptedEngine(
            [" no: <answer>2</answer>", " yes: <answer>1</answer>", " no: <answer>2</answer>", "hm"]
        )
        strategy = RStar(simulations=1, discriminator="critic", least_shown=0, most_shown=0)
        log = await with_critic(strategy, policy, critic)
        assert len({call.sampling.seed for call in critic.calls}) == len(critic.calls) == 4
        assert sorted(event.agrees is True for event in log.events if isinstance(event, Retraced)) == [False] * 3 + [
            True
        ]
        assert log.chosen.choices[0].weight == 1 / 4

    async def test_where_nobody_is_consistent_rewards_decide(self) -> None:
        policy = ScriptedEngine(lambda prompt, number: Reply(f"<answer>{1 + (number == 0)}</answer>"))
        log = await with_critic(
            RStar(simulations=6, discriminator="critic"), policy, ScriptedEngine(["<answer>9</answer>"])
        )
        assert chosen_texts(log) == ["<answer>1</answer>"]
        assert log.chosen.reason.endswith("0 of 2 different candidates were found consistent")

    async def test_what_could_not_be_finished_is_not_held_against_a_candidate(self) -> None:
        policy = ScriptedEngine(["<answer>1</answer>"])
        log = await with_critic(
            RStar(simulations=3, discriminator="critic"), policy, ScriptedEngine([Reply("", "error")])
        )
        assert {event.agrees for event in log.events if isinstance(event, Retraced)} == {None}
        assert log.chosen.choices[0].weight > 0

    async def test_a_model_that_is_not_served_is_named(self) -> None:
        engine = ScriptedEngine(obedient)
        with pytest.raises(UnknownName, match="Unknown model 'critik'; known: policy"):
            await search(RStar(discriminator="critik"), engine)
        assert engine.calls == []

    async def test_a_model_that_cannot_continue_is_refused(self) -> None:
        policy, critic = ScriptedEngine(obedient), ScriptedEngine(obedient, token_ids=False)
        with pytest.raises(InvalidRequest, match="model 'critic' reads conversations"):
            await with_critic(RStar(discriminator="critic"), policy, critic)
        assert policy.calls == critic.calls == []


def test_short_names_and_options() -> None:
    assert parse_strategy("rstar-32") == RStar(simulations=32)
    with pytest.raises(InvalidRequest, match=r"least_shown = 0\.9 is above most_shown = 0\.8"):
        parse_strategy({"kind": "rstar", "least_shown": 0.9})
