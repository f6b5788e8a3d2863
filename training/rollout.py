"""Sampling many completions of many prompts at once, and scoring completions under another model.

One prefill serves all samples of a prompt, and finished rows leave the batch. Token ids are never re-encoded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel


@dataclass(slots=True)
class Sample:
    """One sampled completion."""

    tokens: list[int] = field(default_factory=list[int])
    """Ends with the end token, unless it was cut at the length limit."""
    logprobs: list[float] = field(default_factory=list[float])
    """Of each token at temperature 1, in nats."""


@torch.inference_mode()
def sample(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    n: int,
    temperature: float,
    max_new_tokens: int,
    generator: torch.Generator,
) -> list[list[Sample]]:
    """`n` completions of each prompt, in the prompts' order. Rows advance together: (prompts * n) is the batch."""
    results = [[Sample() for _ in range(n)] for _ in prompts]
    by_length: dict[int, list[int]] = {}
    for index, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(index)
    for indices in by_length.values():
        rows = [row for index in indices for row in results[index]]
        ids = torch.tensor([prompts[index] for index in indices], device=model.device)
        _continue(model, ids, rows, n, temperature, max_new_tokens, generator)
    return results


def _continue(
    model: PreTrainedModel,
    prompt_ids: Tensor,
    rows: list[Sample],
    n: int,
    temperature: float,
    max_new_tokens: int,
    generator: torch.Generator,
) -> None:
    """Extend `rows`, `n` for each of the equally long prompts (prompts, tokens), until all have ended."""
    cache = DynamicCache(config=model.config)
    logits = model(input_ids=prompt_ids, past_key_values=cache, use_cache=True).logits[:, -1]
    cache.batch_repeat_interleave(n)
    logits = logits.repeat_interleave(n, dim=0)
    for _ in range(max_new_tokens):
        logprobs = torch.log_softmax(logits.float(), dim=-1)
        tokens = torch.multinomial(torch.softmax(logits.float() / temperature, dim=-1), 1, generator=generator)
        chosen = logprobs.gather(1, tokens)
        for row, token, logprob in zip(rows, tokens[:, 0].tolist(), chosen[:, 0].tolist(), strict=True):
            row.tokens.append(token)
            row.logprobs.append(logprob)
        alive = (tokens[:, 0] != model.config.eos_token_id).nonzero()[:, 0]
        if len(alive) == 0:
            return
        if len(alive) < len(rows):
            cache.batch_select_indices(alive)
            rows, tokens = [rows[i] for i in alive.tolist()], tokens[alive]
        logits = model(input_ids=tokens, past_key_values=cache, use_cache=True).logits[:, -1]


@torch.inference_mode()
def score(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], batch_size: int = 64
) -> list[list[float]]:
    """Log-probability, in nats, of each completion's tokens after its prompt."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]) + len(completions[i]))
    scores: list[list[float]] = [[] for _ in prompts]
    for start in range(0, len(order), batch_size):
        chunk = order[start : start + batch_size]
        width = max(len(prompts[i]) + len(completions[i]) for i in chunk)
        ids = torch.zeros((len(chunk), width), dtype=torch.long, device=model.device)
        for row, i in enumerate(chunk):
            text = [*prompts[i], *completions[i]]
            ids[row, : len(text)] = torch.tensor(text)
        logprobs = torch.log_softmax(model(input_ids=ids, use_cache=False).logits[:, :-1].float(), dim=-1)
        picked = logprobs.gather(2, ids[:, 1:, None])[..., 0]
        for row, i in enumerate(chunk):
            first = len(prompts[i]) - 1
            scores[i] = picked[row, first : first + len(completions[i])].tolist()
    return scores
