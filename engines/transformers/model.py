"""Loading a causal language model and running it over ragged rows of a KV table."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.transformers.attention import NAME as ROW_ATTENTION
from deliberate.engines.transformers.fused import FusedDecoder, can_fuse
from deliberate.engines.transformers.kv_rows import KVRows

_ALIGN = 4
"""Row and token counts are padded to multiples of this: then products of matrices do not depend on the count."""
_SPAN_ALIGN = 32
"""Likewise the number of key columns."""


def _aligned(size: int, to: int) -> int:
    return -(-size // to) * to


@dataclass(frozen=True, slots=True)
class Chunk:
    """New tokens of one row and where they start."""

    start: int
    tokens: Sequence[int]


class CausalModel:
    """A model in evaluation mode with its device, dtype and limits."""

    def __init__(self, path: str, device: str = "auto", dtype: str = "auto") -> None:
        self.device = torch.device(_device(device))
        self.dtype = _dtype(dtype, self.device)
        try:
            model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=self.dtype)
        except (OSError, ValueError) as error:
            raise InvalidRequest(
                f"Cannot load a causal language model from {path!r}: {error}", param="model"
            ) from error
        self._model = model.to(self.device).eval()
        self._config: Any = model.config.get_text_config()
        self.context_length = int(getattr(self._config, "max_position_embeddings", None) or 2048)
        self.vocabulary_size = int(self._config.vocab_size)
        self._windows = _windows(self._config)
        if "logits_to_keep" not in inspect.signature(self._model.forward).parameters:
            raise InvalidRequest(f"{path}: the embedded engine cannot run a {self._config.model_type} model.")
        expected = self._own_logits()
        if can_fuse(self._model):
            self._run: Any = FusedDecoder(self._model, self.context_length)
        else:
            self._model.set_attn_implementation(_attention(self._config))
            self._run = self._run_modules
        probed = KVRows()
        self._check(path, expected, self._first_forward(probed))
        self.kv_bytes_per_token = sum(x.shape[1] * x.shape[3] * x.element_size() for x in probed.tensors())
        """Memory of one token's keys and values."""

    @property
    def generation_defaults(self) -> Any:
        """The model's generation config."""
        return self._model.generation_config

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    @torch.inference_mode()
    def forward(self, rows: KVRows, chunks: Sequence[Chunk], keep: Sequence[int]) -> torch.Tensor:
        """Run row i over `chunks[i]`; the logits after each chunk's tokens `keep`, float32 [rows, keep, vocabulary].

        The rows' earlier columns must hold the keys and values of the tokens before each chunk's start.
        Positions in `keep` beyond a shorter chunk give numbers without meaning.
        """
        count = len(chunks)
        longest = max(len(chunk.tokens) for chunk in chunks)
        # A decode step is padded by rows, a prefill by columns.
        new, padded_rows = (1, _aligned(count, _ALIGN)) if longest == 1 else (_aligned(longest, _ALIGN), count)
        starts = [chunk.start for chunk in chunks] + [0] * (padded_rows - count)
        span = _aligned(max(starts) + new, _SPAN_ALIGN)
        rows.reserve(padded_rows, span)
        ids = [[*chunk.tokens, *[0] * (new - len(chunk.tokens))] for chunk in chunks]
        ids += [[0] * new] * (padded_rows - count)
        positions = torch.tensor(starts, device=self.device).unsqueeze(1) + torch.arange(new, device=self.device)
        rows.begin(positions, span)
        logits = self._run(
            torch.tensor(ids, device=self.device),
            positions.clamp(max=self.context_length - 1),
            self._masks(positions, span),
            rows,
            torch.tensor(keep, device=self.device),
        )
        return logits[:count].float()

    def _run_modules(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        masks: torch.Tensor | dict[str, torch.Tensor],
        rows: KVRows,
        keep: torch.Tensor,
    ) -> torch.Tensor:
        """The forward pass of transformers' own modules, for every architecture that is not fused."""
        return self._model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=masks,
            past_key_values=rows,
            use_cache=True,
            logits_to_keep=keep,
        ).logits

    def _masks(self, positions: torch.Tensor, span: int) -> torch.Tensor | dict[str, torch.Tensor]:
        """Additive causal masks [rows, 1, new, span]; one per kind of layer where a model has several kinds."""
        behind = positions.unsqueeze(-1) - torch.arange(span, device=self.device)

        def mask(window: int | None) -> torch.Tensor:
            visible = behind >= 0 if window is None else (behind >= 0) & (behind < window)
            zeros = torch.zeros(visible.shape, dtype=self.dtype, device=self.device)
            return zeros.masked_fill_(~visible, torch.finfo(self.dtype).min).unsqueeze(1)

        if len(self._windows) == 1:
            return mask(next(iter(self._windows.values())))
        return {kind: mask(window) for kind, window in self._windows.items()}

    @property
    def _probe(self) -> list[int]:
        return [1 + i % (self.vocabulary_size - 1) for i in range(9)]

    def _first_forward(self, rows: KVRows) -> torch.Tensor:
        """Logits after the probe's tokens 4 to 8, by a prefill and four decode steps over our rows."""
        tokens = self._probe
        first = self.forward(rows, [Chunk(0, tokens[:5])], [4])
        rest = [self.forward(rows, [Chunk(i, [tokens[i]])], [0]) for i in range(5, 9)]
        return torch.cat([first, *rest], dim=1)[0]

    @torch.inference_mode()
    def _own_logits(self) -> torch.Tensor:
        """The same logits as the model gives them by itself."""
        return self._model(torch.tensor([self._probe], device=self.device)).logits[0, 4:].float()

    def _check(self, path: str, expected: torch.Tensor, got: torch.Tensor) -> None:
        """Refuse a model whose logits over our rows differ from its own: better no text than wrong text."""
        difference = (got.log_softmax(-1) - expected.log_softmax(-1)).abs().max().item()
        if not difference < (1e-3 if self.dtype == torch.float32 else 0.5):
            raise InvalidRequest(
                f"{path}: the embedded engine does not reproduce the logits of this {self._config.model_type} model "
                f"(difference {difference:.3g}); serve it with another engine."
            )


def _device(name: str) -> str:
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        # Small batches decode faster in float32 on CPU, and repeat exactly.
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise InvalidRequest(f"Unknown dtype {name!r}; known: auto, float32, bfloat16, float16.", param="dtype")
    return dtype


def _attention(config: Any) -> str:
    special = getattr(config, "attn_logit_softcapping", None) or config.model_type.startswith("gpt_oss")
    return "eager" if special else ROW_ATTENTION


def _windows(config: Any) -> dict[str, int | None]:
    """Per kind of attention layer, how far back it sees."""
    window: int | None = getattr(config, "sliding_window", None)
    kinds: list[str] | None = getattr(config, "layer_types", None)
    if not kinds:
        return {"full_attention": window}
    if unknown := set(kinds) - {"full_attention", "sliding_attention"}:
        raise InvalidRequest(
            f"The embedded engine cannot run a {config.model_type} model: its layers of kind "
            f"{', '.join(sorted(unknown))} keep something else than keys and values. Serve it with another engine."
        )
    return {kind: window if kind == "sliding_attention" else None for kind in dict.fromkeys(kinds)}
