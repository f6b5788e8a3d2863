"""Samples by token ids: vLLM's POST /v1/completions. A broken sample goes on from the tokens that it has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from deliberate.engines.openai.addresses import Address
from deliberate.engines.openai.growing import GrowingSample
from deliberate.engines.openai.routing import Path, token_path
from deliberate.engines.openai.upstream import Upstream
from deliberate.engines.openai.usage import Usage
from deliberate.engines.protocol import Delta, Finish, Sampling, StructuredOutput

_TOKEN = "token_id:"
"""Before the id, in place of a token's text, as `return_tokens_as_token_ids` asks for."""


class _Logprobs(BaseModel, frozen=True):
    token_logprobs: tuple[float, ...]
    top_logprobs: tuple[dict[str, float], ...] = ()


class _Choice(BaseModel, frozen=True):
    index: int
    text: str
    token_ids: tuple[int, ...]
    logprobs: _Logprobs
    finish_reason: Literal["stop", "length", "abort", "error", "repetition"] | None = None
    stop_reason: str | int | None = None


class _Chunk(BaseModel, frozen=True):
    choices: tuple[_Choice, ...]
    usage: Usage | None = None


@dataclass(slots=True)
class CompletionCall:
    """One request for all samples while they are fresh; one for each that has to go on elsewhere."""

    prompt: tuple[int, ...]
    sampling: Sampling
    limit: int
    """Most tokens of a sample."""
    samples: Sequence[GrowingSample]
    path: Path
    tried: set[Upstream] = field(default_factory=set[Upstream])
    usage: Usage | None = None

    @classmethod
    def all_of(
        cls, prompt: tuple[int, ...], sampling: Sampling, limit: int, samples: Sequence[GrowingSample]
    ) -> list["CompletionCall"]:
        """The requests to begin with: one, so that the samples share the prompt's reading; vLLM refuses n > 1 greedy
        samples of one request, and the prefix cache does as well."""
        groups = [[sample] for sample in samples] if sampling.temperature == 0 else [samples]
        path = token_path(prompt)
        return [cls(prompt, sampling, limit, group, path) for group in groups]

    @property
    def unfinished(self) -> Sequence[int]:
        return [sample.index for sample in self.samples if not sample.ended]

    @property
    def prompt_tokens(self) -> int:
        return len(self.prompt) + len(self.samples[0].token_ids)

    def url(self, address: Address) -> str:
        return address.completions

    def body(self) -> Mapping[str, Any]:
        first = self.samples[0]
        return {
            "prompt": [*self.prompt, *first.token_ids],
            "n": len(self.samples),
            "seed": first.seed,
            "max_tokens": self.limit - len(first.token_ids),
            **vllm_fields(self.sampling),
            "logprobs": self.sampling.top_logprobs,
            "return_tokens_as_token_ids": True,
            "return_token_ids": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    async def read(self, data: bytes) -> Sequence[Delta]:
        chunk = _Chunk.model_validate_json(data)
        self.usage = chunk.usage or self.usage
        return [delta for choice in chunk.choices if (delta := await self._delta(choice)) is not None]

    async def end(self) -> Sequence[Delta]:
        """Samples that have all their tokens and only were not told that they ended."""
        full = [sample for sample in self.samples if not sample.ended and len(sample.token_ids) >= self.limit]
        return [await sample.grow("", (), (), (), Finish("length")) for sample in full]

    async def remaining(self) -> Sequence["CompletionCall"]:
        left = [sample for sample in self.samples if not sample.ended]
        if not any(sample.token_ids or sample.ended for sample in self.samples):
            return [self._again(left)]
        for sample in left:
            if sample.token_ids:
                await sample.cut(self.sampling)
        return [self._again([sample]) for sample in left]

    def _again(self, samples: Sequence[GrowingSample]) -> "CompletionCall":
        return CompletionCall(self.prompt, self.sampling, self.limit, samples, self.path, set(self.tried))

    async def _delta(self, choice: _Choice) -> Delta | None:
        if not 0 <= choice.index < len(self.samples):
            raise ValueError(f"sample {choice.index} of {len(self.samples)}")
        sample = self.samples[choice.index]
        if sample.ended:
            return None
        logprobs = choice.logprobs.token_logprobs
        top = self._alternatives(choice.logprobs.top_logprobs, len(choice.token_ids))
        if not len(logprobs) == len(top) == len(choice.token_ids):
            raise ValueError("log-probabilities of other tokens")
        return await sample.grow(choice.text, choice.token_ids, logprobs, top, _finish(choice))

    def _alternatives(
        self, given: Sequence[Mapping[str, float]], count: int
    ) -> tuple[tuple[tuple[int, float], ...], ...]:
        """vLLM adds the drawn token to the likeliest ones."""
        wanted = self.sampling.top_logprobs
        if not wanted:
            return ((),) * count
        by_id = ([(int(name.removeprefix(_TOKEN)), value) for name, value in token.items()] for token in given)
        return tuple(tuple(sorted(pairs, key=lambda pair: -pair[1])[:wanted]) for pairs in by_id)


def _finish(choice: _Choice) -> Finish | None:
    match choice.finish_reason:
        case None:
            return None
        case "stop" | "length" as reason:
            return Finish(reason, choice.stop_reason)
        case "repetition":
            return Finish("stop", detail="the upstream ended a repetition")
        case broken:
            raise ValueError(f"the upstream ended a sample with {broken!r}")


def vllm_fields(sampling: Sampling) -> dict[str, Any]:
    """All of them explicit, since vLLM fills what is missing from the model's generation_config."""
    fields = sampling.model_dump(
        include={"temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty"}
    )
    return {
        **fields,
        "repetition_penalty": 1.0,
        "stop": list(sampling.stop),
        "stop_token_ids": list(sampling.stop_token_ids),
        **({"logit_bias": {str(i): bias for i, bias in sampling.logit_bias.items()}} if sampling.logit_bias else {}),
        **_structured_outputs(sampling.structured_output),
        **({"stream_interval": sampling.stream_interval} if sampling.stream_interval > 1 else {}),
    }


def _structured_outputs(form: StructuredOutput | None) -> dict[str, Any]:
    if form is None:
        return {}
    ((name, value),) = form.model_dump(mode="json", exclude_none=True).items()
    return {"structured_outputs": {"json" if name == "json_schema" else name: value}}
