"""From a request's fields to the engine's sampling."""

import secrets
from hashlib import blake2b
from typing import Any

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Sampling
from deliberate.server.fields import SamplingRequest
from deliberate.server.requests import ChatRequest
from deliberate.server.serving import ServedModel
from deliberate.server.structured import form_of

_COPIED = ("temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "stop_token_ids")


def draw_seed() -> int:
    """A seed for a request without one; small enough for clients whose numbers are doubles."""
    return secrets.randbits(53)


def spread(seed: int) -> int:
    """The first candidate's seed: 48 bits, far from those of other requests, since candidates count up from it."""
    return int.from_bytes(blake2b(str(seed).encode(), digest_size=6).digest())


def sampling_of(request: ChatRequest, model: ServedModel, seed: int) -> Sampling:
    """Request first, then the model's generation config, then OpenAI's defaults."""
    if request.logprobs and not model.engine.capabilities.token_ids:
        raise no_tokens(model, "logprobs")
    return read_sampling(
        request,
        model,
        seed=spread(seed),
        top_logprobs=request.top_logprobs,
        max_tokens=request.most_tokens,
        stream_interval=request.stream_interval,
    )


def read_sampling(request: SamplingRequest, model: ServedModel, **rest: Any) -> Sampling:
    """The fields that all requests share, and the `rest`, None for the default."""
    _check_token_ids(request, model)
    fields: dict[str, Any] = dict(model.engine.sampling_defaults)
    fields |= {name: value for name in _COPIED if (value := getattr(request, name)) is not None}
    fields |= {name: value for name, value in rest.items() if value is not None}
    fields["stop"] = request.stop
    fields["logit_bias"] = request.logit_bias or {}
    form = form_of(request.response_format, request.structured_outputs, model.engine.capabilities)
    return Sampling.model_validate(_as_the_engine_says_it(fields) | {"structured_output": form})


def no_tokens(model: ServedModel, param: str) -> InvalidRequest:
    """What is about tokens cannot be asked of an engine that shows none."""
    message = (
        f"{param} is about tokens, and the engine of model {model.name!r} reads conversations and shows no tokens."
    )
    return InvalidRequest(message, param=param)


def _as_the_engine_says_it(fields: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's top_p = 0 keeps the one likeliest token; vLLM's top_k = -1 keeps all."""
    if fields.get("top_p") == 0:
        fields |= {"top_p": 1.0, "top_k": 1}
    if fields.get("top_k") == -1:
        fields["top_k"] = 0
    return fields


def _check_token_ids(request: SamplingRequest, model: ServedModel) -> None:
    size = model.engine.capabilities.vocabulary_size
    shows_tokens = model.engine.capabilities.token_ids
    for param, ids in (("logit_bias", request.logit_bias or ()), ("stop_token_ids", request.stop_token_ids or ())):
        if ids and not shows_tokens:
            raise no_tokens(model, param)
        for token_id in ids:
            if size is not None and token_id >= size:
                raise InvalidRequest(f"{param} names token {token_id}; the model has 0 to {size - 1}.", param=param)
