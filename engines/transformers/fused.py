"""The forward pass of Llama-shaped decoders with few, large operations.

A small model's step is bound by the number of operations, not by arithmetic: transformers' modules take about three
times as many as needed. This is the same mathematics with the query, key and value projections in one product, the
gate and up projections in another, and fused normalisation. The weights are those of the Hugging Face model, whose
own modules become views of the joined ones.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from deliberate.engines.transformers.attention import row_attention
from deliberate.engines.transformers.kv_rows import KVRows

FUSIBLE = frozenset({"llama", "mistral", "qwen2", "qwen3"})
"""Model types whose layers have exactly this shape."""

STATIC_ROPES = frozenset({"default", "linear", "llama3", "yarn"})
"""Rotary embeddings that depend on the position alone, not on the length of the sequence."""


def can_fuse(model: Any) -> bool:
    """Whether this model can run here: its architecture fits and its weights are plain."""
    config = model.config
    projections = [m for m in model.model.layers.modules() if "Linear" in type(m).__name__] if _fits(config) else []
    return bool(projections) and all(type(m) is nn.Linear for m in projections)


def _fits(config: Any) -> bool:
    rope: Any = getattr(config, "rope_parameters", None) or {}
    return (
        config.model_type in FUSIBLE
        and config.hidden_act == "silu"
        and rope.get("rope_type", "default") in STATIC_ROPES
    )


class FusedDecoder:
    """Stands in for the model's own forward pass over KV rows; `head` is its last layer."""

    def __init__(self, model: Any, head: nn.Module, context_length: int) -> None:
        self._model = model.model
        self._head = head
        self._cos, self._signed_sin = self._rotary_tables(context_length)
        self._kinds: Sequence[str] = getattr(model.config, "layer_types", None) or []
        self._layers = [_Layer(layer) for layer in self._model.layers]

    def __call__(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        masks: torch.Tensor | dict[str, torch.Tensor],
        rows: KVRows,
        keep: torch.Tensor,
    ) -> torch.Tensor:
        """Outputs [rows, keep, outputs] after the new tokens `ids` [rows, new] at `positions`."""
        hidden = self._model.embed_tokens(ids)
        cos, sin = self._cos[positions].unsqueeze(2), self._signed_sin[positions].unsqueeze(2)
        for i, layer in enumerate(self._layers):
            mask = masks[self._kinds[i]] if isinstance(masks, dict) else masks
            hidden = layer(hidden, cos, sin, mask, rows, i)
        norm = self._model.norm
        if hidden.shape[1] > 1:
            hidden = hidden[:, keep]
        return self._head(F.rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon))

    @torch.inference_mode()
    def _rotary_tables(self, context_length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines [positions, dim], the sines' first half negated: x * cos + swapped halves of x * sin."""
        weight = self._model.embed_tokens.weight
        cos, sin = self._model.rotary_emb(weight[:1], torch.arange(context_length, device=weight.device).unsqueeze(0))
        half = sin.shape[-1] // 2
        return cos[0], torch.cat((-sin[0, :, :half], sin[0, :, half:]), dim=-1)


class _Layer:
    def __init__(self, layer: Any) -> None:
        self._attention = attention = layer.self_attn
        self._out = (attention.o_proj.weight, attention.o_proj.bias)
        self._down = (layer.mlp.down_proj.weight, layer.mlp.down_proj.bias)
        self._norms = [(n.weight, n.variance_epsilon) for n in (layer.input_layernorm, layer.post_attention_layernorm)]
        self._qkv = _joined([attention.q_proj, attention.k_proj, attention.v_proj])
        self._gate_up = _joined([layer.mlp.gate_proj, layer.mlp.up_proj])
        self._dim = attention.head_dim
        self._kv_heads = attention.k_proj.out_features // self._dim
        self._heads = attention.q_proj.out_features // self._dim

    def __call__(
        self, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, mask: torch.Tensor, rows: KVRows, index: int
    ) -> torch.Tensor:
        hidden = hidden + self._attend(self._norm(hidden, 0), cos, sin, mask, rows, index)
        gate, up = F.linear(self._norm(hidden, 1), *self._gate_up).chunk(2, dim=-1)
        return hidden + F.linear(F.silu(gate) * up, *self._down)

    def _norm(self, hidden: torch.Tensor, which: int) -> torch.Tensor:
        weight, epsilon = self._norms[which]
        return F.rms_norm(hidden, weight.shape, weight, epsilon)

    def _attend(
        self, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, mask: torch.Tensor, rows: KVRows, index: int
    ) -> torch.Tensor:
        count, new, _ = hidden.shape
        heads = F.linear(hidden, *self._qkv).view(count, new, self._heads + 2 * self._kv_heads, self._dim)
        turned = self._head_norms(heads[:, :, : self._heads + self._kv_heads])
        turned = torch.addcmul(turned * cos, turned.roll(self._dim // 2, dims=-1), sin)
        key = turned[:, :, self._heads :].transpose(1, 2)
        value = heads[:, :, self._heads + self._kv_heads :].transpose(1, 2)
        keys, values = rows.update(key, value, index)
        query = turned[:, :, : self._heads].transpose(1, 2)
        mixed, _ = row_attention(self._attention, query, keys, values, mask, scaling=self._attention.scaling)
        return F.linear(mixed.reshape(count, new, self._heads * self._dim), *self._out)

    def _head_norms(self, heads: torch.Tensor) -> torch.Tensor:
        """Qwen3 normalises each query and key head."""
        if not hasattr(self._attention, "q_norm"):
            return heads
        query, key = heads[:, :, : self._heads], heads[:, :, self._heads :]
        return torch.cat((self._attention.q_norm(query), self._attention.k_norm(key)), dim=2)


def _joined(projections: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """One weight and bias for several projections of the same input; theirs become views of it."""
    weight = torch.cat([p.weight.data for p in projections])
    bias = torch.cat([p.bias.data for p in projections]) if projections[0].bias is not None else None
    start = 0
    for p in projections:
        end = start + p.out_features
        p.weight.data = weight[start:end]
        if bias is not None:
            p.bias.data = bias[start:end]
        start = end
    return weight, bias
