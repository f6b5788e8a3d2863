"""Models that stages ask without changing them: in this process, or behind an address."""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.openai.options import UpstreamOptions
from deliberate.engines.protocol import Engine, TokenScorer
from deliberate.models import bundled_models
from deliberate.training.artifact import FILE_NAME, Artifact
from deliberate.training.run_folder import parent
from deliberate.verifiers.protocol import LogprobReader


class EngineConfig(BaseModel):
    """A model, and how it is run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = Field(
        default=None,
        description="A bundled model, a folder, or a Hugging Face id. Behind an address the model's name there; None "
        "is the only one.",
    )
    base_url: str | None = Field(
        default=None,
        description="Address of an OpenAI-compatible server, such as http://host:8000/v1; several, with commas, serve "
        "the same model. None runs the model in this process.",
    )
    api_key_env: str | None = Field(default=None, description="Environment variable that holds the server's key.")
    kind: Literal["auto", "vllm", "chat"] = Field(
        default="auto", description="Servers that take token ids are vllm, others chat; auto asks them."
    )
    tokenizer: str | None = Field(
        default=None, description="Folder of the model's tokenizer, for servers of the kind vllm that tokenize slowly."
    )
    timeout_seconds: float = Field(
        default=600.0, gt=0, description="Longest silence of a server, before and within an answer."
    )
    device: str = Field(default="auto", description="Of a model in this process: cpu, cuda, cuda:1, …")
    dtype: str = Field(default="auto", description="Of a model in this process: float32, bfloat16, float16 or auto.")
    max_batch: int | None = Field(
        default=None, gt=0, description="Sequences that a model in this process runs at once; None leaves it to it."
    )
    max_model_len: int | None = Field(
        default=None, gt=1, description="A context shorter than the model's, of one in this process."
    )
    threads: int | None = Field(
        default=None, gt=0, description="CPU threads of a model in this process; None leaves it to it."
    )
    chat_template: Path | None = Field(default=None, description="A Jinja template instead of the model's own.")


HOW_IT_RUNS = frozenset({"base_url", "api_key_env", "tokenizer", "timeout_seconds", "device", "max_batch", "threads"})
"""Fields that do not change what a model says."""


def open_engine(config: EngineConfig, concurrency: int) -> Engine:
    """Load the model, or meet the servers that have it; `concurrency` samples are asked of each at once.

    Raises InvalidRequest, saying why, for a model that cannot be had, and UpstreamFailed for servers that do not
    answer.
    """
    if config.base_url is not None:
        from deliberate.engines import openai

        return openai.connect(_upstream(config, concurrency))
    from deliberate.engines.transformers import load

    return load(
        _path(config),
        device=config.device,
        dtype=config.dtype,
        max_batch=config.max_batch,
        max_model_len=config.max_model_len,
        threads=config.threads,
        chat_template=config.chat_template,
    )


def is_reward_model(config: EngineConfig, concurrency: int) -> bool:
    """Whether the model is for `open_scorer`, and not for `open_engine`. Raises what they raise."""
    if config.base_url is not None:
        from deliberate.engines import openai

        return openai.serves_rewards(_upstream(config, concurrency))
    from deliberate.engines import transformers

    return transformers.is_reward_model(_path(config))


def open_scorer(config: EngineConfig, concurrency: int) -> TokenScorer:
    """The same for a reward model."""
    if config.base_url is not None:
        from deliberate.engines import openai

        return openai.connect_scorer(_upstream(config, concurrency))
    from deliberate.engines.transformers import load_scorer

    return load_scorer(
        _path(config),
        device=config.device,
        dtype=config.dtype,
        max_model_len=config.max_model_len,
        threads=config.threads,
    )


def chain_format(config: EngineConfig) -> str | None:
    """How the model was trained to read chains: by the record of its folder, else by its architecture."""
    if config.base_url is not None:
        return None
    record = recorded(config)
    if record is not None and record.format is not None:
        return record.format
    from deliberate.engines.transformers import architecture
    from deliberate.verifiers.formats.registry import format_of

    return format_of(architecture(_path(config)))


def logprob_reader(config: EngineConfig) -> LogprobReader | None:
    """What was trained to read the model's log-probabilities, where its folder holds it. Raises InvalidRequest."""
    if config.base_url is not None:
        return None
    from deliberate.verifiers.surprisal import find_reader

    return find_reader(_path(config))


def recorded(config: EngineConfig) -> Artifact | None:
    """What training wrote down of the model; None for models from elsewhere."""
    if config.base_url is not None or not (Path(_path(config)) / FILE_NAME).is_file():
        return None
    return Artifact.load(Path(_path(config)))


def parents(config: EngineConfig | None) -> dict[str, str]:
    """The model as artifacts name what they come from; nothing of a server's weights is known."""
    return {} if config is None or config.base_url is not None else parent(_path(config))


def _path(config: EngineConfig) -> str:
    if config.model is None:
        raise InvalidRequest(
            f"No model is named: give `model` (bundled: {', '.join(bundled_models()) or 'none'}; or a folder, or a "
            "Hugging Face id), or the `base_url` of a server.",
            param="model",
        )
    folder = bundled_models().get(config.model, Path(config.model).expanduser())
    if not folder.is_dir() and config.model.startswith((".", "/", "~")):
        raise InvalidRequest(f"There is no model folder {config.model!r}.", param="model")
    return str(folder) if folder.is_dir() else config.model


def _upstream(config: EngineConfig, concurrency: int) -> UpstreamOptions:
    assert config.base_url is not None
    return UpstreamOptions(
        tuple(url for url in map(str.strip, config.base_url.split(",")) if url),
        config.model,
        config.kind,
        _key(config.api_key_env),
        config.tokenizer,
        None if config.chat_template is None else config.chat_template.read_text(encoding="utf-8"),
        config.timeout_seconds,
        concurrency,
    )


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise InvalidRequest(
            f"The environment has no {variable}, which should hold the server's key: export {variable}=…",
            param="api_key_env",
        )
    return os.environ[variable]
