"""Keys and values of a batch of sequences: one row each, position t of a sequence in column t."""

from typing import Any

import torch

COLUMNS = 32
"""A table's width is a multiple of this."""


def aligned(size: int, to: int) -> int:
    """The next multiple of `to`."""
    return -(-size // to) * to


class KVRows:
    """Grows as needed; stands in for transformers' Cache inside a forward pass.

    Per layer a key and a value tensor [rows, kv_heads, columns, dim].
    """

    is_compileable = False

    def __init__(self) -> None:
        self._layers: list[tuple[torch.Tensor, torch.Tensor] | None] = []
        self._rows = 0
        self._columns = 0
        self._row_index = torch.empty(0, dtype=torch.long)
        self._positions = torch.empty(0, dtype=torch.long)
        self._span = 0

    def reserve(self, rows: int, columns: int) -> None:
        """Make room for this many rows and columns, keeping what is there. Doubles, so that growth is rare."""
        if rows <= self._rows and columns <= self._columns:
            return
        columns = aligned(columns, COLUMNS)
        self._rows = max(rows, 2 * self._rows if rows > self._rows else self._rows)
        self._columns = max(columns, 2 * self._columns if columns > self._columns else self._columns)
        self._layers = [layer and (self._grown(layer[0]), self._grown(layer[1])) for layer in self._layers]

    def _grown(self, old: torch.Tensor) -> torch.Tensor:
        new = old.new_zeros(self._rows, old.shape[1], self._columns, old.shape[3])
        new[: old.shape[0], :, : old.shape[2]] = old
        return new

    def begin(self, positions: torch.Tensor, span: int) -> None:
        """Announce a forward pass over rows 0.. with new tokens at `positions` [rows, new], reading `span` columns."""
        self._positions = positions
        self._row_index = torch.arange(positions.shape[0], device=positions.device).unsqueeze(1)
        self._span = span

    def update(
        self, key: torch.Tensor, value: torch.Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Called by each attention layer: store the new keys and values, return all columns up to the span."""
        while len(self._layers) <= layer:
            self._layers.append(None)
        keys, values = self._layers[layer] or self._create(layer, key, value)
        keys[self._row_index, :, self._positions] = key.transpose(1, 2)
        values[self._row_index, :, self._positions] = value.transpose(1, 2)
        rows = key.shape[0]
        return keys[:rows, :, : self._span], values[:rows, :, : self._span]

    def _create(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        created = tuple(x.new_zeros(self._rows, x.shape[1], self._columns, x.shape[3]) for x in (key, value))
        self._layers[layer] = (created[0], created[1])
        return created[0], created[1]

    def get_seq_length(self, layer: int = 0) -> int:
        """Asked by models that would number positions themselves; ours are always given."""
        return 0

    def tensors(self) -> list[torch.Tensor]:
        """All key and value tensors, layer by layer."""
        return [tensor for layer in self._layers if layer is not None for tensor in layer]

    def copy_within(self, source: int, target: int, length: int) -> None:
        """Copy the first columns of one row over another."""
        for tensor in self.tensors():
            tensor[target, :, :length] = tensor[source, :, :length]

    def copy_from(self, other: "KVRows", source: int, first: int, count: int, length: int) -> None:
        """Copy the first columns of another table's row into `count` rows of this one."""
        while len(self._layers) < len(other._layers):
            self._layers.append(None)
        for layer, pair in enumerate(other._layers):
            if pair is None:
                continue
            for mine, theirs in zip(self._layers[layer] or self._create(layer, *pair), pair, strict=True):
                mine[first : first + count, :, :length] = theirs[source, :, :length]
