"""What the policy is held near to: the model that it began as, or its last exploration's (iterative GRPO)."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from deliberate.training.optimization import processes
from deliberate.training.optimization.sharding import sharded_as
from deliberate.training.policies.network import TrainableNetwork, load_weights

_FILE = "reference.safetensors"


class Reference:
    """With adapters it is the model without them; else, or where it is replaced in between, a copy."""

    def __init__(self, network: TrainableNetwork, *, replaced: bool) -> None:
        """The policy as it is now; `replaced` says that it will not stay this one."""
        self._network = network
        self._replaced = replaced
        self._copy = network.frozen() if replaced or not network.has_adapters else None

    @contextmanager
    def model(self) -> Generator[Any, None, None]:
        """The language model, for a block in which the policy is not used."""
        if self._copy is not None:
            yield self._copy.model
            return
        with self._network.without_adapters():
            yield self._network.model

    @torch.no_grad()
    def approach(self, share: float) -> None:
        """Move to the policy as it is now: all the way at 1 (TRL's ref_model_mixup_alpha)."""
        assert self._copy is not None
        now = self._network.weights()
        for name, value in self._copy.named_parameters():
            value.lerp_(sharded_as(value, now[name]), share)

    def save(self, folder: Path) -> None:
        """For a checkpoint, where it does not follow from the beginning."""
        if self._replaced and self._copy is not None:
            tensors = {name: value.detach().clone().contiguous() for name, value in self._copy.weights().items()}
            if processes.is_main():
                save_file(tensors, folder / _FILE)

    def restore(self, folder: Path) -> None:
        """What `save` wrote."""
        if self._replaced and self._copy is not None:
            load_weights(self._copy.model, load_file(folder / _FILE))
