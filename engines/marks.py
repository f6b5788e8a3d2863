"""Generative reward models: language models that were trained to say + or - where a step ends.

Math-Shepherd (Wang 2023) reads them at the mark ` ки` that closes each step, RLHFlow's models (Dong 2024) before the
assistant's `+`.
"""

from collections.abc import Sequence

from deliberate.engines.passing import PassingModel
from deliberate.engines.protocol import Engine


class MarkScorer(PassingModel[Engine]):
    """log p(positive) - log p(negative) as the next token: the log-odds of a softmax over these two tokens alone.

    Infinite where one of the two has no probability at all, not a number where neither has any.
    """

    def __init__(self, engine: Engine, positive: int, negative: int) -> None:
        super().__init__(engine)
        self._marks = (positive, negative)

    async def score(
        self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]
    ) -> list[tuple[float, ...]]:
        values = await self._behind.next_logprobs(sequences, positions, self._marks)
        return [tuple(positive - negative for positive, negative in said) for said in values]
