"""An engine as GPUs make them: a decoding step takes the same time whatever the batch, and steps differ in length.

For measurements of what a search does with its time. Its chains have steps of log-normal length, as reasoning models
write them, and their scores are a matter of chance.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from deliberate.engines.protocol import Capabilities, Delta, EngineStats, Finish, Prompt, Sampling
from deliberate.engines.scripted import END_OF_SEQUENCE, ByteTokenizer
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig

SEPARATOR = "\n"


@dataclass(slots=True, eq=False)
class _Sequence:
    index: int
    tokens: list[int]
    """What it will say."""
    finish: Finish
    spoken: int = 0


class SimulatedEngine:
    """Chains of `steps` steps; each token of all running sequences takes `seconds`."""

    def __init__(self, steps: int, mean_length: float, sigma: float, seconds: float) -> None:
        self.capabilities = Capabilities(1 << 20, 257, scores=False)
        self.tokenizer = ByteTokenizer()
        self.stats = EngineStats()
        self.failure: BaseException | None = None
        self.sampling_defaults: Mapping[str, float] = {}
        self._steps = steps
        self._mu = math.log(mean_length) - sigma**2 / 2
        self._sigma = sigma
        self._seconds = seconds
        self._running: dict[_Sequence, asyncio.Queue[Delta]] = {}
        self._clock: asyncio.Task[None] | None = None

    async def generate(self, prompt: Prompt, sampling: Sampling, n: int = 1) -> AsyncGenerator[Delta, None]:
        queue: asyncio.Queue[Delta] = asyncio.Queue()
        last = bytes(prompt.token_ids).count(SEPARATOR.encode()) > self._steps
        mine = {i: self._sequence(i, sampling.seed + i, last) for i in range(n)}
        self._running |= dict.fromkeys(mine.values(), queue)
        self._clock = self._clock or asyncio.create_task(self._tick())
        try:
            while mine:
                delta = await queue.get()
                if delta.finish is not None:
                    del mine[delta.index]
                yield delta
        finally:
            for sequence in mine.values():
                self._running.pop(sequence, None)

    def _sequence(self, index: int, seed: int, last: bool) -> _Sequence:
        random = Random(seed)
        length = max(1, round(random.lognormvariate(self._mu, self._sigma)))
        text = random.choices(range(ord("a"), ord("z") + 1), k=length)
        if last:
            answer = f"<answer>{random.randrange(10)}</answer>".encode()
            return _Sequence(index, [*text, *answer, END_OF_SEQUENCE], Finish("stop"))
        return _Sequence(index, [*text, ord(SEPARATOR)], Finish("stop", SEPARATOR))

    async def _tick(self) -> None:
        while self._running:
            await asyncio.sleep(self._seconds)
            self.stats = replace(
                self.stats,
                decode_steps_total=self.stats.decode_steps_total + bool(self._running),
                decode_sequences_total=self.stats.decode_sequences_total + len(self._running),
                generated_tokens_total=self.stats.generated_tokens_total + len(self._running),
            )
            for sequence, queue in list(self._running.items()):
                queue.put_nowait(self._spoken(sequence))
        self._clock = None

    def _spoken(self, sequence: _Sequence) -> Delta:
        token = sequence.tokens[sequence.spoken]
        sequence.spoken += 1
        if sequence.spoken < len(sequence.tokens):
            return Delta(sequence.index, chr(token), (token,), (-0.1,))
        del self._running[sequence]
        return Delta(sequence.index, "", (token,), (-0.1,), finish=sequence.finish)

    async def score(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> list[tuple[float, ...]]:
        raise NotImplementedError("its chains are judged by `ChanceJudge`")

    async def next_logprobs(
        self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]], tokens: Sequence[int]
    ) -> list[tuple[tuple[float, ...], ...]]:
        raise NotImplementedError("its chains are judged by `ChanceJudge`")

    async def close(self) -> None:
        pass


class Chance(VerifierConfig, frozen=True):
    """Scores by the text alone, after some time."""

    kind: Literal["chance"] = "chance"
    seconds: float
    """Until a verdict."""

    def build(self, resources: Resources) -> "ChanceJudge":
        return ChanceJudge(self.seconds)


@dataclass(frozen=True, slots=True)
class ChanceJudge:
    seconds: float
    judges = Judges.STEPS

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        await asyncio.sleep(self.seconds)
        return [Verdict(Random(candidate.text).random()) for candidate in candidates]
