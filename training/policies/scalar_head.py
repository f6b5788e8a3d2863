"""A decoder with a head over every token: rewards of completions, log-odds of steps, values of states.

It is kept as transformers' own sequence or token classifier, whose head is `score`, so that what is trained here is
what the engines serve. The decoder's language-model head stays beside it: heads that learn alone make a decoder forget
what it knew.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, PreTrainedModel

from deliberate.engines.errors import InvalidRequest
from deliberate.training.policies.config import TrainedConfig
from deliberate.training.policies.logps import autocast
from deliberate.training.policies.network import TrainableNetwork, load_language_model

HEAD = "score."
"""Begins the names of the head's parameters."""

_CLASSIFIERS: dict[str, Any] = {
    "sequence": AutoModelForSequenceClassification,
    "token": AutoModelForTokenClassification,
}


class ScalarHead:
    """A decoder that learns, with a head of one label, or of two (wrong, right)."""

    def __init__(
        self, path: str, config: TrainedConfig, kind: Literal["sequence", "token"], *, labels: int = 1, pad_id: int = 0
    ) -> None:
        """From a language model, with a new head drawn from `config.seed`, or from a model that has such a head.

        Raises InvalidRequest for what cannot be loaded.
        """
        model = _load(path, kind, labels, config.seed)
        if model.config.get_text_config().pad_token_id is None:
            model.config.pad_token_id = pad_id
        self._path = path
        self._tied = bool(model.config.get_text_config().tie_word_embeddings)
        self._language_head: nn.Module | None = None
        self.network = TrainableNetwork(model, config)
        self._bf16 = config.bf16
        for parameter in self._model.score.parameters():
            parameter.requires_grad_(True)

    @property
    def device(self) -> torch.device:
        return self.network.device

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Of decoder and head; the language-model head is among them only where it is tied to the embeddings."""
        return self.network.named_parameters()

    def hidden(self, input_ids: Tensor, *, learning: bool = True) -> Tensor:
        """What the decoder says after each token (sequences, tokens, width), padding on the right. Without `learning`
        no gradient reaches the decoder."""
        with torch.set_grad_enabled(learning and torch.is_grad_enabled()), autocast(self.device, self._bf16):
            return self._model.base_model(input_ids=input_ids, use_cache=False).last_hidden_state

    def log_odds(self, hidden: Tensor) -> Tensor:
        """The head's word (…,) on states (…, width), in float32; of two labels, right against wrong."""
        with autocast(self.device, self._bf16):
            outputs = self._model.score(hidden).float()
        return outputs[..., -1] - outputs[..., 0] if outputs.shape[-1] == 2 else outputs[..., 0]

    def scores(self, input_ids: Tensor) -> Tensor:
        """The head's word after each token (sequences, tokens)."""
        return self.log_odds(self.hidden(input_ids))

    def language_logits(self, hidden: Tensor) -> Tensor:
        """Logits (…, vocabulary) of the next token from states (…, width), in float32.

        A head that is not tied to the embeddings does not learn, for the finished model is without one. Raises
        InvalidRequest where there is none.
        """
        with autocast(self.device, self._bf16):
            if self._tied:
                logits = linear(hidden, self._model.get_input_embeddings().weight)
            else:
                self._language_head = self._language_head or _language_head(self._path).to(self.device)
                logits = self._language_head(hidden)
        cap: float | None = getattr(self._model.config.get_text_config(), "final_logit_softcapping", None)
        logits = logits.float()
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def weights(self) -> Mapping[str, Tensor]:
        """All weights by their names in a model folder."""
        return self.network.weights()

    def save(self, folder: Path) -> None:
        """For a checkpoint."""
        self.network.save(folder)

    def restore(self, folder: Path) -> None:
        """Take the weights that `save` wrote."""
        self.network.restore(folder)

    def export(self, folder: Path) -> None:
        """A model folder that plain transformers loads and the engines serve as a reward model."""
        self.network.export(folder)

    @property
    def _model(self) -> Any:
        return self.network.model


def _load(path: str, kind: Literal["sequence", "token"], labels: int, seed: int) -> PreTrainedModel:
    # A new head is drawn from torch's own generator.
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
    try:
        model = _CLASSIFIERS[kind].from_pretrained(path, dtype=torch.float32, num_labels=labels)
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidRequest(f"Cannot load a {kind} classifier from {path!r}: {error}", param="model") from error
    if not isinstance(getattr(model, "score", None), nn.Linear):
        kept = model.config.get_text_config().model_type
        raise InvalidRequest(f"{path}: {kept} models have no head that could be served; take another.", param="model")
    return model


def _language_head(path: str) -> nn.Module:
    head = load_language_model(path).get_output_embeddings()
    if head is None:
        raise InvalidRequest(f"{path} has no language-model head; set lm_coef to 0.", param="model")
    return head.requires_grad_(False)
