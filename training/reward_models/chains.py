"""What reward models learn from: chains of token ids, with the labels of the places where they are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor

from deliberate.training.reward_models.layouts import LaidOut

RIGHT = 0.5
"""Labels from here on are those of something right."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain and what is known of it."""

    ids: tuple[int, ...]
    ends: tuple[int, ...]
    """Where it is read, ascending."""
    labels: tuple[float | None, ...]
    """Of what is read there, in [0, 1]; None where nobody labelled it."""
    prompt: int
    """How many of the ids belong to the question, at least one."""
    right: int
    """How many of the ids, the question's with them, are known to be right."""

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def judged(cls, layout: LaidOut, label: float | None) -> "Chain":
        """Read at its last id, as a whole."""
        right = len(layout) if label is not None and label >= RIGHT else layout.prompt
        return cls(layout.ids, (len(layout) - 1,), (label,), layout.prompt, right)

    @classmethod
    def labelled(cls, layout: LaidOut, labels: Sequence[float | None]) -> "Chain":
        """Read at the end of each step; there is one label for each."""
        good = len(list(takewhile(lambda label: label is not None and label >= RIGHT, labels)))
        right = len(layout) if good == len(labels) else layout.ends[good - 1] + 1 if good else layout.prompt
        return cls(layout.ids, layout.ends, tuple(labels), layout.prompt, right)


@dataclass(frozen=True, slots=True)
class Group:
    """Chains of one problem, which are compared with each other."""

    place: str
    """File and line, or the problem's id, for messages."""
    chains: tuple[Chain, ...]

    def __len__(self) -> int:
        """Of the longest, in tokens."""
        return max(map(len, self.chains))

    @property
    def is_mixed(self) -> bool:
        """Some are better than others."""
        return len({chain.labels[-1] for chain in self.chains}) > 1


@dataclass(frozen=True, slots=True)
class ChainBatch:
    """Groups of chains, padded on the right; under causal attention the padding changes nothing before it."""

    input_ids: Tensor
    """(chains, tokens) int64"""
    ends: Tensor
    """(chains, places) int64: where each is read; 0 where `read` is False."""
    read: Tensor
    """(chains, places) bool: which places there are."""
    labels: Tensor
    """(chains, places) float32, 0 where nothing is known."""
    labelled: Tensor
    """(chains, places) bool: which labels there are."""
    language: Tensor
    """(chains, tokens) bool: after which tokens a right one of the chain follows."""
    answer: Tensor
    """(chains, tokens) bool: which tokens are the answer's."""
    members: Tensor
    """(groups, most chains of a group) bool: which chains there are, in the order of the rows."""
    tokens: int
    """Without padding."""

    @classmethod
    def of(cls, groups: Sequence[Sequence[Chain]], pad_id: int, device: torch.device) -> "ChainBatch":
        """There is at least one chain."""
        chains = [chain for group in groups for chain in group]
        shape = len(chains), max(map(len, chains))
        places = len(chains), max(len(chain.ends) for chain in chains)
        ids = torch.full(shape, pad_id)
        language, answer = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
        ends, labels = torch.zeros(places, dtype=torch.int64), torch.zeros(places)
        read, labelled = torch.zeros(places, dtype=torch.bool), torch.zeros(places, dtype=torch.bool)
        for row, chain in enumerate(chains):
            ids[row, : len(chain)] = torch.tensor(chain.ids)
            language[row, max(0, chain.prompt - 1) : chain.right - 1] = True
            answer[row, chain.prompt : len(chain)] = True
            count = len(chain.ends)
            ends[row, :count], read[row, :count] = torch.tensor(chain.ends), True
            labels[row, :count] = torch.tensor([label or 0.0 for label in chain.labels])
            labelled[row, :count] = torch.tensor([label is not None for label in chain.labels])
        sizes = torch.tensor([len(group) for group in groups])
        members = torch.arange(int(sizes.max())) < sizes.unsqueeze(1)
        tensors = (ids, ends, read, labels, labelled, language, answer, members)
        return cls(*(tensor.to(device) for tensor in tensors), tokens=sum(map(len, chains)))

    def grouped(self, values: Tensor) -> Tensor:
        """Values (chains,) as (groups, most chains of a group), 0 where there is none."""
        return values.new_zeros(self.members.shape).masked_scatter(self.members, values)

    @property
    def content(self) -> bytes:
        """All of it, for a hash."""
        return self.input_ids.cpu().numpy().tobytes() + self.labels.cpu().numpy().tobytes()
