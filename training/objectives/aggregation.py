"""From the losses of tokens to the loss of a batch: a weight for each token.

The weights are of the whole batch, so that it can be cut into micro-batches at will: the losses of a micro-batch times
its rows of the weights, summed, add up to the same loss and gradient.

- "grpo": mean over the tokens of a completion, then over completions (DeepSeekMath, arXiv:2402.03300, equation 3);
- "dapo": mean over all tokens of the batch (Yu 2025, arXiv:2503.14476, equation 12), so that long completions count for
  what they are; "bnpo", TRL's name, is the same over the tokens of a micro-batch: give its mask alone;
- "dr_grpo": over a constant, the greatest length (Liu 2025, arXiv:2503.20783), so that length has no influence.

Completions without any token in the mask are not counted.
"""

from typing import Literal

from torch import Tensor

LossType = Literal["grpo", "dapo", "bnpo", "dr_grpo"]


def token_weights(mask: Tensor, loss_type: LossType = "grpo", max_completion_length: int | None = None) -> Tensor:
    """Weights (completions, tokens) float32 of a batch's `mask`, by which losses of tokens are multiplied and summed.

    `max_completion_length`, in tokens, is what "dr_grpo" divides by, and must be given for it: else ValueError.
    """
    lengths = mask.sum(-1, keepdim=True)
    completions = (lengths > 0).sum().clamp(min=1)
    match loss_type:
        case "grpo":
            return mask.float() / (lengths.clamp(min=1) * completions)
        case "dapo" | "bnpo":
            return mask.float() / lengths.sum().clamp(min=1)
        case "dr_grpo":
            if max_completion_length is None:
                raise ValueError('loss_type "dr_grpo" divides by max_completion_length: give it, or take "dapo"')
            return mask.float() / (max_completion_length * completions)


def leave_out(mask: Tensor, completions: Tensor) -> Tensor:
    """`mask` (completions, tokens) without the rows where `completions` (bool) is True.

    For those that were cut off at the length limit, whose reward says little of them (DAPO's overlong filtering), and
    for those whose reward could not be decided.
    """
    return mask & ~completions.unsqueeze(-1)
