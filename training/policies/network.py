"""Networks that learn: loading them, all weights or adapters, and keeping them in checkpoints and model folders."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from deliberate.engines.errors import InvalidRequest
from deliberate.training.policies.architecture import freeze_output_biases
from deliberate.training.policies.config import LoraOptions, PolicyConfig, TrainedConfig

_ADAPTERS = "adapters.safetensors"


class TrainableNetwork:
    """A model of transformers on its device, of which all weights learn, or adapters only."""

    def __init__(self, model: PreTrainedModel, config: TrainedConfig) -> None:
        """`model` is moved to the GPU where there is one."""
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model: Any = model.to(self.device)  # pyright: ignore[reportArgumentType]
        freeze_output_biases(self.model)
        self._peft: Any = None if config.lora is None else _with_adapters(self.model, config.lora)
        if config.gradient_checkpointing:
            self.model.gradient_checkpointing_enable()
            self.model.enable_input_require_grads()
        self.model.eval()  # No dropout: what was sampled is what is learned from.

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Of the whole model; those that learn have `requires_grad`."""
        return self.model.named_parameters()

    def weights(self) -> Mapping[str, Tensor]:
        """All weights by their names in a model folder, adapters merged into what they adapt. They may be shared with
        the model: copy what has to stay."""
        return self.model.state_dict() if self._peft is None else _merged_weights(self.model)

    def frozen(self) -> "TrainableNetwork":
        """A copy as it is now, which does not learn: what a policy is compared to."""
        copy = object.__new__(TrainableNetwork)
        copy.device = self.device
        copy.model = deepcopy(self.model) if self._peft is None else deepcopy(self._peft).merge_and_unload()
        copy._peft = None
        copy.model.requires_grad_(False)
        return copy

    def without_adapters(self) -> AbstractContextManager[None]:
        """The model it began as, for a block; only where adapters learn."""
        return nullcontext() if self._peft is None else self._peft.disable_adapter()

    @property
    def has_adapters(self) -> bool:
        """Only adapters learn, so that the model it began as is still there."""
        return self._peft is not None

    def save(self, folder: Path) -> None:
        """For a checkpoint: a model folder, or the adapters alone."""
        if self._peft is None:
            self.model.save_pretrained(folder)
        else:
            save_file(_learning(self.model), folder / _ADAPTERS)

    def restore(self, folder: Path) -> None:
        """Take the weights that `save` wrote."""
        if self._peft is None:
            files = sorted(folder.glob("model*.safetensors"))
            load_weights(self.model, {name: value for file in files for name, value in load_file(file).items()})
        else:
            self.model.load_state_dict(load_file(folder / _ADAPTERS), strict=False)

    def export(self, folder: Path) -> None:
        """A model folder that plain transformers loads, adapters merged."""
        self.model.save_pretrained(folder, state_dict=dict(self.weights()))


def load_policy(config: PolicyConfig) -> TrainableNetwork:
    """The language model that a stage begins from. Raises InvalidRequest for what cannot be loaded."""
    return TrainableNetwork(load_language_model(config.model_name_or_path), config)


def load_language_model(path: str) -> PreTrainedModel:
    """From a folder or by its name on the hub, in single precision, onto the CPU.

    Raises InvalidRequest, saying why, where it cannot be.
    """
    try:
        return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"Cannot load a language model from {path!r}: {error}", param="model") from error


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a model by name. Weights that a folder leaves out because they are tied are no others.

    Raises InvalidRequest where names do not fit.
    """
    missing, unexpected = model.load_state_dict(weights, strict=False)
    tied = set(getattr(model, "all_tied_weights_keys", {}))
    if wrong := [*unexpected, *(name for name in missing if name not in tied)]:
        raise InvalidRequest(f"The weights are of another model: {', '.join(wrong[:5])} do not fit.")


def _with_adapters(model: PreTrainedModel, lora: LoraOptions) -> Any:
    """Puts adapters into the model's modules; what is returned switches and merges them."""
    from peft import LoraConfig, get_peft_model

    targets = lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules)
    options = lora.model_dump(exclude={"target_modules"})
    if hasattr(model, "score"):  # A classifier's head is new and learns as a whole.
        return get_peft_model(model, LoraConfig(**options, target_modules=targets, exclude_modules=["score"]))
    return get_peft_model(model, LoraConfig(**options, target_modules=targets, task_type="CAUSAL_LM"))


@torch.no_grad()
def _merged_weights(model: nn.Module) -> dict[str, Tensor]:
    """By the names that they have without adapters."""
    adapted: dict[str, Any] = {name: module for name, module in model.named_modules() if hasattr(module, "base_layer")}
    weights: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if "lora_" not in name:
            weights[name.replace(".base_layer.", ".")] = value
    for name, module in adapted.items():
        weights[f"{name}.weight"] = module.base_layer.weight + module.get_delta_weight("default")
    return weights


def _learning(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}
