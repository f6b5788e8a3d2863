"""From the protocol's sampling to vLLM's, and from what vLLM sends back to deltas."""

# pyright: reportMissingImports=false
import math
from collections.abc import Sequence
from typing import Any

from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

from deliberate.engines.huggingface import TokenText
from deliberate.engines.protocol import Delta, Finish, Sampling, StructuredOutput
from deliberate.engines.stopping import StopStrings

GREEDY = 1e-5
"""vLLM takes lower temperatures for 0."""


def sampling_params(sampling: Sampling, max_tokens: int, n: int) -> Any:
    """vLLM's SamplingParams for n samples; it gives sample `i` the seed `seed + i`, as the protocol does."""
    return SamplingParams(
        n=n,
        max_tokens=max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        # vLLM takes -1 for no seed.
        seed=sampling.seed % 2**63,
        stop=list(sampling.stop),
        stop_token_ids=list(sampling.stop_token_ids),
        logit_bias=dict(sampling.logit_bias) or None,
        frequency_penalty=sampling.frequency_penalty,
        presence_penalty=sampling.presence_penalty,
        logprobs=sampling.top_logprobs,
        flat_logprobs=True,
        structured_outputs=_structured_outputs(sampling.structured_output),
        stream_interval=sampling.stream_interval,
        output_kind=RequestOutputKind.DELTA,
        # vLLM needs text only to look for stop strings; ours is made below.
        detokenize=bool(sampling.stop),
        skip_clone=True,
    )


def _structured_outputs(form: StructuredOutput | None) -> Any:
    if form is None:
        return None
    fields = form.model_dump(exclude_none=True)
    if "json_schema" in fields:
        fields["json"] = fields.pop("json_schema")
    if "choice" in fields:
        fields["choice"] = list(fields["choice"])
    return StructuredOutputsParams(**fields)


class SampleReader:
    """One sample on its way: vLLM's pieces of it become deltas.

    vLLM drops bytes that never became a character, and of several stop strings prefers another one than the other
    engines do; so the text is made from the token ids here, by the same classes as theirs.
    """

    def __init__(self, index: int, sampling: Sampling, text: TokenText) -> None:
        self._index = index
        self._sampling = sampling
        self._text = text
        self._stops = StopStrings(sampling.stop)

    def delta(self, piece: Any) -> Delta:
        """`piece`: a CompletionOutput of the DELTA kind."""
        tokens: tuple[int, ...] = tuple(piece.token_ids)
        text, finish = self._speak(tokens, piece)
        logprobs, top = read_logprobs(piece.logprobs, len(tokens), self._sampling.top_logprobs)
        return Delta(self._index, text, tokens, logprobs, top, finish)

    def _speak(self, tokens: Sequence[int], piece: Any) -> tuple[str, Finish | None]:
        ended = piece.finish_reason == "stop" and not isinstance(piece.stop_reason, str)
        spoken = tokens[:-1] if ended else tokens
        text, stop = self._stops.push("".join(map(self._text.push, spoken)))
        if piece.finish_reason is None:
            return text, None
        if stop is None:
            rest, stop = self._stops.push(self._text.flush())
            text += rest + self._stops.flush()
        return text, self._finish(piece, stop)

    def _finish(self, piece: Any, stop: str | None) -> Finish:
        match piece.finish_reason:
            case "length":
                return Finish("length")
            case "stop":
                # vLLM reports the model's further end tokens like those that the request names.
                reason = piece.stop_reason
                own = isinstance(reason, str) or reason in self._sampling.stop_token_ids
                return Finish("stop", stop or (reason if own else None))
            case reason:
                return Finish("error", detail=f"vLLM ended the sample: {reason}")


def read_logprobs(
    flat: Any, tokens: int, alternatives: int
) -> tuple[tuple[float, ...], tuple[tuple[tuple[int, float], ...], ...]]:
    """Of vLLM's FlatLogprobs: each sampled token's, and the likeliest alternatives per token."""
    if not tokens:
        return (), ()
    values: list[float] = flat.logprobs
    starts: list[int] = flat.start_indices
    sampled = tuple([values[start] for start in starts])
    if not alternatives:
        return sampled, ((),) * tokens
    ends: list[int] = flat.end_indices
    return sampled, tuple(
        _likeliest(flat.token_ids[start:end], values[start:end], alternatives)
        for start, end in zip(starts, ends, strict=True)
    )


def _likeliest(ids: Sequence[int], values: Sequence[float], count: int) -> tuple[tuple[int, float], ...]:
    """The sampled token comes first and, if it is likely enough, once more at its rank. vLLM's model runner for CPUs
    pads instead of reporting alternatives in steps in which `next_logprobs` is read, too; then they are missing."""
    each = {token: value for token, value in zip(ids, values, strict=True) if value > -math.inf}
    return tuple(sorted(each.items(), key=lambda pair: -pair[1])[:count])
