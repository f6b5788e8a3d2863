"""Running a network over ragged rows of a KV table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.transformers.attention import NAME as ROW_ATTENTION
from deliberate.engines.transformers.fused import FusedDecoder, can_fuse
from deliberate.engines.transformers.kv_rows import COLUMNS, KVRows, aligned
from deliberate.engines.transformers.network import LanguageModel, Network

_ALIGN = 4
"""Row and token counts are padded to multiples of this: then products of matrices do not depend on the count."""
_SPAN_ALIGN = COLUMNS
"""Likewise the number of key columns."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """New tokens of one row and where they start."""

    start: int
    tokens: Sequence[int]


class CausalModel:
    """A network whose outputs depend on earlier tokens alone, with its device, dtype and limits."""

    def __init__(
        self, path: str, device: str = "auto", dtype: str = "auto", network: type[Network] = LanguageModel
    ) -> None:
        self.device = torch.device(_device(device))
        self.dtype = _dtype(dtype, self.device)
        self._network = network(path, self.dtype, self.device)
        self._config: Any = self._network.model.config.get_text_config()
        self.context_length = int(getattr(self._config, "max_position_embeddings", None) or 2048)
        self.vocabulary_size = int(self._config.vocab_size)
        self._windows = _windows(self._config)
        expected = self._network.own_outputs(self._probe, 4)
        if can_fuse(self._network.model):
            self._run: Any = FusedDecoder(self._network.model, self._network.head, self.context_length)
        else:
            self._network.model.set_attn_implementation(_attention(self._config))
            self._run = self._run_modules
        probed = KVRows()
        self._check(path, expected, self._first_forward(probed))
        self.kv_bytes_per_token = sum(x.shape[1] * x.shape[3] * x.element_size() for x in probed.tensors())
        """Memory of one token's keys and values."""

    @property
    def generation_defaults(self) -> Any:
        """The model's generation config."""
        return self._network.model.generation_config

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        return sum(parameter.numel() for parameter in self._network.model.parameters())

    def load_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take other weights of the same model, by their names in its folder. Raises InvalidRequest where none fit."""
        self._network.load_weights(weights)

    @torch.inference_mode()
    def forward(self, rows: KVRows, chunks: Sequence[Chunk], keep: Sequence[int]) -> torch.Tensor:
        """Run row i over `chunks[i]`; the outputs after each chunk's tokens `keep`, float32 [rows, keep, outputs].

        The rows' earlier columns must hold the keys and values of the tokens before each chunk's start.
        Positions in `keep` beyond a shorter chunk give numbers without meaning.
        """
        count = len(chunks)
        longest = max(len(chunk.tokens) for chunk in chunks)
        # A decode step is padded by rows, a prefill by columns.
        new, padded_rows = (1, aligned(count, _ALIGN)) if longest == 1 else (aligned(longest, _ALIGN), count)
        starts = [chunk.start for chunk in chunks] + [0] * (padded_rows - count)
        span = aligned(max(starts) + new, _SPAN_ALIGN)
        rows.reserve(padded_rows, span)
        ids = [[*chunk.tokens, *[0] * (new - len(chunk.tokens))] for chunk in chunks]
        ids += [[0] * new] * (padded_rows - count)
        positions = torch.tensor(starts, device=self.device).unsqueeze(1) + torch.arange(new, device=self.device)
        rows.begin(positions, span)
        outputs = self._run(
            torch.tensor(ids, device=self.device),
            positions.clamp(max=self.context_length - 1),
            self._masks(positions, span),
            rows,
            torch.tensor(keep, device=self.device),
        )
        return outputs[:count].float()

    def meaning(self, outputs: torch.Tensor) -> torch.Tensor:
        """What the network's outputs [..., outputs] say: log-probabilities [..., vocabulary], or log-odds [...]."""
        return self._network.meaning(outputs)

    def _run_modules(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        masks: torch.Tensor | dict[str, torch.Tensor],
        rows: KVRows,
        keep: torch.Tensor,
    ) -> torch.Tensor:
        """The forward pass of transformers' own modules, for every architecture that is not fused."""
        return self._network.forward(
            keep,
            input_ids=ids,
            position_ids=positions,
            attention_mask=masks,
            past_key_values=rows,
            use_cache=True,
        )

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
        padding = getattr(self._config, "pad_token_id", None)
        tokens = [token for token in range(1, min(11, self.vocabulary_size)) if token != padding]
        return [tokens[i % len(tokens)] for i in range(9)]

    def _first_forward(self, rows: KVRows) -> torch.Tensor:
        """Outputs after the probe's tokens 4 to 8, by a prefill and four decode steps over our rows."""
        tokens = self._probe
        first = self.forward(rows, [Chunk(0, tokens[:5])], [4])
        rest = [self.forward(rows, [Chunk(i, [tokens[i]])], [0]) for i in range(5, 9)]
        return torch.cat([first, *rest], dim=1)[0]

    def _check(self, path: str, expected: torch.Tensor, got: torch.Tensor) -> None:
        """Refuse a model whose outputs over our rows differ from its own: better no text than wrong text."""
        difference = (self.meaning(got) - self.meaning(expected)).abs().max().item()
        if not difference < (1e-3 if self.dtype == torch.float32 else 0.5):
            raise InvalidRequest(
                f"{path}: the embedded engine does not reproduce the outputs of this {self._config.model_type} model "
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
