"""Weights for samples from an engine whose probabilities are not quite the trainer's.

The engine that samples and the model that is trained round differently, so that even fresh samples are off-policy.
Truncated importance sampling (Yao 2025, "Your efficient RL framework secretly brings you off-policy RL training")
multiplies the loss by min(p_trainer / p_engine, cap), with both from the same weights. Modes are named as in TRL: the
ratio is a token's or the whole completion's (the product), and beyond the cap it is truncated or the loss is masked.
A completion's ratio compounds over its tokens, and is for short ones.
"""

from typing import Literal

import torch
from torch import Tensor

from deliberate.training.objectives.masking import filled

ImportanceSamplingMode = Literal["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"]


@torch.no_grad()
def importance_sampling_correction(
    old_logps: Tensor,
    sampling_logps: Tensor,
    mask: Tensor,
    mode: ImportanceSamplingMode = "token_truncate",
    cap: float = 3.0,
) -> Tensor:
    """Factors on the losses of tokens (completions, tokens), without gradient; 0 outside `mask`.

    `old_logps` are the trainer's log-probabilities of the tokens before the update, `sampling_logps` the engine's.
    """
    logs = filled(old_logps, mask) - filled(sampling_logps, mask)
    if mode.startswith("sequence"):
        logs = logs.sum(-1, keepdim=True).expand_as(logs)
    ratio = logs.exp()
    return filled(ratio.clamp(max=cap), mask if mode.endswith("truncate") else mask & (ratio <= cap))
