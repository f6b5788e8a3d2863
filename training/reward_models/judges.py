"""The four forms of a model that judges: a head over states, marks that it says next, a log-ratio to a reference, and
what is read from how surprised it is."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.huggingface import HuggingFaceTokenizer
from deliberate.training.objectives.masking import filled
from deliberate.training.objectives.step_rewards import mark_logits
from deliberate.training.optimization import processes
from deliberate.training.policies.config import PolicyConfig
from deliberate.training.policies.logps import autocast, last_hidden, output_logits
from deliberate.training.policies.network import TrainableNetwork, load_language_model, load_policy
from deliberate.training.policies.scalar_head import HEAD, ScalarHead
from deliberate.training.reward_models.chains import ChainBatch
from deliberate.verifiers.chains import same_vocabulary
from deliberate.verifiers.surprisal import SurprisalReader, find_reader

_READER = "reader"
"""Begins the names of the reader's parameters."""


class Judge(Protocol):
    """A network that says something of places in chains."""

    @property
    def device(self) -> torch.device: ...

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]: ...

    def read(self, batch: ChainBatch, *, learning: bool = True) -> tuple[Tensor, Tensor]:
        """Log-odds of being right at each place (chains, places), 0 where none is read, and the states that the
        language model speaks from (chains, tokens, width). Without `learning` only the head gets a gradient."""
        ...

    def spoken(self, batch: ChainBatch) -> Tensor:
        """After which tokens (chains, tokens) the model is to say what follows, which is right."""
        ...

    def language_loss(self, hidden: Tensor, batch: ChainBatch) -> Tensor:
        """Sum of the cross entropies of the tokens that follow there."""
        ...

    def is_head(self, name: str) -> bool:
        """Whether a parameter belongs to a head that is new."""
        ...

    def save(self, folder: Path) -> None: ...

    def restore(self, folder: Path) -> None: ...

    def export(self, folder: Path) -> None: ...


class HeadJudge(ScalarHead):
    """A classifier's head, read at the places."""

    def read(self, batch: ChainBatch, *, learning: bool = True) -> tuple[Tensor, Tensor]:
        hidden = self.hidden(batch.input_ids, learning=learning)
        return filled(self.log_odds(_at(hidden, batch.ends)), batch.read), hidden

    def spoken(self, batch: ChainBatch) -> Tensor:
        return batch.language

    def language_loss(self, hidden: Tensor, batch: ChainBatch) -> Tensor:
        return _cross_entropy(self.language_logits(hidden[batch.language]), _following(batch, batch.language))

    def is_head(self, name: str) -> bool:
        return name.startswith(HEAD)


class _LanguageJudge:
    """A language model that judges by what it would say."""

    def __init__(self, network: TrainableNetwork, bf16: bool) -> None:
        self._network = network
        self._bf16 = bf16

    @property
    def device(self) -> torch.device:
        return self._network.device

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        return self._network.named_parameters()

    def spoken(self, batch: ChainBatch) -> Tensor:
        return batch.language

    def language_loss(self, hidden: Tensor, batch: ChainBatch) -> Tensor:
        there = self.spoken(batch)
        return _cross_entropy(self._logits(hidden[there]), _following(batch, there))

    def is_head(self, name: str) -> bool:
        return False

    def save(self, folder: Path) -> None:
        self._network.save(folder)

    def restore(self, folder: Path) -> None:
        self._network.restore(folder)

    def export(self, folder: Path) -> None:
        self._network.export(folder)

    def _hidden(self, ids: Tensor, learning: bool) -> Tensor:
        with torch.set_grad_enabled(learning and torch.is_grad_enabled()), autocast(self.device, self._bf16):
            return last_hidden(self._network.model, ids)

    def _logits(self, hidden: Tensor) -> Tensor:
        with autocast(self.device, self._bf16):
            return output_logits(self._network.model, hidden).float()

    def _answer_logps(self, hidden: Tensor, batch: ChainBatch) -> Tensor:
        """Of the answers' tokens (tokens,), given all states."""
        before, following = _answers(hidden, batch)
        return _logps(self._logits(before), following)


class MarksJudge(_LanguageJudge):
    """The model says one mark or another after each step: their difference is the log-odds."""

    def __init__(self, config: PolicyConfig, marks: tuple[int, int]) -> None:
        """`marks` are the token ids of right and wrong. Raises InvalidRequest."""
        super().__init__(load_policy(config), config.bf16)
        self._marks = marks

    def read(self, batch: ChainBatch, *, learning: bool = True) -> tuple[Tensor, Tensor]:
        hidden = self._hidden(batch.input_ids, learning)
        odds = mark_logits(self._logits(_at(hidden, batch.ends)[batch.read]), *self._marks)
        return odds.new_zeros(batch.read.shape).masked_scatter(batch.read, odds), hidden

    def spoken(self, batch: ChainBatch) -> Tensor:
        """Not at the places where the marks are read: what follows there in the chain is no mark."""
        there = batch.language.clone()
        rows, places = batch.read.nonzero(as_tuple=True)
        there[rows, batch.ends[rows, places]] = False
        return there


