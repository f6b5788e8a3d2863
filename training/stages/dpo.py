"""Direct preference optimisation: a policy learns from pairs of a better and a worse completion, with no reward model.

DPO, IPO, and SPIN where the better one is the data's solution and the worse one the policy's own (`solutions`). Pairs
are read from preference data, or made of the scored groups that the stage `rollouts` leaves. The reference is the
model that the stage begins from.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from deliberate.training.artifact import Artifact, file_hash
from deliberate.training.data_run import data_parents
from deliberate.training.datasets import DatasetConfig, read_dataset
from deliberate.training.datasets.loading import Dataset
from deliberate.training.datasets.mixing import Mixture, Part
from deliberate.training.datasets.pairs import pairs_of_groups, pairs_with_solutions
from deliberate.training.datasets.problems import TaskConfig, read_problems
from deliberate.training.datasets.rows import PreferenceRow, ProblemRow, RolloutRow
from deliberate.training.datasets.sources import BadData
from deliberate.training.objectives.preferences import PreferenceLoss, completion_logps, dpo_losses, implicit_rewards
from deliberate.training.optimization import processes
from deliberate.training.optimization.loop import Update, finish_training, optimize, train_metrics
from deliberate.training.optimization.session import session
from deliberate.training.policies.config import PolicyConfig
from deliberate.training.policies.hub import ChatTokenizer
from deliberate.training.policies.logps import TokenBatch
from deliberate.training.policies.logps import completion_logps as token_logps
from deliberate.training.policies.network import load_policy
from deliberate.training.recording.metrics import Reporter
from deliberate.training.run_folder import finished, identity, parent, record
from deliberate.training.stages._protocol import Stage

NAME = "dpo"


class DPOConfig(PolicyConfig):
    """One run of direct preference optimisation. A batch is `per_device_train_batch_size` pairs."""

    datasets: tuple[DatasetConfig, ...] = Field(
        min_length=1, description="Preference data, or rollouts, of whose groups pairs are made; mixed by weight."
    )
    pairs_per_prompt: int = Field(default=1, gt=0, description="Most pairs made of a group of rollouts.")
    solutions: tuple[DatasetConfig, ...] = Field(
        default=(), description="SPIN: problems with the solutions that are preferred to the rollouts of the same id."
    )
    solutions_task: TaskConfig | None = Field(default=None, description="Likewise, problems that a task makes.")
    max_completion_length: int | None = Field(default=None, gt=0, description="Completions are cut off after so many.")
    beta: float = Field(default=0.1, gt=0, description="How much the policy is held to the reference.")
    loss_type: PreferenceLoss = Field(default="sigmoid", description="sigmoid is DPO's, ipo is IPO's.")
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5, description="Share of pairs thought to be swapped.")
    rpo_alpha: float = Field(
        default=0.0, ge=0, description="Weight of the better completion's mean cross entropy, added to the loss."
    )
    learning_rate: float = Field(default=5e-5, gt=0, description="Peak rate, of Muon and AdamW alike.")
    optim: Literal["muon", "adamw"] = Field(default="adamw", description="muon on hidden matrices, or adamw on all.")
    per_device_train_batch_size: int = Field(default=8, gt=0, description="Pairs that go through the model together.")

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        if self.loss_type == "ipo" and self.label_smoothing:
            raise ValueError("loss_type ipo has no label_smoothing")
        if self.solutions and self.solutions_task:
            raise ValueError("give solutions or solutions_task, not both")
        return self


def run(config: DPOConfig, report: Reporter = lambda _: None) -> Artifact:
    """Train to `config.max_steps` and leave a model folder.

    Raises:
        CheckpointError, OtherRun: the folder holds another run, or another command is at work in it.
        BadData: the data cannot be read, are of other kinds, or hold no pair.
    """
    parents = {**data_parents((*config.datasets, *config.solutions)), **parent(config.model_name_or_path)}
    with session(config):
        if (done := finished(config, NAME, parents)) is not None:
            return done
        learner = _Learner(config, _pairs(config))
        progress = optimize(config, learner, report, run=identity(config, parents))
        learner.export(config.output_dir)
        artifact = record(
            config,
            NAME,
            parents,
            task=", ".join(data.source for data in config.datasets),
            data_hash=progress.data_hash,
            weights_hash=file_hash(config.output_dir / "model.safetensors"),
            metrics=train_metrics(config.output_dir, "loss", "rewards/accuracies", "rewards/margins"),
        )
        return finish_training(config, artifact)


class _Learner:
    """Policy and reference."""

    def __init__(self, config: DPOConfig, pairs: Mixture[PreferenceRow]) -> None:
        self._config = config
        self._pairs = pairs
        self._tokenizer = ChatTokenizer(config.model_name_or_path)
        self._policy = load_policy(config)
        self._reference = self._policy if self._policy.has_adapters else self._policy.frozen()
        self.device = self._policy.device

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        return self._policy.named_parameters()

    def updates(self, step: int) -> Iterator[Update]:
        size = self._config.per_device_train_batch_size
        pairs = list(islice(self._pairs.from_position(step * size), size))
        loss, values, tokens = self._loss(pairs)
        loss.backward()
        content = hashlib.blake2b("\n".join(pair.id for pair in pairs).encode()).digest()
        yield Update(values, tokens, content)

    def save(self, folder: Path) -> None:
        self._policy.save(folder)

    def restore(self, folder: Path) -> None:
        self._policy.restore(folder)

    def export(self, folder: Path) -> None:
        """Leave the finished model."""
        self._policy.export(folder)
        self._tokenizer.save(folder)

    def _batch(self, pairs: Sequence[PreferenceRow]) -> TokenBatch:
        """The better completions, then the worse ones."""
        prompts = [self._tokenizer.conversation(pair.prompt, pair.tools) for pair in pairs]
        texts = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        completions = [
            [*self._tokenizer.encode(text), self._tokenizer.end_id][: self._config.max_completion_length]
            for text in texts
        ]
        return TokenBatch.of(prompts * 2, completions, self._tokenizer.pad_id, self.device)

    def _measured(self, pairs: Sequence[PreferenceRow]) -> Tensor:
        """Of each pair (6, pairs): log-probabilities of the better and the worse completion, the same of the reference,
        tokens of the better one, and of all that is read. Only this process's pairs have a gradient."""
        share = processes.share(range(len(pairs)))
        batch = self._batch([pairs[index] for index in share.items])
        logps = token_logps(self._policy.model, batch, bf16=self._config.bf16).logps
        with torch.no_grad(), self._policy.without_adapters():
            ref_logps = token_logps(self._reference.model, batch, bf16=self._config.bf16).logps
        lengths = batch.mask.sum(-1)
        columns = [
            *completion_logps(logps, batch.mask).chunk(2),
            *completion_logps(ref_logps, batch.mask).chunk(2),
            lengths.chunk(2)[0],
            (batch.starts + lengths).view(2, -1).sum(0),
        ]
        own = torch.stack([column.float() for column in columns])
        whole = own.new_zeros(len(columns), len(pairs))
        whole[:, list(share.items)] = share.weight * own
        return processes.summed(whole)

    def _loss(self, pairs: Sequence[PreferenceRow]) -> tuple[Tensor, dict[str, float], int]:
        """With figures, and how many tokens were read."""
        config = self._config
        chosen, rejected, ref_chosen, ref_rejected, lengths, read = self._measured(pairs)
        losses = dpo_losses(
            chosen,
            rejected,
            ref_chosen,
            ref_rejected,
            beta=config.beta,
            loss_type=config.loss_type,
            label_smoothing=config.label_smoothing,
        )
        loss = losses.mean() - config.rpo_alpha * (chosen / lengths.clamp(min=1)).mean()
        better = implicit_rewards(chosen, ref_chosen, config.beta).detach()
        worse = implicit_rewards(rejected, ref_rejected, config.beta).detach()
        values = {
            "loss": loss.item(),
            "rewards/chosen": better.mean().item(),
            "rewards/rejected": worse.mean().item(),
            "rewards/margins": (better - worse).mean().item(),
            "rewards/accuracies": (better > worse).float().mean().item(),
            "logps/chosen": chosen.detach().mean().item(),
            "logps/rejected": rejected.detach().mean().item(),
        }
        return loss, values, int(read.sum())


def _pairs(config: DPOConfig) -> Mixture[PreferenceRow]:
    solutions = _solutions(config)
    parts = [Part(_pairs_of(read_dataset(data), config, solutions), data.weight) for data in config.datasets]
    for part, data in zip(parts, config.datasets, strict=True):
        if not part.rows:
            raise BadData(f"{data.source} holds no pair: no group has two completions of different worth.")
    return Mixture(parts, config.seed)


def _pairs_of(dataset: Dataset, config: DPOConfig, solutions: Sequence[ProblemRow] | None) -> Sequence[PreferenceRow]:
    if not isinstance(dataset.rows[0], RolloutRow):
        return dataset.of(PreferenceRow)
    groups = dataset.of(RolloutRow)
    if solutions is None:
        return list(pairs_of_groups(groups, config.pairs_per_prompt))
    return list(pairs_with_solutions(solutions, groups, config.pairs_per_prompt))


def _solutions(config: DPOConfig) -> Sequence[ProblemRow] | None:
    if not config.solutions and config.solutions_task is None:
        return None
    return [row for row in read_problems(config.solutions, config.solutions_task) if isinstance(row, ProblemRow)]


STAGE = Stage(NAME, DPOConfig, run, several_processes=True)
