"""From the words of a command line to the options of the engine that was chosen; what does not fit it is refused."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deliberate.cli.engine_names import EngineName
from deliberate.engines.errors import InvalidRequest
from deliberate.engines.openai.options import UpstreamOptions
from deliberate.server.loading import EmbeddedOptions, EngineOptions, VllmOptions
from deliberate.server.settings import Settings
from deliberate.server.sources import DEFAULT_MODEL, ModelSource, find_model

_OPTIONS: Mapping[EngineName, frozenset[str]] = {
    EngineName.transformers: frozenset({"device", "threads", "dtype", "max_batch", "max_model_len", "chat_template"}),
    EngineName.vllm: frozenset({"dtype", "max_batch", "max_model_len", "chat_template"}),
    EngineName.openai: frozenset({"tokenizer", "chat_template"}),
}
"""Which of the shared options each engine has."""


def engine_options(
    engine: EngineName | None,
    upstreams: Sequence[str],
    model: str | None,
    given: Mapping[str, Any],
    arguments: Sequence[str],
    settings: Settings,
) -> EngineOptions:
    """`given` are the shared options, None where they were not given; `arguments` are vLLM's own, unread.

    Without a name the engine is `openai` where there are upstreams, else `transformers`. Raises InvalidRequest for
    options that the engine does not have.
    """
    chosen = engine or (EngineName.openai if upstreams else EngineName.transformers)
    options = {name: value for name, value in given.items() if value is not None}
    for name in sorted(set(options) - _OPTIONS[chosen]):
        able = ", ".join(other for other in EngineName if name in _OPTIONS[other])
        raise InvalidRequest(f"{_written(name)} is not an option of the engine {chosen}, but of {able}.")
    if model is not None and model.startswith("-"):
        raise InvalidRequest(f"Write the model before the options of vLLM: deliberate serve MODEL {model} …")
    if upstreams and chosen != EngineName.openai:
        raise InvalidRequest(f"The engine {chosen} asks no upstreams; leave out --engine, or the upstreams.")
    match chosen:
        case EngineName.transformers:
            return EmbeddedOptions(**options)
        case EngineName.vllm:
            return VllmOptions(**options, arguments=tuple(arguments))
        case EngineName.openai:
            return _upstream_options(upstreams, model, options, settings)


def _upstream_options(
    upstreams: Sequence[str], model: str | None, options: Mapping[str, Any], settings: Settings
) -> UpstreamOptions:
    if not upstreams:
        raise InvalidRequest(
            "The engine openai needs an address: --upstream http://host:8000/v1, once for each server."
        )
    template: Path | None = options.get("chat_template")
    return UpstreamOptions(
        tuple(upstreams),
        model,
        settings.upstream_kind,
        None if settings.upstream_api_key is None else settings.upstream_api_key.get_secret_value(),
        options.get("tokenizer"),
        None if template is None else template.read_text(encoding="utf-8"),
        settings.upstream_timeout_seconds,
        settings.upstream_concurrency,
    )


def source_of(
    model: str | None, options: EngineOptions, name: str | None, companion: str | None, companion_options: EngineOptions
) -> ModelSource:
    """What to load. A model behind upstreams is found there, and so is a companion behind some."""
    if isinstance(options, UpstreamOptions):
        source = ModelSource(name or model or "", ", ".join(options.urls))
    else:
        source = find_model(model or DEFAULT_MODEL, name=name)
    if isinstance(companion_options, UpstreamOptions):
        return replace(source, companion=companion or ", ".join(companion_options.urls))
    return source if companion is None else replace(source, companion=find_model(companion).path)


def check_words(words: Sequence[str], engine: EngineName | None, known: Iterable[str]) -> None:
    """Words that are no options of ours belong to vLLM and follow the model. Raises InvalidRequest for others."""
    if engine == EngineName.vllm:
        if words and not words[0].startswith("-"):
            raise InvalidRequest(f"Unexpected argument {words[0]!r}.")
        return
    for word in words:
        name = word.partition("=")[0]
        if not name.startswith("-"):
            raise InvalidRequest(f"Unexpected argument {word!r}.")
        close = difflib.get_close_matches(name, list(known), n=1)
        hint = f" Did you mean {close[0]}?" if close else " vLLM's own options need --engine vllm."
        raise InvalidRequest(f"No such option: {name}.{hint}")


def _written(name: str) -> str:
    return "--" + name.replace("_", "-")
