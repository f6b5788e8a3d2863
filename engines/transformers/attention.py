"""Attention whose result for one row does not depend on the rows beside it.

On CPU, plain matrix products give bit-equal results for a row whatever the batch, the padding of the keys (in
multiples of 4) or the number of threads; the fused kernel does not, and it copies grouped keys. So a request
draws the same tokens alone and in a crowd. On a GPU the fused kernel is used: equal up to rounding only.
"""

from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

NAME = "deliberate_rows"

_MAX_SCORES = 2**25
"""Attention weights held at once on CPU; longer queries go in blocks."""


def row_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Grouped-query attention, softmax(q k^T * scaling + mask) v.

    Shapes: query [rows, heads, new, dim], key and value [rows, kv_heads, span, dim], additive mask
    [rows, 1, new, span]; the result is [rows, new, heads, dim].
    """
    if query.device.type != "cpu":
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    rows, heads, new, _ = query.shape
    per_block = max(4, _MAX_SCORES // (rows * heads * key.shape[2]) // 4 * 4)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    blocks = [
        _attend(query[:, :, i : i + per_block], key, value, attention_mask[:, :, i : i + per_block], scale)
        for i in range(0, new, per_block)
    ]
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=1), None


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scale: float
) -> torch.Tensor:
    rows, heads, new, dim = query.shape
    kv_heads, span = key.shape[1], key.shape[2]
    group = heads // kv_heads
    # The heads of a group share their keys, so they stand as more query rows of one product.
    scores = torch.matmul(query.reshape(rows, kv_heads, group * new, dim), key.transpose(2, 3))
    scores = torch.add(mask.unsqueeze(2), scores.view(rows, kv_heads, group, new, span), alpha=scale)
    weights = scores.softmax(-1).view(rows, kv_heads, group * new, span)
    mixed = torch.matmul(weights, value)
    return mixed.view(rows, heads, new, value.shape[-1]).transpose(1, 2).contiguous()


AttentionInterface.register(NAME, row_attention)