class ImplicitJudge(_LanguageJudge):
    """beta times the log-ratio to a reference, of all tokens of the answer up to the place (Yuan 2024)."""

    def __init__(self, config: PolicyConfig, beta: float, reference: str | None = None) -> None:
        """`reference` is a model of the same vocabulary, None the one that it begins as. Raises InvalidRequest."""
        super().__init__(load_policy(config), config.bf16)
        self._reference: Any = None
        if reference is not None:
            _check_same_vocabulary(config.model_name_or_path, reference)
            model: Any = load_language_model(reference)
            self._reference = model.to(self.device).eval().requires_grad_(False)
        elif not self._network.has_adapters:
            self._reference = self._network.frozen().model
        self._beta = beta

    def read(self, batch: ChainBatch, *, learning: bool = True) -> tuple[Tensor, Tensor]:
        hidden = self._hidden(batch.input_ids, learning)
        with torch.no_grad():
            start = self._start_logps(batch)
        ratios = self._answer_logps(hidden, batch) - start
        values = ratios.new_zeros(batch.answer.shape).masked_scatter(batch.answer, self._beta * ratios).cumsum(-1)
        return filled(values.gather(1, batch.ends), batch.read), hidden

    def _start_logps(self, batch: ChainBatch) -> Tensor:
        """Of the answers' tokens (tokens,) under the model as it was."""
        if self._reference is None:
            with self._network.without_adapters():
                return self._answer_logps(self._hidden(batch.input_ids, False), batch)
        with autocast(self.device, self._bf16):
            before, following = _answers(last_hidden(self._reference, batch.input_ids), batch)
            logits = output_logits(self._reference, before)
        return _logps(logits.float(), following)


class SurprisalJudge(_LanguageJudge):
    """A reader of the log-probabilities of the answer's tokens, and the language model that gives them."""

    def __init__(self, config: PolicyConfig) -> None:
        """With a new reader drawn from `config.seed`, or the one that the model has. Raises InvalidRequest."""
        super().__init__(load_policy(config), config.bf16)
        # A new reader is drawn from torch's own generator.
        torch.manual_seed(config.seed)  # pyright: ignore[reportUnknownMemberType]
        self._reader = (find_reader(config.model_name_or_path) or SurprisalReader()).to(self.device)

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        yield from self._network.named_parameters()
        yield from self._reader.named_parameters(_READER)

    def read(self, batch: ChainBatch, *, learning: bool = True) -> tuple[Tensor, Tensor]:
        hidden = self._hidden(batch.input_ids, learning)
        with torch.set_grad_enabled(learning and torch.is_grad_enabled()):
            logps = self._answer_logps(hidden, batch)
        lengths = batch.answer.sum(-1, keepdim=True)
        there = torch.arange(int(lengths.max()), device=self.device) < lengths
        said = self._reader(logps.new_zeros(there.shape).masked_scatter(there, logps))
        values = said.new_zeros(batch.answer.shape).masked_scatter(batch.answer, said[there])
        return filled(values.gather(1, batch.ends), batch.read), hidden

    def is_head(self, name: str) -> bool:
        return name.startswith(_READER)

    def save(self, folder: Path) -> None:
        super().save(folder)
        self._write(folder)

    def restore(self, folder: Path) -> None:
        super().restore(folder)
        self._reader.restore(folder)

    def export(self, folder: Path) -> None:
        super().export(folder)
        self._write(folder)

    def _write(self, folder: Path) -> None:
        if processes.is_main():
            self._reader.save(folder)


def _check_same_vocabulary(path: str, reference: str) -> None:
    if not same_vocabulary(HuggingFaceTokenizer(path), HuggingFaceTokenizer(reference)):
        raise InvalidRequest(
            f"{reference} has another vocabulary than {path}, so that there is no ratio of the two; take a reference "
            "with the same tokenizer, or none.",
            param="reference_model",
        )


def _at(hidden: Tensor, places: Tensor) -> Tensor:
    """States (chains, places, width) at places (chains, places)."""
    return hidden.gather(1, places.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))


def _following(batch: ChainBatch, there: Tensor) -> Tensor:
    """The tokens (tokens,) that follow the places `there` (chains, tokens)."""
    return batch.input_ids.roll(-1, 1)[there]


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, targets, reduction="sum")


def _answers(hidden: Tensor, batch: ChainBatch) -> tuple[Tensor, Tensor]:
    """States before the answers' tokens (tokens, width), and these tokens (tokens,)."""
    return hidden[:, :-1][batch.answer[:, 1:]], batch.input_ids[batch.answer]


def _logps(logits: Tensor, targets: Tensor) -> Tensor:
    """Of tokens (tokens,), given logits (tokens, vocabulary)."""
    return logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
