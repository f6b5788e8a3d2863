"""An engine that remembers its samples, so that strategies can be compared on the same ones."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from deliberate.engines.passing import PassingEngine
from deliberate.engines.protocol import Delta, Engine, Prompt, Sample, SampleBuilder, Sampling

_Key = tuple[tuple[int, ...], str, int]


class RecordingEngine(PassingEngine):
    """Passes calls on to an engine and keeps every finished sample and score.

    With `replay` what was drawn before comes from memory: sample `i` of a prompt depends on its seed alone, so a
    search of width 4 sees the first four samples of an earlier search of width 16.
    """

    def __init__(self, engine: Engine, *, replay: bool = False) -> None:
        super().__init__(engine)
        self.replay = replay
        self._samples: dict[_Key, Sample] = {}
        self._scores: dict[tuple[tuple[int, ...], int], tuple[float, ...]] = {}

    async def generate(self, prompt: Prompt, sampling: Sampling, n: int = 1) -> AsyncGenerator[Delta, None]:
        keys = [_key(prompt, sampling, i) for i in range(n)]
        known = [i for i in range(n) if self.replay and keys[i] in self._samples]
        for i in known:
            yield _whole(i, self._samples[keys[i]])
        for first, count in _runs([i for i in range(n) if i not in known]):
            builders = [SampleBuilder() for _ in range(count)]
            shifted = sampling.model_copy(update={"seed": sampling.seed + first})
            async with aclosing(self._behind.generate(prompt, shifted, count)) as deltas:
                async for delta in deltas:
                    sample = builders[delta.index].add(delta)
                    if sample is not None:
                        self._samples[keys[first + delta.index]] = sample
                    yield replace(delta, index=first + delta.index)

    async def score(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> list[tuple[float, ...]]:
        keys = [(tuple(tokens), start) for tokens, start in zip(sequences, starts, strict=True)]
        missing = [key for key in dict.fromkeys(keys) if not (self.replay and key in self._scores)]
        if missing:
            scores = await self._behind.score([tokens for tokens, _ in missing], [start for _, start in missing])
            self._scores.update(zip(missing, scores, strict=True))
        return [self._scores[key] for key in keys]


def _key(prompt: Prompt, sampling: Sampling, index: int) -> _Key:
    """What a sample depends on, and nothing else."""
    options = sampling.model_dump_json(exclude={"seed", "stream_interval"})
    return prompt.token_ids, options, sampling.seed + index


def _whole(index: int, sample: Sample) -> Delta:
    return Delta(
        index,
        sample.text,
        sample.token_ids,
        sample.logprobs,
        sample.top_logprobs,
        sample.finish,
        sample.unseen_tokens,
    )


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """Ascending numbers as (first, count) of consecutive ones."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and sum(runs[-1]) == number:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((number, 1))
    return runs
