"""Log-probabilities of given tokens, as vLLM's POST /v1/completions tells them beside one new token."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel

from deliberate.engines.errors import UpstreamFailed
from deliberate.engines.merging import together
from deliberate.engines.openai.asking import answer
from deliberate.engines.openai.fleet import Fleet
from deliberate.engines.openai.routing import token_path
from deliberate.engines.openai.usage import Usage


class _Logprob(BaseModel, frozen=True):
    logprob: float


class _Logprobs(BaseModel, frozen=True):
    top_logprobs: tuple[dict[str, float]]


class _Choice(BaseModel, frozen=True):
    logprobs: _Logprobs
    prompt_logprobs: tuple[dict[int, _Logprob] | None, ...] | None = None
    """Of each token of the prompt but the first, which follows nothing."""

    def following(self, tokens: Sequence[int]) -> tuple[float, ...]:
        """Log-probabilities of these tokens after the prompt. Raises KeyError for one that was not told."""
        return tuple(self.logprobs.top_logprobs[0][f"token_id:{token}"] for token in tokens)

    def within(self, tokens: Sequence[int], start: int) -> tuple[float, ...]:
        """Log-probabilities of the prompt's tokens from `start` on. Raises KeyError for one that was not told."""
        told = [of_token or {} for of_token in self.prompt_logprobs or ()]
        return tuple(told[i][tokens[i]].logprob for i in range(start, len(tokens)))


class _Completion(BaseModel, frozen=True):
    choices: tuple[_Choice]
    usage: Usage | None = None


class Reader:
    """Reads sequences under the model of a fleet."""

    def __init__(self, fleet: Fleet, model: str) -> None:
        self._fleet = fleet
        self._model = model

    async def score(self, sequence: Sequence[int], start: int) -> tuple[float, ...]:
        """log p of the tokens from `start` on. The last one is looked up among those that could follow the others,
        so that a sequence may fill the context."""
        if start == len(sequence):
            return ()
        *before, last = sequence
        choice = await self._look(before, [last], {"prompt_logprobs": 0})
        with self._told():
            return (*choice.within(before, start), *choice.following([last]))

    async def next_logprobs(
        self, sequence: Sequence[int], positions: Sequence[int], tokens: Sequence[int]
    ) -> tuple[tuple[float, ...], ...]:
        """log p of each of the tokens after each position. The last position goes first: the others find their
        beginnings in its prefix cache."""
        if not positions:
            return ()
        last = await self._look(sequence[: positions[-1] + 1], tokens)
        choices = await together([self._look(sequence[: at + 1], tokens) for at in positions[:-1]])
        with self._told():
            return tuple(choice.following(tokens) for choice in [*choices, last])

    @contextmanager
    def _told(self) -> Generator[None, None, None]:
        try:
            yield
        except LookupError as error:
            raise UpstreamFailed(
                f"An upstream of {self._model!r} did not tell the token {error} it was asked for."
            ) from error

    async def _look(
        self, prompt: Sequence[int], tokens: Sequence[int], more: Mapping[str, Any] | None = None
    ) -> _Choice:
        body = {
            "model": self._model,
            "prompt": list(prompt),
            "max_tokens": 1,
            "logprobs": 1,
            "logprob_token_ids": list(dict.fromkeys(tokens)),
            "return_tokens_as_token_ids": True,
            **(more or {}),
        }
        completion = await answer(
            self._fleet, token_path(prompt), lambda address: address.completions, body, _Completion
        )
        self._fleet.counters.read(completion.usage, len(prompt))
        return completion.choices[0]
