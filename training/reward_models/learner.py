"""What learns to judge: a network, its batches, its loss."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from deliberate.training.optimization import processes
from deliberate.training.optimization.loop import Update
from deliberate.training.optimization.optimizer import RATE_FACTOR
from deliberate.training.optimization.processes import Share
from deliberate.training.reward_models.chains import ChainBatch
from deliberate.training.reward_models.config import RewardModelConfig
from deliberate.training.reward_models.evaluation import Examination
from deliberate.training.reward_models.judges import Judge
from deliberate.training.reward_models.sources import Batches

Loss = Callable[[Tensor, ChainBatch], tuple[Tensor, dict[str, float]]]
"""Of log-odds (chains, places): the loss, 0-dimensional, and figures of the batch."""


class ChainLearner:
    """Judges a batch of chains, and keeps speaking as those that are right do."""

    def __init__(
        self, config: RewardModelConfig, judge: Judge, batches: Batches, loss: Loss, exam: Examination, pad_id: int
    ) -> None:
        self._config = config
        self._judge = judge
        self._batches = batches
        self._loss = loss
        self._exam = exam
        self._pad_id = pad_id
        factor = (config.head_learning_rate or config.learning_rate) / config.learning_rate
        for _, parameter in self._parameters(head=True):
            setattr(parameter, RATE_FACTOR, factor)

    @property
    def device(self) -> torch.device:
        return self._judge.device

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        return self._judge.named_parameters()

    def updates(self, step: int) -> Iterator[Update]:
        measured = self.figures() if step and step % self._config.eval_steps == 0 else {}
        groups = self._batches.at(step)
        chains = [chain for group in groups for chain in group]
        share = processes.share(range(len(chains)))
        batch = ChainBatch.of(groups, self._pad_id, self.device)
        own = ChainBatch.of([[chains[index]] for index in share.items], self._pad_id, self.device)
        learning = step >= self._config.freeze_trunk_steps
        log_odds, hidden = self._judge.read(own, learning=learning)
        loss, values = self._loss(_together(log_odds, share, batch), batch)
        values = {"loss": loss.item(), **values, **measured}
        if self._config.lm_coef and learning:
            tokens = max(1, int(self._judge.spoken(batch).sum()))
            language = processes.summed(share.weight * self._judge.language_loss(hidden, own) / tokens)
            values["lm_loss"] = language.item()
            loss = loss + self._config.lm_coef * language
        loss.backward()
        if not learning:
            for _, parameter in self._parameters(head=False):
                parameter.grad = None
        yield Update(values, batch.tokens, batch.content)

    def figures(self) -> dict[str, float]:
        """What the examination shows of the model as it is now."""
        return self._exam.figures(self._judge, self._pad_id, self._config.per_device_train_batch_size)

    def save(self, folder: Path) -> None:
        self._judge.save(folder)

    def restore(self, folder: Path) -> None:
        self._judge.restore(folder)

    def export(self, folder: Path) -> None:
        self._judge.export(folder)

    def _parameters(self, *, head: bool) -> Iterator[tuple[str, nn.Parameter]]:
        for name, parameter in self._judge.named_parameters():
            if self._judge.is_head(name) == head:
                yield name, parameter


def _together(own: Tensor, share: Share[int], batch: ChainBatch) -> Tensor:
    """Log-odds (chains, places) of the whole batch, with the gradient of this process's own chains."""
    log_odds = own.new_zeros(batch.read.shape)
    log_odds[list(share.items), : own.shape[1]] = share.weight * own
    return processes.summed(log_odds)
