"""Drawing one token per row of a batch, each row with its own sampling options and random number."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from deliberate.engines.protocol import Sampling


@dataclass(frozen=True, slots=True)
class Row:
    """What one row's draw depends on, beside its logits."""

    sampling: Sampling
    uniform: float
    """In [0, 1); decides the token by the inverse of the cumulative distribution."""
    counts: Counter[int] | None
    """How often the sample holds each token; kept only for rows with penalties."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """The batch's tokens. A token of -1 marks a row whose logits were not numbers."""

    tokens: list[int]
    logprobs: list[float]
    top_logprobs: list[tuple[tuple[int, float], ...]]


def draw(logits: torch.Tensor, rows: Sequence[Row]) -> Drawn:
    """Draw from `logits` [rows, vocabulary], float32.

    Log-probabilities are the model's own: before bias, penalties, temperature and truncation.
    """
    logprobs = logits.log_softmax(-1)
    tokens = _choose(_adjusted(logits, rows), rows)
    chosen = logprobs.gather(1, tokens.clamp(min=0).unsqueeze(1)).squeeze(1)
    return Drawn(tokens.tolist(), chosen.tolist(), _alternatives(logprobs, rows))


def _adjusted(logits: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """Logits with each row's bias and penalties."""
    changes = [(i, token, by) for i, row in enumerate(rows) for token, by in _changes(row)]
    if not changes:
        return logits
    index, tokens, by = zip(*changes, strict=True)
    where = (torch.tensor(index, device=logits.device), torch.tensor(tokens, device=logits.device))
    return logits.index_put(where, torch.tensor(by, device=logits.device, dtype=logits.dtype), accumulate=True)


def _changes(row: Row) -> Iterator[tuple[int, float]]:
    """What is added to which token's logit."""
    yield from row.sampling.logit_bias.items()
    for token, times in (row.counts or {}).items():
        yield token, -(row.sampling.frequency_penalty * times + row.sampling.presence_penalty)


def _choose(logits: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """A token id per row."""
    temperatures = [row.sampling.temperature for row in rows]
    if not any(temperatures):
        return torch.where(logits.isnan().any(-1), -1, logits.argmax(-1))
    scale = torch.tensor([t or 1.0 for t in temperatures], device=logits.device).unsqueeze(1)
    probabilities = _truncated((logits / scale).softmax(-1), rows)
    # float64, so that the sum over a large vocabulary does not round tokens away.
    cumulative = probabilities.to(torch.float64).cumsum(-1)
    total = cumulative[:, -1:]
    uniform = torch.tensor([row.uniform for row in rows], device=logits.device, dtype=torch.float64).unsqueeze(1)
    tokens = torch.searchsorted(cumulative, uniform * total, right=True).clamp(max=logits.shape[-1] - 1)
    if not all(temperatures):
        greedy = torch.tensor([t == 0 for t in temperatures], device=logits.device).unsqueeze(1)
        tokens = torch.where(greedy, logits.argmax(-1, keepdim=True), tokens)
    return torch.where(total.isnan(), -1, tokens).squeeze(1)


def _truncated(probabilities: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """Probabilities with what top-k, nucleus and min-p drop set to zero, in the rows that ask for it."""
    asked = [i for i, row in enumerate(rows) if _truncates(row.sampling)]
    if not asked:
        return probabilities
    index = torch.tensor(asked, device=probabilities.device)
    ordered, order = probabilities[index].sort(-1, descending=True)
    options = [rows[i].sampling for i in asked]
    size = ordered.shape[-1]

    def column(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, device=ordered.device).unsqueeze(1)

    rank = torch.arange(size, device=ordered.device)
    before = ordered.cumsum(-1) - ordered
    keep = rank < column([o.top_k or size for o in options])
    keep &= before < column([o.top_p for o in options])
    keep &= ordered >= ordered[:, :1] * column([o.min_p for o in options])
    keep[:, 0] = True
    kept = torch.zeros_like(ordered).scatter(1, order, ordered * keep)
    return probabilities.index_copy(0, index, kept)


def _truncates(sampling: Sampling) -> bool:
    return sampling.top_p < 1 or sampling.top_k > 0 or sampling.min_p > 0


def _alternatives(logprobs: torch.Tensor, rows: Sequence[Row]) -> list[tuple[tuple[int, float], ...]]:
    """The asked-for likeliest tokens of each row."""
    most = min(max(row.sampling.top_logprobs for row in rows), logprobs.shape[-1])
    if most == 0:
        return [()] * len(rows)
    values, ids = logprobs.topk(most, dim=-1)
    pairs = zip(ids.tolist(), values.tolist(), rows, strict=True)
    return [tuple(zip(i, v, strict=True))[: row.sampling.top_logprobs] for i, v, row in pairs]
