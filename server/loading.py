"""From a source to served models, on the engine that was chosen. Heavy libraries load when a model does."""

import time
from dataclasses import dataclass
from pathlib import Path

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.openai.options import UpstreamOptions
from deliberate.engines.protocol import Engine, TokenScorer
from deliberate.server.serving import RewardModel, Scorer, ServedModel
from deliberate.server.sources import ModelSource, alternatives, recorded_format
from deliberate.verifiers.formats.registry import format_of
from deliberate.verifiers.protocol import LogprobReader


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """How the embedded engine, `transformers`, runs a model."""

    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`, … or `auto`."""
    dtype: str = "auto"
    """`float32`, `bfloat16`, `float16` or `auto`."""
    max_batch: int | None = None
    """Sequences that run at once; None leaves it to the engine."""
    max_model_len: int | None = None
    """A context shorter than the model's."""
    threads: int | None = None
    """CPU threads; None leaves it to the engine."""
    chat_template: Path | None = None
    """A Jinja template instead of the model's own."""


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """How vLLM runs a model."""

    dtype: str | None = None
    """`float32`, `bfloat16`, `float16` or `auto`; None leaves it to vLLM."""
    max_batch: int | None = None
    """Sequences that run at once; None leaves it to vLLM."""
    max_model_len: int | None = None
    """A context shorter than the model's."""
    chat_template: Path | None = None
    """A Jinja template instead of the model's own."""
    arguments: tuple[str, ...] = ()
    """vLLM's own options, as written after `vllm serve MODEL`; they win over those above."""


EngineOptions = EmbeddedOptions | VllmOptions | UpstreamOptions
"""Which engine, and how it runs a model."""

EMBEDDED = EmbeddedOptions()


def load_model(
    source: ModelSource, options: EngineOptions = EMBEDDED, companion: EngineOptions = EMBEDDED
) -> ServedModel:
    """Load a model, and its companion. Raises InvalidRequest, saying why, when one cannot be loaded."""
    return load_models(source, options, companion)[0]


def load_models(
    source: ModelSource, options: EngineOptions = EMBEDDED, companion: EngineOptions = EMBEDDED
) -> list[ServedModel]:
    """The same, followed by the model's LoRA adapters, each under its own name."""
    judge = None if source.companion is None else load_companion(source.companion, companion)
    now = int(time.time())
    return [
        ServedModel(
            name,
            engine,
            now,
            scorer=judge if isinstance(judge, Scorer) else None,
            reward_model=judge if isinstance(judge, RewardModel) else None,
            root=source.path,
            step_separator=source.step_separator,
        )
        for name, engine in _load(source, options).items()
    ]


def _load(source: ModelSource, options: EngineOptions) -> dict[str, Engine]:
    """Engines by served name: the model's, and those of its adapters."""
    match options:
        case EmbeddedOptions():
            return {source.name: _load_embedded(source.path, options)}
        case VllmOptions():
            from deliberate.engines import vllm

            engine = vllm.load(
                source.path,
                options.arguments,
                chat_template=options.chat_template,
                max_model_len=options.max_model_len,
                dtype=options.dtype,
                max_batch=options.max_batch,
            )
            return {source.name: engine, **engine.adapters}
        case UpstreamOptions():
            from deliberate.engines import openai

            fleet = openai.connect(options)
            return {source.name or fleet.model: fleet}


def _load_embedded(path: str, options: EmbeddedOptions) -> Engine:
    from deliberate.engines.transformers import load

    try:
        return load(
            path,
            device=options.device,
            dtype=options.dtype,
            max_batch=options.max_batch,
            max_model_len=options.max_model_len,
            threads=options.threads,
            chat_template=options.chat_template,
        )
    except InvalidRequest as error:
        raise InvalidRequest(f"{error} {alternatives()}", param="model") from error


def load_companion(path: str, options: EngineOptions = EMBEDDED) -> Scorer | RewardModel:
    """A reward model where it is one, else a language model that scores."""
    if _is_reward_model(path, options):
        return RewardModel(Path(path).name, _load_reward_model(path, options), _format(path, options))
    ((name, engine), *_) = _load(ModelSource(Path(path).name, path), options).items()
    return Scorer(name, engine, recorded_format(path), _reader(path, options))


def _reader(path: str, options: EngineOptions) -> LogprobReader | None:
    if isinstance(options, UpstreamOptions):
        return None
    from deliberate.verifiers.surprisal import find_reader

    return find_reader(path)


def _format(path: str, options: EngineOptions) -> str | None:
    """How the reward model was trained to read chains: by its record, else by its architecture."""
    recorded = recorded_format(path)
    if recorded is not None or isinstance(options, UpstreamOptions):
        return recorded
    from deliberate.engines.transformers import architecture

    return format_of(architecture(path))


def _is_reward_model(path: str, options: EngineOptions) -> bool:
    if isinstance(options, UpstreamOptions):
        from deliberate.engines import openai

        return openai.serves_rewards(options)
    from deliberate.engines.transformers import is_reward_model

    return is_reward_model(path)


def _load_reward_model(path: str, options: EngineOptions) -> TokenScorer:
    match options:
        case EmbeddedOptions():
            from deliberate.engines.transformers import load_scorer

            return load_scorer(
                path,
                device=options.device,
                dtype=options.dtype,
                max_model_len=options.max_model_len,
                threads=options.threads,
            )
        case VllmOptions():
            from deliberate.engines import vllm

            return vllm.load_scorer(path, options.arguments)
        case UpstreamOptions():
            from deliberate.engines import openai

            return openai.connect_scorer(options)
