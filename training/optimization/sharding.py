"""Weights in parts, one on each device (FSDP2: torch.distributed.fsdp.fully_shard), for models too large for one.

A block's weights come together while it computes; gradients and the optimizer's state stay in parts. Embeddings and
heads stay whole on every device: they may be tied, and heads are read as often as there are tokens for.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.utils import clip_grad_norm_, get_total_norm

from deliberate.training.optimization import processes


def shard(model: Any, device: torch.device, *, bf16: bool) -> None:
    """Split a model of transformers among the processes, block by block; `bf16` gathers the weights in bfloat16."""
    precision = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if bf16 else None, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    decoder = model.get_decoder()
    options: dict[str, Any] = {
        "mesh": init_device_mesh(device.type, (processes.count(),)),
        "reshard_after_forward": True,
        "mp_policy": precision,
    }
    for module in decoder.modules():
        if type(module).__name__ in model._no_split_modules:
            fully_shard(module, **options)
    fully_shard(decoder, **options, ignored_params={model.get_input_embeddings().weight})
    for module in model.modules():
        if isinstance(module, FSDPModule):  # Parts of a loss add up; they are no means.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process has a part of it only."""
    return isinstance(tensor, DTensor)


def whole(tensor: Tensor) -> Tensor:
    """All of it; all processes ask together."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def sharded_as(pattern: Tensor, value: Tensor) -> Tensor:
    """This process's part of a whole `value`, split as `pattern` is."""
    if not isinstance(pattern, DTensor):
        return value
    return distribute_tensor(value.to(pattern.device), pattern.device_mesh, pattern.placements, src_data_rank=None)


def whole_on_main(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The same with all of each tensor, in main memory where it was in parts. Other processes keep no such tensor."""
    found: dict[str, Any] = {}
    for name, value in tensors.items():
        if not isinstance(value, DTensor):
            found[name] = value
        elif processes.is_main():
            found[name] = value.full_tensor().cpu()
        else:
            value.full_tensor()
    return found


def add_up_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Of all processes; those of split weights have been added up in the backward pass."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    processes.add_up(gradient for gradient in gradients if not is_sharded(gradient))


def clip_gradients(parameters: Sequence[nn.Parameter], max_norm: float) -> float:
    """Scale the gradients down to this norm; the norm that they had."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    split = [gradient for gradient in gradients if is_sharded(gradient)]
    if not split:
        return clip_grad_norm_(parameters, max_norm).item()
    complete = [gradient for gradient in gradients if not is_sharded(gradient)]
    norm = math.hypot(*(whole(get_total_norm(part)).item() for part in (complete, split)))
    for gradient in gradients:
        gradient.mul_(min(1.0, max_norm / (norm + 1e-6)))
    return norm
