"""Keys and values of earlier prompts and answers, so that work which extends them starts where they end."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from deliberate.engines.transformers.kv_rows import COLUMNS, KVRows

BLOCK = 16
"""Tokens per block, the unit of storage."""
assert COLUMNS % BLOCK == 0, "a row holds whole blocks, also where its sequence ends within one"

Key = tuple[int, tuple[int, ...]]
"""A block is known by its parent's serial number and its exact tokens: no hash can make two prefixes one.

The last block of what was stored may have fewer than BLOCK tokens. It has no children; what extends it stores its
tokens again in a block of its own.
"""


@dataclass(frozen=True, slots=True)
class Block:
    slot: int
    """Where its keys and values lie."""
    serial: int
    """Never used twice, so that a child of an evicted block cannot be found again."""


class PrefixCache:
    """A forest of blocks, least recently used out first. Per layer a tensor [slots, kv_heads, BLOCK, dim]."""

    def __init__(self, max_tokens: int) -> None:
        self._slots = max_tokens // BLOCK
        self._blocks: OrderedDict[Key, Block] = OrderedDict()
        self._tensors: list[torch.Tensor] = []
        self._serial = 0

    def missing_key(self, tokens: Sequence[int], limit: int) -> Key | None:
        """The first block of `tokens[:limit]` that is not stored; None when all whole blocks are."""
        found = self._walk(tokens, limit)
        start = len(found) * BLOCK
        if start + BLOCK > limit:
            return None
        return (found[-1][1].serial if found else 0, tuple(tokens[start : start + BLOCK]))

    def load(self, tokens: Sequence[int], limit: int, rows: KVRows, row: int) -> int:
        """Fill a row with the stored beginning of `tokens[:limit]`; how many tokens that was."""
        found = self._walk(tokens, limit)
        found += self._last(found, tokens, limit)
        length = sum(len(part) for (_, part), _ in found)
        if found:
            self._touch([key for key, _ in found])
            slots = torch.tensor([block.slot for _, block in found], device=self._tensors[0].device)
            for target, stored in zip(rows.tensors(), self._tensors, strict=True):
                heads, dim = stored.shape[1], stored.shape[3]
                columns = stored[slots].transpose(0, 1).reshape(heads, len(found) * BLOCK, dim)
                target[row, :, :length] = columns[:, :length]
        return length

    def store(self, tokens: Sequence[int], length: int, rows: KVRows, row: int) -> None:
        """Keep the blocks of `tokens[:length]`, whose keys and values are in this row."""
        length = min(length, self._slots * BLOCK)
        found = self._walk(tokens, length)
        keys = [key for key, _ in found]
        self._touch(keys)
        parent = found[-1][1].serial if found else 0
        first = len(found) * BLOCK
        slots: list[int] = []
        for start in range(first, length, BLOCK):
            key = (parent, tuple(tokens[start : min(start + BLOCK, length)]))
            keys.append(key)
            if key in self._blocks:
                break  # A last block that is stored already.
            self._serial += 1
            block = self._blocks[key] = Block(self._free_slot(), self._serial)
            slots.append(block.slot)
            parent = block.serial
        if slots:
            self._copy_in(rows, row, first // BLOCK, slots)
        self._touch(keys)

    def _walk(self, tokens: Sequence[int], limit: int) -> list[tuple[Key, Block]]:
        """The whole blocks at the beginning of `tokens[:limit]` that are stored."""
        found: list[tuple[Key, Block]] = []
        parent = 0
        for start in range(0, limit - BLOCK + 1, BLOCK):
            key = (parent, tuple(tokens[start : start + BLOCK]))
            block = self._blocks.get(key)
            if block is None:
                break
            found.append((key, block))
            parent = block.serial
        return found

    def _last(self, found: list[tuple[Key, Block]], tokens: Sequence[int], limit: int) -> list[tuple[Key, Block]]:
        """The longest stored block of fewer than BLOCK tokens that goes on from `found`, where there is one."""
        parent = found[-1][1].serial if found else 0
        start = len(found) * BLOCK
        for end in range(min(limit, start + BLOCK - 1), start, -1):
            key = (parent, tuple(tokens[start:end]))
            if key in self._blocks:
                return [(key, self._blocks[key])]
        return []

    def _touch(self, keys: Sequence[Key]) -> None:
        # Children before parents: what is evicted first is always the end of a prefix.
        for key in reversed(keys):
            self._blocks.move_to_end(key)

    def _free_slot(self) -> int:
        if len(self._blocks) < self._slots:
            return len(self._blocks)
        return self._blocks.popitem(last=False)[1].slot

    def _copy_in(self, rows: KVRows, row: int, first: int, slots: list[int]) -> None:
        """Copy the row's blocks from the `first` on; what lies behind the last token is never read."""
        sources = rows.tensors()
        if not self._tensors:
            self._tensors = [x.new_empty(self._slots, x.shape[1], BLOCK, x.shape[3]) for x in sources]
        index = torch.tensor(slots, device=sources[0].device)
        start, end = first * BLOCK, (first + len(slots)) * BLOCK
        for source, stored in zip(sources, self._tensors, strict=True):
            heads, dim = stored.shape[1], stored.shape[3]
            stored[index] = source[row, :, start:end].reshape(heads, len(slots), BLOCK, dim).transpose(0, 1)
