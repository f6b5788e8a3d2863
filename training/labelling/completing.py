"""A language model as the completer of one problem, judged by the problem's verifier."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from deliberate.engines.protocol import Engine, Prompt, Sample, Sampling
from deliberate.training.labelling.completions import Completion
from deliberate.training.sampling.groups import Group, Patience
from deliberate.verifiers.protocol import Verdict

Judge = Callable[[Sequence[Sample]], Awaitable[Sequence[Verdict | None]]]
"""Judges whole solutions."""

RIGHT = 0.5
"""Least score of a right solution, from verifiers that do not accept or reject."""


def is_right(score: float | None) -> bool | None:
    """Whether a solution of that score is right; None without one."""
    return None if score is None else score >= RIGHT


@dataclass(frozen=True, slots=True)
class EngineCompleter:
    """Draws completions after a prompt. The engine takes token ids, so that a prefix is extended exactly."""

    engine: Engine
    prompt: tuple[int, ...]
    sampling: Sampling
    """`max_tokens` is the whole solution's."""
    judge: Judge
    turnstile: asyncio.Semaphore
    """Of calls of the engine, shared by all problems."""
    patience: Patience

    async def complete(self, prefix: tuple[int, ...], n: int, seed: int) -> list[Completion]:
        """n ways to go on. What a server lost, or what has no room, is undecided.

        Raises what `Group.draw` raises.
        """
        most = self._room(prefix)
        if most is not None and most < 1:
            return [_LOST] * n
        sampling = self.sampling.model_copy(update={"max_tokens": most, "seed": seed})
        group = Group(self.engine, Prompt(self.prompt + prefix), sampling, n)
        async with self.turnstile:
            await group.draw(self.patience)
        drawn = list(group.samples.values())
        verdicts = await self.judge([self._whole(prefix, sample) for sample in drawn])
        completions = [_completion(sample, verdict) for sample, verdict in zip(drawn, verdicts, strict=True)]
        by_number = dict(zip(group.samples, completions, strict=True))
        return [by_number.get(number, _LOST) for number in range(n)]

    def _room(self, prefix: tuple[int, ...]) -> int | None:
        """Most tokens that may follow; None where the engine knows best."""
        context, most = self.engine.capabilities.context_length, self.sampling.max_tokens
        limits = [
            None if context is None else context - len(self.prompt) - len(prefix),
            None if most is None else most - len(prefix),
        ]
        return min((limit for limit in limits if limit is not None), default=None)

    def _whole(self, prefix: tuple[int, ...], sample: Sample) -> Sample:
        """The solution that verifiers judge."""
        if not prefix:
            return sample
        tokens = prefix + sample.token_ids
        return Sample(self.engine.tokenizer.decode(tokens), tokens, (), sample.finish)


_LOST = Completion((), None, finished=False)


def _completion(sample: Sample, verdict: Verdict | None) -> Completion:
    finished = sample.finish.reason == "stop"
    if verdict is None:
        return Completion(sample.token_ids, None, finished)
    right = verdict.passed if verdict.passed is not None else is_right(verdict.score)
    return Completion(sample.token_ids, right, finished)
