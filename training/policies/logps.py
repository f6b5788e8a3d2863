"""What a policy thinks of completions: the log-probability of each token, and how undecided it was there."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

_LOGITS_AT_ONCE = 2**27
"""Numbers: logits beyond these are computed again in the backward pass, piece by piece."""


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Sequences of a prompt and its completion, padded on the right.

    Under causal attention the padding changes nothing before it, so no mask is needed.
    """

    input_ids: Tensor
    """(sequences, tokens) int64"""
    starts: Tensor
    """(sequences,) int64: lengths of the prompts."""
    mask: Tensor
    """(sequences, longest completion) bool: which tokens of completions there are, counted from `starts`."""

    @classmethod
    def of(
        cls, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], pad_id: int, device: torch.device
    ) -> "TokenBatch":
        """Prompts are not empty; completions may be."""
        lengths = [len(completion) for completion in completions]
        width = max(map(len, map(_joined, prompts, completions)))
        ids = torch.tensor([_padded(_joined(p, c), width, pad_id) for p, c in zip(prompts, completions, strict=True)])
        starts = torch.tensor([len(prompt) for prompt in prompts])
        mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
        return cls(ids.to(device), starts.to(device), mask.to(device))

    @property
    def completion_ids(self) -> Tensor:
        """(sequences, longest completion) int64; what is outside the mask means nothing."""
        return self.input_ids.gather(1, self._columns)

    @property
    def _columns(self) -> Tensor:
        offsets = torch.arange(self.mask.shape[1], device=self.starts.device)
        return (self.starts.unsqueeze(1) + offsets).clamp(max=self.input_ids.shape[1] - 1)

    def before(self) -> tuple[Tensor, Tensor]:
        """Rows and columns (tokens,) of the positions after which the completions' tokens follow, in `mask`'s order."""
        rows, offsets = self.mask.nonzero(as_tuple=True)
        return rows, self.starts[rows] + offsets - 1

    def spread(self, values: Tensor) -> Tensor:
        """Values (tokens,) of the completions' tokens, as (sequences, longest completion), 0 outside the mask."""
        return values.new_zeros(self.mask.shape).masked_scatter(self.mask, values)


@dataclass(frozen=True, slots=True)
class TokenLogps:
    """Both (sequences, longest completion), 0 outside the mask."""

    logps: Tensor
    """Log-probabilities of the tokens, in nats, with gradient where the model learns."""
    entropies: Tensor
    """Of the distributions that they were drawn from, in nats, without gradient."""


def completion_logps(model: Any, batch: TokenBatch, *, temperature: float = 1.0, bf16: bool = False) -> TokenLogps:
    """Of the completions' tokens under a causal language model, at the temperature they were sampled with (0 as 1)."""
    with autocast(batch.input_ids.device, bf16):
        hidden = last_hidden(model, batch.input_ids)
    rows, columns = batch.before()
    states, targets = hidden[rows, columns], batch.completion_ids[batch.mask]
    pieces = max(1, -(-states.shape[0] * model.config.get_text_config().vocab_size // _LOGITS_AT_ONCE))
    scale = temperature or 1.0

    def read(part: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(part.device, bf16):
            logits = output_logits(model, part)
        logps = (logits.float() / scale).log_softmax(-1)
        entropies = -(logps.detach().exp() * logps.detach()).sum(-1)
        return logps.gather(-1, following.unsqueeze(-1)).squeeze(-1), entropies

    read_parts = [
        read(part, following) if pieces == 1 else checkpoint(read, part, following, use_reentrant=False)
        for part, following in zip(states.chunk(pieces), targets.chunk(pieces), strict=True)
    ]
    logps, entropies = (torch.cat(values) for values in zip(*read_parts, strict=True))
    return TokenLogps(batch.spread(logps), batch.spread(entropies))


def last_hidden(model: Any, input_ids: Tensor) -> Tensor:
    """What the decoder says after each token (sequences, tokens, width), before any head."""
    return model.get_decoder()(input_ids=input_ids, use_cache=False).last_hidden_state


def output_logits(model: Any, hidden: Tensor) -> Tensor:
    """Logits (…, vocabulary) from what the decoder said (…, width)."""
    logits = model.get_output_embeddings()(hidden)
    cap: float | None = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    return logits if cap is None else cap * torch.tanh(logits / cap)


def autocast(device: torch.device, bf16: bool) -> AbstractContextManager[Any]:
    """Products in bfloat16, where it is wanted."""
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


def _joined(prompt: Sequence[int], completion: Sequence[int]) -> list[int]:
    return [*prompt, *completion]


def _padded(ids: list[int], width: int, pad_id: int) -> list[int]:
    return ids + [pad_id] * (width - len(ids))
