"""Tokenizer: byte-level BPE with a chat template, learnt from a task's text, for a model with random weights."""

import shutil

from pydantic import Field

from deliberate.training.artifact import Artifact, file_hash
from deliberate.training.recording.metrics import Report, Reporter
from deliberate.training.run_folder import finish, finished, record
from deliberate.training.stages._protocol import Stage, StageConfig
from deliberate.training.tokenizer import make_tokenizer

_SMALLEST = 512
"""256 bytes, the special tokens and tags, and some room for merges."""


class TokenizerConfig(StageConfig):
    """One tokenizer."""

    task: str = Field(description="The task whose train split it reads; several are joined by `+`.")
    problems: int = Field(default=20_000, gt=0, description="Problems that it reads.")
    vocab_size: int = Field(default=1024, ge=_SMALLEST, description="Tokens, all bytes and special ones counted in.")


def run(config: TokenizerConfig, report: Reporter = lambda _: None) -> Artifact:
    """Leave a Hugging Face tokenizer folder.

    Raises:
        OtherRun: the folder holds another tokenizer.
        UnknownTaskError: there is no such task.
    """
    if (done := finished(config, STAGE.name)) is not None:
        return done
    folder = config.output_dir
    partial = folder / "partial"
    make_tokenizer(partial, config.task, config.seed, config.problems, config.vocab_size)
    for file in partial.iterdir():
        file.replace(folder / file.name)
    shutil.rmtree(partial)
    report(Report(1, 1, 0, 0.0, {}))
    artifact = record(
        config,
        STAGE.name,
        {},
        task=config.task,
        data_hash="",
        weights_hash=file_hash(folder / "tokenizer.json"),
        metrics={},
    )
    return finish(config, artifact)


STAGE = Stage("tokenizer", TokenizerConfig, run)
