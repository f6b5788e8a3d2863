"""Meets the upstreams before the server starts: who answers, what they serve, what they can do."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Literal

import httpx
from pydantic import ValidationError

from deliberate.engines.errors import InvalidRequest, UnknownName, UpstreamFailed
from deliberate.engines.openai.addresses import Address
from deliberate.engines.openai.engine import OpenAIEngine
from deliberate.engines.openai.failures import Broken, refusal, unreadable
from deliberate.engines.openai.fleet import Fleet
from deliberate.engines.openai.models import ModelCard, ModelList
from deliberate.engines.openai.options import UpstreamOptions
from deliberate.engines.openai.scorer import UpstreamScorer
from deliberate.engines.openai.tokenizers import NoTokenizer, RemoteTokenizer
from deliberate.engines.openai.upstream import CONNECT_SECONDS, bearer
from deliberate.engines.protocol import Capabilities, Tokenizer

_PROBE_SECONDS = 15.0
_TAKE_TOKENS = ("vllm", "deliberate")
"""Owners of models, as lists of models tell them, whose servers take token ids."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What is known of the model after the first look."""

    reachable: dict[Address, bool]
    card: ModelCard
    kind: Literal["vllm", "chat"]


def connect(options: UpstreamOptions) -> OpenAIEngine:
    """An engine over the upstreams; blocks for up to 20 s. Those that cannot be reached join when they can.

    Raises UpstreamFailed when none answers or one refuses the key or is no OpenAI-compatible API, UnknownName for a
    model that they do not have, InvalidRequest for an address that is none or a choice that was not made.
    """
    found = _look(options)
    fleet = Fleet.of(found.reachable, options, vllm=found.kind == "vllm")
    if found.kind == "vllm":
        can = Capabilities(_context_length(found), vocabulary_size=None, structured_output=True, tools=True)
        return OpenAIEngine(fleet, found.card.id, can, _tokenizer(found, options), _sampling_defaults(found))
    can = Capabilities(None, None, token_ids=False, scores=False, structured_output=True, tools=True)
    return OpenAIEngine(fleet, found.card.id, can, NoTokenizer(found.card.id, next(iter(found.reachable))))


def connect_scorer(options: UpstreamOptions) -> UpstreamScorer:
    """A reward model over the upstreams, each a vLLM that pools (`--runner pooling`). Raises what `connect` raises."""
    found = _look(options)
    if found.kind != "vllm":
        raise InvalidRequest(f"{found.card.id!r} is behind a chat API; a reward model's upstream is a vLLM.")
    can = Capabilities(_context_length(found), vocabulary_size=None)
    return UpstreamScorer(Fleet.of(found.reachable, options, vllm=True), found.card.id, can, _tokenizer(found, options))


def serves_rewards(options: UpstreamOptions) -> bool:
    """Whether the upstreams run a reward model, for `connect_scorer`, and not a language model, for `connect`."""
    found = _look(options)
    address = next(address for address, answers in found.reachable.items() if answers)
    reply = httpx.post(
        address.beside("/pooling"), json={}, headers=bearer(options), timeout=httpx.Timeout(_PROBE_SECONDS)
    )
    # A server that pools misses the input; one that generates has no such address.
    return reply.status_code != HTTPStatus.NOT_FOUND


def _look(options: UpstreamOptions) -> _Found:
    addresses = [Address.parse(url) for url in dict.fromkeys(options.urls)]
    if not addresses:
        raise InvalidRequest("No upstream was named; give the address of at least one.", param="urls")
    with ThreadPoolExecutor(len(addresses)) as threads:
        answers = list(threads.map(lambda address: _models(address, options), addresses))
    cards = [
        _card(a, models, options) for a, models in zip(addresses, answers, strict=True) if isinstance(models, ModelList)
    ]
    if not cards:
        raise UpstreamFailed(" ".join(map(str, answers)))
    if len({card.id for card in cards}) > 1:
        raise InvalidRequest(
            f"The upstreams serve different models ({', '.join(sorted({card.id for card in cards}))}); "
            "name the one that all of them have.",
            param="model",
        )
    kind = options.kind
    if kind == "auto":
        kind = "vllm" if cards[0].owned_by in _TAKE_TOKENS else "chat"
    reachable = {address: isinstance(models, ModelList) for address, models in zip(addresses, answers, strict=True)}
    return _Found(reachable, cards[0], kind)


def _models(address: Address, options: UpstreamOptions) -> ModelList | Broken:
    """What an upstream has; Broken where it may yet come up. Raises DeliberateError for what time does not mend."""
    try:
        response = httpx.get(
            address.models, headers=bearer(options), timeout=httpx.Timeout(_PROBE_SECONDS, connect=CONNECT_SECONDS)
        )
    except httpx.HTTPError as error:
        return Broken(f"{address} cannot be reached: {error or type(error).__name__}.")
    if not response.is_success:
        error = refusal(address.models, response.status_code, response.content)
        if isinstance(error, Broken):
            return error
        raise error
    try:
        return ModelList.model_validate_json(response.content)
    except ValidationError:
        raise UpstreamFailed(
            f"{unreadable(address.models, response.content)} Is this the address of an OpenAI-compatible API?"
        ) from None


def _card(address: Address, models: ModelList, options: UpstreamOptions) -> ModelCard:
    if options.model is not None:
        for card in models.data:
            if card.id == options.model:
                return card
        raise UnknownName(f"model of {address}", options.model, models.names, param="model")
    if len(models.data) != 1:
        raise InvalidRequest(
            f"{address} serves {len(models.data)} models; name one of {', '.join(sorted(models.names)) or 'none'}.",
            param="model",
        )
    return models.data[0]


def _context_length(found: _Found) -> int:
    if found.card.max_model_len is None:
        raise UpstreamFailed(
            f"The upstream does not tell the context length of {found.card.id!r} (`max_model_len`), "
            "as servers that take token ids do; ask it as kind `chat`."
        )
    return found.card.max_model_len


def _tokenizer(found: _Found, options: UpstreamOptions) -> Tokenizer:
    root = found.card.root
    path = options.tokenizer or (root if root and (Path(root) / "tokenizer.json").is_file() else None)
    if path is None:
        client = httpx.Client(headers=bearer(options), timeout=_PROBE_SECONDS)
        return RemoteTokenizer(client, tuple(found.reachable), found.card.id, options.chat_template)
    from deliberate.engines.huggingface import HuggingFaceTokenizer

    return HuggingFaceTokenizer(path, options.chat_template)


def _sampling_defaults(found: _Found) -> Mapping[str, float]:
    """Of the model's folder, where that is on this machine: the API does not tell them."""
    if found.card.root is None or not (Path(found.card.root) / "generation_config.json").is_file():
        return {}
    from transformers import GenerationConfig

    from deliberate.engines.huggingface import recommended_sampling

    return recommended_sampling(GenerationConfig.from_pretrained(found.card.root))
