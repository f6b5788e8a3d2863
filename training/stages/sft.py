"""Supervised fine-tuning: a causal language model learns worked solutions, from random weights or from its own.

Examples are a task's fresh problems, of which none is seen twice, or rows of datasets mixed by weight; the loss covers
the completion only. A run killed at any time and started again with the same configuration ends with the same weights
as one that was never interrupted.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import nn
from transformers import GenerationConfig

from deliberate.training.artifact import FILE_NAME, Artifact, file_hash
from deliberate.training.batches import IGNORED, Batch, BatchStream, ExampleSource, RowExamples, TaskExamples
from deliberate.training.data_run import data_parents
from deliberate.training.datasets import DatasetConfig, read_dataset
from deliberate.training.datasets.mixing import mixture_of
from deliberate.training.datasets.rows import ProblemRow
from deliberate.training.optimization import processes
from deliberate.training.optimization.loop import Update, finish_training, optimize, train_metrics
from deliberate.training.optimization.session import session
from deliberate.training.policies.architecture import new_model, scale_logits
from deliberate.training.policies.config import TrainedConfig
from deliberate.training.policies.hub import ChatTokenizer
from deliberate.training.policies.logps import autocast, last_hidden, output_logits
from deliberate.training.policies.network import TrainableNetwork, load_language_model
from deliberate.training.policies.shape import ModelShape
from deliberate.training.recording.metrics import Reporter
from deliberate.training.run_folder import finished, identity, parent, record
from deliberate.training.stages._protocol import Stage
from deliberate.training.tasks import load_task


class SFTConfig(TrainedConfig):
    """One run of supervised fine-tuning."""

    no_effect: ClassVar[frozenset[str]] = TrainedConfig.no_effect | {"tokenizer", "verifier", "model_name_or_path"}

    verifier: str | None = Field(default=None, description="Name of the companion model that scores this one.")
    model_name_or_path: str | None = Field(
        default=None, description="Model to begin from: a folder, or a name on the Hub. None: random weights."
    )
    tokenizer: Path | None = Field(
        default=None, description="Tokenizer folder with a chat template, for random weights; else it is the model's."
    )
    model: ModelShape = Field(default=ModelShape(), description="Size of a model with random weights.")
    task: str | None = Field(default=None, description="The task whose train split is streamed.")
    difficulty: tuple[int, ...] | None = Field(default=None, description="Step counts to train on; None: the task's.")
    system_prompt_share: float = Field(default=0.05, ge=0, le=1, description="Examples given a system prompt.")
    datasets: tuple[DatasetConfig, ...] = Field(default=(), description="Data to mix by weight, in place of a task.")
    max_length: int | None = Field(default=None, gt=1, description="Rows of datasets are cut off after so many tokens.")
    logit_scale: float = Field(
        default=1.0,
        gt=0,
        description="Factor on the finished model's logits, put into its last norm. Below 1 it is less sure of itself: "
        "sampling at temperature T is then as sampling at T / logit_scale before.",
    )

    @model_validator(mode="after")
    def _beginning_and_data(self) -> Self:
        if (self.model_name_or_path is None) == (self.tokenizer is None):
            raise ValueError("give model_name_or_path, or for random weights a tokenizer")
        if (self.task is None) == (not self.datasets):
            raise ValueError("give a task, or datasets")
        return self


def run(config: SFTConfig, report: Reporter = lambda _: None) -> Artifact:
    """Train to `config.max_steps` and leave a model folder that plain transformers loads.

    Resumes from the newest checkpoint in `config.output_dir`; where that run had finished, returns its artifact.

    Raises:
        CheckpointError, OtherRun: the folder holds a run with another configuration, or another command is at work.
        BadData: the datasets cannot be read.
        UnknownTaskError: there is no such task.
    """
    parents = {**data_parents(config.datasets), **_beginning(config)}
    with session(config):
        done = finished(config, STAGE.name, parents)
        if done is not None:
            return done
        learner = _Learner(config)
        progress = optimize(config, learner, report, run=identity(config, parents))
        folder = config.output_dir
        learner.export(folder)
        artifact = record(
            config,
            STAGE.name,
            parents,
            task=config.task or "",
            data_hash=progress.data_hash,
            weights_hash=file_hash(folder / "model.safetensors"),
            metrics=train_metrics(folder, "loss"),
            verifier=config.verifier,
        )
        return finish_training(config, artifact)


def _beginning(config: SFTConfig) -> dict[str, str]:
    """The model that it begins as, or the run that made its tokenizer."""
    if config.model_name_or_path is not None:
        return parent(config.model_name_or_path)
    folder = config.tokenizer
    made = folder is not None and (folder / FILE_NAME).exists() and Artifact.load(folder).stage == "tokenizer"
    return parent(str(folder)) if made else {}


class _Learner:
    """The model, and its position in the data."""

    def __init__(self, config: SFTConfig) -> None:
        self._config = config
        path = config.model_name_or_path
        self.tokenizer = ChatTokenizer(config.tokenizer or path or "")
        self._stream = BatchStream(
            _source(config, self.tokenizer),
            self.tokenizer.pad_id,
            seed=config.seed,
            batch_size=config.per_device_train_batch_size,
        )
        self._batches: tuple[int, Iterator[Batch]] = (0, self._stream.from_step(0))
        model = new_model(config.model, self.tokenizer, config.seed) if path is None else load_language_model(path)
        self._network = TrainableNetwork(model, config)
        self.device = self._network.device

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        return self._network.named_parameters()

    def updates(self, step: int) -> Iterator[Update]:
        batch = self._batch(step)
        loss = processes.summed(self._loss(batch))
        loss.backward()
        yield Update({"loss": loss.item()}, batch.tokens, batch.content)

    def save(self, folder: Path) -> None:
        self._network.save(folder)

    def restore(self, folder: Path) -> None:
        self._network.restore(folder)

    def export(self, folder: Path) -> None:
        """Leave the finished model."""
        if self._config.model_name_or_path is None:
            self._network.model.generation_config = GenerationConfig(
                eos_token_id=self.tokenizer.end_id, pad_token_id=self.tokenizer.pad_id, do_sample=True, temperature=0.8
            )
        scale_logits(self._network.model, self._config.logit_scale)
        self._network.export(folder)
        self.tokenizer.save(folder)

    def _batch(self, step: int) -> Batch:
        """Batches are read on in order; only a run that goes on begins elsewhere."""
        following, batches = self._batches
        if step != following:
            batches = self._stream.from_step(step)
        self._batches = (step + 1, batches)
        return next(batches)

    def _loss(self, batch: Batch) -> torch.Tensor:
        """This process's part of the mean cross entropy of the batch's completion tokens. The prompt's positions never
        reach the vocabulary."""
        share = processes.share(range(len(batch.input_ids)))
        ids, labels = batch.input_ids[share.items].to(self.device), batch.labels[share.items].to(self.device)
        learned = labels != IGNORED
        with autocast(self.device, self._config.bf16):
            logits = output_logits(self._network.model, last_hidden(self._network.model, ids)[learned])
        part = share.weight * learned.sum().item() / (batch.labels != IGNORED).sum().item()
        return part * nn.functional.cross_entropy(logits.float(), labels[learned])


def _source(config: SFTConfig, tokenizer: ChatTokenizer) -> ExampleSource:
    if config.task is not None:
        return TaskExamples(load_task(config.task), tokenizer, config.difficulty, config.system_prompt_share)
    datasets = [read_dataset(dataset) for dataset in config.datasets]
    return RowExamples(mixture_of(datasets, ProblemRow, config.seed), tokenizer, config.max_length)


STAGE = Stage("sft", SFTConfig, run, several_processes=True)
