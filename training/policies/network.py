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
from transformers.modeling_layers import GradientCheckpointingLayer

from deliberate.engines.errors import InvalidRequest
from deliberate.training.optimization import processes
from deliberate.training.optimization.sharding import shard, sharded_as, whole, whole_on_main
from deliberate.training.policies.architecture import freeze_output_biases
from deliberate.training.policies.config import LoraOptions, PolicyConfig, TrainedConfig

_ADAPTERS = "adapters.safetensors"


class TrainableNetwork:
    """A model of transformers on its device, of which all weights learn, or adapters only."""

    def __init__(self, model: PreTrainedModel, config: TrainedConfig) -> None:
        """`model` is moved to the GPU where there is one; of several processes each has all of it, or a part."""
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._config = config
        freeze_output_biases(model)
        self.model: Any = self._placed(model)
        self._peft: Any = None if config.lora is None else _with_adapters(self.model, config.lora)
        if config.gradient_checkpointing:
            self.model.gradient_checkpointing_enable()
            self.model.enable_input_require_grads()
        self.model.eval()  # No dropout: what was sampled is what is learned from.
        if config.gradient_checkpointing:
            _compute_again(self.model)

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Of the whole model; those that learn have `requires_grad`."""
        return self.model.named_parameters()

    def weights(self) -> Mapping[str, Tensor]:
        """All weights by their names in a model folder, adapters merged into what they adapt. They may be shared with
        the model: copy what has to stay. Processes that split the model ask together."""
        if self._peft is not None:
            return _merged_weights(self.model)
        return {name: whole(value) for name, value in self.model.state_dict().items()}

    def frozen(self) -> "TrainableNetwork":
        """A copy as it is now, which does not learn: what a policy is compared to."""
        copy = object.__new__(TrainableNetwork)
        copy.device = self.device
        copy._config = self._config
        copy._peft = None
        if self._split:
            model = type(self.model)(self.model.config)
            load_weights(model, self.weights())
            copy.model = self._placed(model.eval())
        else:
            copy.model = deepcopy(self.model) if self._peft is None else deepcopy(self._peft).merge_and_unload()
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
        """For a checkpoint: a model folder, or the adapters alone. The main process writes."""
        if self._peft is None:
            self._write(folder, whole_on_main(self.model.state_dict()))
        elif processes.is_main():
            save_file(_learning(self.model), folder / _ADAPTERS)

    def restore(self, folder: Path) -> None:
        """Take the weights that `save` wrote."""
        if self._peft is None:
            files = sorted(folder.glob("model*.safetensors"))
            load_weights(self.model, {name: value for file in files for name, value in load_file(file).items()})
        else:
            self.model.load_state_dict(load_file(folder / _ADAPTERS), strict=False)

    def export(self, folder: Path) -> None:
        """A model folder that plain transformers loads, adapters merged; all processes wait until the main one has
        written it."""
        self._write(
            folder, whole_on_main(self.model.state_dict()) if self._peft is None else _merged_weights(self.model)
        )
        processes.wait()

    @property
    def _split(self) -> bool:
        return self._config.fsdp and processes.count() > 1

    def _placed(self, model: PreTrainedModel) -> Any:
        if self._split:  # Before it is moved, for it may be too large for the device.
            shard(model, self.device, bf16=self._config.bf16)
        return model.to(self.device)  # pyright: ignore[reportArgumentType]

    def _write(self, folder: Path, weights: dict[str, Tensor]) -> None:
        if processes.is_main():
            self.model.save_pretrained(folder, state_dict=weights)


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
    now: Mapping[str, Tensor] = model.state_dict()
    fitting = {name: sharded_as(now[name], value) if name in now else value for name, value in weights.items()}
    missing, unexpected = model.load_state_dict(fitting, strict=False)
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


def _compute_again(model: nn.Module) -> None:
    """Blocks keep nothing for the backward pass only while they are in training; the modules in them are not, so that
    nothing is dropped out there."""
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.training = True


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
