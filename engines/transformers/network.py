"""The networks that the embedded engine runs: a decoder with the head of a language model or of a reward model."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
)

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.transformers.reward_heads import (
    Qwen2ForPrmModel,
    Qwen2ForProcessRewardModel,
    Qwen2ForRewardModel,
)

_REWARD_HEADS: dict[str, Any] = {
    "ForSequenceClassification": AutoModelForSequenceClassification,
    "ForTokenClassification": AutoModelForTokenClassification,
    **{model.__name__: model for model in (Qwen2ForPrmModel, Qwen2ForProcessRewardModel, Qwen2ForRewardModel)},
}
"""By the end of the architecture's name. All have a `score` over every token's hidden state."""


def is_reward_model(path: str) -> bool:
    """Whether a model folder or hub id is for `load_scorer` and not for `load`; only config.json is read.

    Raises InvalidRequest where there is none.
    """
    return architecture(path).endswith(tuple(_REWARD_HEADS))


def architecture(path: str) -> str:
    """The class of a model folder or hub id, as its config.json names it; empty where it names none.

    Raises InvalidRequest where there is no config.
    """
    try:
        config, _ = PreTrainedConfig.get_config_dict(path)
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"Cannot read the config of a model from {path!r}: {error}", param="model") from error
    return next(iter(config.get("architectures") or ()), "")


class Network(ABC):
    """A model of transformers in evaluation mode."""

    words: ClassVar[str]
    """What it is, for messages."""

    def __init__(self, path: str, dtype: torch.dtype, device: torch.device) -> None:
        """Raises InvalidRequest for what cannot be loaded or run."""
        try:
            model, report = self._loader(path).from_pretrained(path, dtype=dtype, output_loading_info=True)
        except (OSError, ValueError) as error:
            raise InvalidRequest(f"Cannot load a {self.words} from {path!r}: {error}", param="model") from error
        if report["missing_keys"]:
            # They would be random numbers, and so would be what the model says.
            missing = ", ".join(sorted(report["missing_keys"]))
            raise InvalidRequest(f"{path} is no {self.words}: it has no weights for {missing}.", param="model")
        self.model = model.to(device).eval()
        if not self._runs():
            kind = self.model.config.get_text_config().model_type
            raise InvalidRequest(f"{path}: the embedded engine cannot run a {kind} model as a {self.words}.")

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Copy weights in, by their names in a model folder; those that are tied to others may be left out.

        Raises InvalidRequest, with nothing changed, where names or shapes are of another model.
        """
        own = dict(self.model.state_dict())
        wrong = [name for name in weights if name not in own or own[name].shape != weights[name].shape]
        wrong += [name for name in own if name not in weights and name not in self.model.all_tied_weights_keys]
        if wrong:
            raise InvalidRequest(f"The weights are of another model: {', '.join(wrong[:5])} do not fit.")
        for name, value in weights.items():
            own[name].copy_(value)

    @property
    @abstractmethod
    def head(self) -> nn.Module:
        """What stands behind the last norm of a Llama-shaped decoder."""

    @abstractmethod
    def forward(self, keep: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """Outputs [rows, keep, outputs] by transformers' own modules, for every architecture that is not fused."""

    @abstractmethod
    def own_outputs(self, tokens: Sequence[int], first: int) -> torch.Tensor:
        """What the model says by itself, without our rows, after `tokens[first]` and each later one."""

    @abstractmethod
    def meaning(self, outputs: torch.Tensor) -> torch.Tensor:
        """What is read from outputs [..., outputs], and must not depend on who runs the model."""

    @abstractmethod
    def _loader(self, path: str) -> Any:
        """The class of transformers that loads it."""

    @abstractmethod
    def _runs(self) -> bool:
        """Whether its modules are as expected here."""


class LanguageModel(Network):
    """Its outputs are logits over the vocabulary."""

    words = "causal language model"

    @property
    def head(self) -> nn.Module:
        return self.model.lm_head

    def forward(self, keep: torch.Tensor, **inputs: Any) -> torch.Tensor:
        return self.model(**inputs, logits_to_keep=keep).logits

    @torch.inference_mode()
    def own_outputs(self, tokens: Sequence[int], first: int) -> torch.Tensor:
        return self.model(torch.tensor([tokens], device=self.model.device)).logits[0, first:].float()

    def meaning(self, outputs: torch.Tensor) -> torch.Tensor:
        """Log-probabilities."""
        return outputs.log_softmax(-1)

    def _loader(self, path: str) -> Any:
        return AutoModelForCausalLM

    def _runs(self) -> bool:
        return "logits_to_keep" in inspect.signature(self.model.forward).parameters


class RewardModel(Network):
    """Its outputs are the logits of one label (all is right) or two (wrong, right)."""

    words = "reward model"

    @property
    def head(self) -> nn.Module:
        return self.model.score

    def forward(self, keep: torch.Tensor, **inputs: Any) -> torch.Tensor:
        return self.head(self.model.base_model(**inputs).last_hidden_state[:, keep])

    @torch.inference_mode()
    def own_outputs(self, tokens: Sequence[int], first: int) -> torch.Tensor:
        """Sequence classification says something of a whole sequence only, so each one is read by itself."""
        prefixes = [torch.tensor([tokens[: end + 1]], device=self.model.device) for end in range(first, len(tokens))]
        return torch.stack([self.model(ids).logits.flatten(0, -2)[-1].float() for ids in prefixes])

    def meaning(self, outputs: torch.Tensor) -> torch.Tensor:
        """Log-odds that all is right."""
        return outputs[..., -1] - outputs[..., 0] if outputs.shape[-1] == 2 else outputs[..., 0]

    def _loader(self, path: str) -> Any:
        name = architecture(path)
        for ending, loader in _REWARD_HEADS.items():
            if name.endswith(ending):
                return loader
        raise InvalidRequest(
            f"{path} is no reward model but a {name or 'model of unknown architecture'}; known: "
            f"…{', …'.join(_REWARD_HEADS)}.",
            param="model",
        )

    def _runs(self) -> bool:
        labels = self.model.num_labels
        if labels not in (1, 2):
            raise InvalidRequest(f"A reward model has one label or two (wrong, right); this one has {labels}.")
        return isinstance(getattr(self.model, "score", None), nn.Linear | nn.Sequential)
