"""What a step learns from, as token ids and tensors: every completion a row."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from deliberate.training.objectives.masking import masked_mean
from deliberate.training.optimization import processes
from deliberate.training.optimization.processes import Share
from deliberate.training.policies.logps import TokenBatch
from deliberate.training.policy_optimization.explorer import ScoredGroup


@dataclass(frozen=True, slots=True)
class Experience:
    """Completions in the order they were sampled. Tensors are (completions, longest completion) on the CPU."""

    prompts: tuple[tuple[int, ...], ...]
    completions: tuple[tuple[int, ...], ...]
    mask: Tensor
    """bool: tokens that are learned from."""
    columns: dict[str, Tensor]
    """What is known of each token, by name; such as `advantages`."""

    @property
    def lengths(self) -> list[int]:
        """Of completions with their prompts."""
        return [len(p) + len(c) for p, c in zip(self.prompts, self.completions, strict=True)]

    @property
    def tokens(self) -> int:
        """Of prompts and completions together, each prompt as often as it is read."""
        return sum(self.lengths)

    @property
    def content(self) -> bytes:
        """Which tokens there are, as a hash."""
        digest = hashlib.blake2b(digest_size=16)
        for prompt, completion in zip(self.prompts, self.completions, strict=True):
            digest.update(repr((prompt, completion)).encode())
        return digest.digest()

    def means(self, column: str) -> Tensor:
        """(completions,) over the tokens that are learned from; 0 of none."""
        return masked_mean(self.columns[column], self.mask, (-1,)).squeeze(-1)

    def columns_on(self, device: torch.device) -> dict[str, Tensor]:
        return {name: values.to(device) for name, values in self.columns.items()}

    def rows(self, indices: Sequence[int]) -> "Experience":
        """Some of the completions, no wider than the longest of them."""
        completions = tuple(self.completions[i] for i in indices)
        width = max((len(c) for c in completions), default=0)
        chosen = torch.tensor(list(indices), dtype=torch.long)
        return Experience(
            tuple(self.prompts[i] for i in indices),
            completions,
            self.mask[chosen, :width],
            {name: values[chosen, :width] for name, values in self.columns.items()},
        )

    def with_columns(self, **columns: Tensor) -> "Experience":
        """More that is known; a column (completions, 1) is the same for all tokens of a completion."""
        wide = {name: values.expand(self.mask.shape) for name, values in columns.items()}
        return replace(self, columns={**self.columns, **wide})

    def unlearned(self) -> "Experience":
        """The same with nothing to learn from it."""
        return replace(self, mask=torch.zeros_like(self.mask))

    def batch(self, pad_id: int, device: torch.device) -> TokenBatch:
        """For a model."""
        return TokenBatch.of(self.prompts, self.completions, pad_id, device)


def experience_of(groups: Sequence[ScoredGroup], left_out: Sequence[bool]) -> Experience:
    """All completions of the groups; nothing is learned from those that are `left_out`.

    The column `sampling_logps` holds the engine's log-probabilities.
    """
    samples = [(group.prompt_ids, sample) for group in groups for sample in group.samples]
    completions = tuple(sample.token_ids for _, sample in samples)
    lengths = torch.tensor([len(completion) for completion in completions])
    there = torch.arange(max(map(len, completions))) < lengths.unsqueeze(1)
    logps = torch.zeros(there.shape).masked_scatter(
        there, torch.tensor([value for _, sample in samples for value in sample.logprobs])
    )
    mask = there & ~torch.tensor(left_out, dtype=torch.bool).unsqueeze(1)
    return Experience(tuple(prompt for prompt, _ in samples), completions, mask, {"sampling_logps": logps})


def micro_batches(lengths: Sequence[int], indices: Sequence[int], size: int) -> Iterator[Share[int]]:
    """The `indices` in lots of at most `size` for each process, of similar lengths, so that little is padding. All
    processes have as many lots."""
    ordered = sorted(indices, key=lambda i: (lengths[i], i))
    together = size * processes.count()
    for start in range(0, len(ordered), together):
        yield processes.share(ordered[start : start + together])


@torch.no_grad()
def computed(
    experience: Experience, size: int, values_of: Callable[[Experience], Tensor], *, needed: Sequence[int] | None = None
) -> Tensor:
    """(completions, longest completion) of what `values_of` computes of `size` completions at a time, as wide as they
    are; 0 at completions that are not `needed`."""
    found = torch.zeros(experience.mask.shape)
    for share in micro_batches(experience.lengths, range(len(experience.prompts)) if needed is None else needed, size):
        values = values_of(experience.rows(share.items))
        if not share.spare:
            found[torch.tensor(share.items), : values.shape[1]] = values.float().cpu()
    return processes.summed(found)
