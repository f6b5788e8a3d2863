"""A language model as completer: what it reads, what is judged, and what nobody could decide."""

import asyncio
from collections.abc import Sequence

from deliberate.engines.protocol import Sample, Sampling
from deliberate.engines.scripted import END_OF_SEQUENCE, ByteTokenizer, Reply, ScriptedEngine
from deliberate.training.labelling.completing import EngineCompleter, Judge
from deliberate.training.sampling.groups import Patience
from deliberate.verifiers.protocol import Verdict

TOKENIZER = ByteTokenizer()
PROMPT = tuple(TOKENIZER.encode("Q\n"))


class Asked:
    """Judges by the end of the text, and remembers what it read."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def __call__(self, samples: Sequence[Sample]) -> Sequence[Verdict | None]:
        self.texts += [sample.text for sample in samples]
        return [_verdict(sample.text) for sample in samples]


def _verdict(text: str) -> Verdict | None:
    verdicts = {"r": Verdict.decided(True), "w": Verdict.decided(False), "h": Verdict(0.5), "l": Verdict(0.4)}
    return verdicts.get(text[-1:], Verdict.undecided("?"))


def completer(engine: ScriptedEngine, judge: Judge, max_tokens: int | None = None) -> EngineCompleter:
    return EngineCompleter(
        engine, PROMPT, Sampling(max_tokens=max_tokens), judge, asyncio.Semaphore(1), Patience(1, 0.0)
    )


async def test_the_model_reads_the_prompt_and_the_prefix_and_the_whole_is_judged() -> None:
    judge, prefix = Asked(), tuple(TOKENIZER.encode("1\n"))
    engine = ScriptedEngine([Reply("2r"), Reply("2w"), Reply("h"), Reply("l"), Reply("x")])
    completions = await completer(engine, judge, max_tokens=10).complete(prefix, 5, seed=7)
    (call,) = engine.calls
    assert call.prompt_ids == PROMPT + prefix
    assert (call.sampling.seed, call.sampling.max_tokens, call.n) == (7, 8, 5)
    assert sorted(judge.texts) == sorted(["1\n2r", "1\n2w", "1\nh", "1\nl", "1\nx"])
    assert [completion.right for completion in completions] == [True, False, True, False, None]
    assert completions[0].tokens == (*TOKENIZER.encode("2r"), END_OF_SEQUENCE)


async def test_completions_that_fail_are_undecided() -> None:
    engine = ScriptedEngine([Reply("r"), Reply("w", finish="error"), Reply("", finish="error")])
    completions = await completer(engine, Asked()).complete((), 2, seed=0)
    assert [completion.right for completion in completions] == [True, None]


async def test_where_there_is_no_room_nothing_is_asked_and_nothing_decided() -> None:
    engine = ScriptedEngine([Reply("r")])
    completions = await completer(engine, Asked(), max_tokens=2).complete((49, 50), 3, seed=0)
    assert [completion.right for completion in completions] == [None] * 3
    assert not engine.calls


async def test_a_completion_that_was_cut_says_so() -> None:
    engine = ScriptedEngine([Reply("1234r")])
    (completion,) = await completer(engine, Asked(), max_tokens=3).complete((), 1, seed=0)
    assert not completion.finished and completion.tokens == tuple(TOKENIZER.encode("123"))
