"""Several processes that train one model, as torchrun starts them. In a process by itself nothing here does anything.

Every process knows the whole batch of a step and works through its share of it. What it adds to the loss, and to the
gradients, is its part of the whole batch's: summed over the processes they are those of a process by itself, up to
rounding, whatever is divided by. So how many processes there are is no part of a run: it goes on with more or fewer.

Spread over machines, they need a file system in common for the run's folder.
"""

import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from deliberate.engines.errors import InvalidRequest

_PATIENCE = timedelta(hours=2)
"""How long a process waits for the others, such as for the main one to write a large model."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Share(Generic[Item]):
    """What one process has of something."""

    items: Sequence[Item]
    spare: bool = False
    """There were too few items: these are another's, to be worked through in vain, since processes that split a model
    have to read at the same time."""

    @property
    def weight(self) -> float:
        """By which what comes of the items counts."""
        return 0.0 if self.spare else 1.0


@contextmanager
def joined() -> Generator[None, None, None]:
    """Meet the other processes, where a launcher started several; this one then sees one GPU, its own.

    Raises InvalidRequest where a machine has fewer GPUs than processes.
    """
    if launched() == 1:
        yield
        return
    _see_own_gpu(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def launched() -> int:
    """How many processes the launcher started; they have not met yet."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def require_one(what: str) -> None:
    """Raises InvalidRequest where a launcher started several processes of it."""
    if launched() > 1:
        raise InvalidRequest(
            f"{what} runs in one process, and {launched()} were started: start it without torchrun. Several are for "
            "the stages sft, prm, orm, dpo and grpo, one at a time."
        )


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this is the process that writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def wait() -> None:
    """Until all processes are here."""
    if count() > 1:
        dist.barrier()


def share(items: Sequence[Item]) -> Share[Item]:
    """This process's: each has every so-many-th, so that those sorted by length are shared evenly."""
    own = items[_rank() :: count()]
    return Share(own) if own else Share(items[:1], spare=True)


def gathered(own: Sequence[Item]) -> list[Item]:
    """What all processes made of their shares, in the order of the items that were shared. It has to be picklable."""
    if count() == 1:
        return list(own)
    parts: list[Sequence[Item]] = [[] for _ in range(count())]
    dist.all_gather_object(parts, own)
    return [parts[i % len(parts)][i // len(parts)] for i in range(sum(map(len, parts)))]


def summed(part: Tensor) -> Tensor:
    """The sum of all processes' parts. Its gradient is that of this process's part; those of all processes add up."""
    if count() == 1:
        return part
    total = part.detach().clone()
    dist.all_reduce(total)
    return total + (part - part.detach())


def add_up(tensors: Iterable[Tensor]) -> None:
    """Put the sum of all processes' in place of each."""
    if count() > 1:
        for work in [dist.all_reduce(tensor, async_op=True) for tensor in tensors]:
            if work is not None:
                work.wait()


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _see_own_gpu(number: int) -> None:
    """Hide the machine's other GPUs, for engines beside the trainer take the first one that they see."""
    there = torch.cuda.device_count()
    if not there:
        return
    if number >= there:
        raise InvalidRequest(f"This machine has {there} GPUs, and more processes: take --nproc-per-node {there}.")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible[number] if visible != [""] else str(number)
