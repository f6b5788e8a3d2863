"""Process reward models: a probability of being right for each step.

Cross entropy with hard (0, 1) or soft labels, such as the share of completions from there that end right (Wang 2023,
Math-Shepherd, arXiv:2312.08935, equations 2 to 4). A model says it by a head with one logit, by one with two classes,
or as the probability of its next token being one mark rather than another; the last two are one logit, the difference,
for softmax([a, b])[0] = sigmoid(a - b).
"""

from torch import Tensor

from deliberate.training.objectives.masking import precise
from deliberate.training.objectives.reward_models import pointwise_loss


def step_loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Mean binary cross entropy over the steps in `mask`; 0-dimensional.

    `logits` (completions, steps) are log-odds of steps being right, `labels` in [0, 1]. Steps that nobody labelled are
    left out of `mask`, as padding is.
    """
    return pointwise_loss(logits, labels, mask)


def mark_logits(logits: Tensor, good: int, bad: int) -> Tensor:
    """Log-odds (...) of the mark `good` against `bad` from logits (..., vocabulary or classes)."""
    return precise(logits[..., good]) - precise(logits[..., bad])


def until_first_error(labels: Tensor, mask: Tensor) -> Tensor:
    """`mask` up to and with the first step whose label is below 1/2 (completions, steps).

    What follows a wrong step is neither right nor wrong by itself (Lightman 2023, arXiv:2305.20050, section 2.6).
    """
    wrong = mask & (labels < 0.5)
    return mask & (wrong.cumsum(-1) - wrong.long() == 0)
