"""Mutual consistency (rStar, Qi et al. 2024, arXiv:2408.06195): a model finishes what a candidate began.

Where two who reason apart come from one beginning to one answer, it is likelier to be right.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from random import Random

from deliberate.engines.protocol import Engine, Prompt, Sample, Sampling, Tokenizer
from deliberate.search.events import Event, Retraced, Sampled
from deliberate.search.nodes import Node
from deliberate.search.ranking import ballot
from deliberate.search.sampling import STREAM_INTERVAL, draw
from deliberate.search.strategy import Context
from deliberate.search.templating import prompt_of
from deliberate.verifiers.chains import same_vocabulary


@dataclass(frozen=True, slots=True)
class Discriminator:
    """A model that is given beginnings of candidates."""

    engine: Engine
    tokenizer: Tokenizer
    """Of the model that wrote the candidates."""
    prompt: tuple[int, ...]
    """The question, as the discriminator reads it."""
    sampling: Sampling
    least: float
    most: float
    """Share of a candidate's tokens that it is given, drawn between these."""

    @classmethod
    async def of(
        cls, context: Context, name: str | None, sampling: Sampling, least: float, most: float
    ) -> "Discriminator":
        """The served model of that name, or the policy itself. Raises InvalidRequest when its template refuses."""
        tokenizer = context.engine.tokenizer
        if name is None:
            return cls(context.engine, tokenizer, context.prompt.token_ids, sampling, least, most)
        engine, conversation = context.engines[name], context.prompt.conversation
        assert conversation is not None, "searches begin with a conversation"
        prompt = await asyncio.to_thread(prompt_of, engine, conversation)
        return cls(engine, tokenizer, prompt.token_ids, sampling, least, most)

    async def retrace(self, node: Node, answer: str, number: int) -> AsyncGenerator[Event, None]:
        """Retraced of a candidate with that answer; nothing where its beginning does not fit the context.

        `number` counts what is drawn of one candidate.
        """
        chance = Random(f"retrace:{node.seed}:{number}")
        text, ids = self._beginning(node.chain, chance.uniform(self.least, self.most))
        context = self.engine.capabilities.context_length
        if context is not None and len(self.prompt) + len(ids) >= context:
            return
        sampling = self._sampling(len(ids), chance.getrandbits(48))
        sample = await draw(self.engine, Prompt(self.prompt + ids), sampling)
        yield Retraced(node.index, sample, _agrees(text, sample, answer))

    def _beginning(self, chain: Sample, share: float) -> tuple[str, tuple[int, ...]]:
        """Its text, and its token ids for the discriminator: as sampled, where these mean the same to it."""
        kept = chain.token_ids[: int(share * len(chain.token_ids))]
        text = b"".join(map(self.tokenizer.token_bytes, kept)).decode(errors="ignore")
        if same_vocabulary(self.engine.tokenizer, self.tokenizer):
            return text, kept
        return text, tuple(self.engine.tokenizer.encode(text))

    def _sampling(self, beginning: int, seed: int) -> Sampling:
        given = self.sampling.max_tokens
        left = None if given is None else max(1, given - beginning)
        changes = {"max_tokens": left, "seed": seed, "structured_output": None, "stream_interval": STREAM_INTERVAL}
        return self.sampling.model_copy(update=changes)


def _agrees(beginning: str, rest: Sample, answer: str) -> bool | None:
    if rest.finish.reason != "stop":
        return None
    return ballot(Sampled(0, replace(rest, text=beginning + rest.text))).answer == answer
