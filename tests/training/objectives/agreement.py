"""A loss compared with its equation, written in plain Python on floats: value, and gradient by central differences."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Nested = Any
"""Lists of lists of floats, as `Tensor.tolist` makes them."""

TOLERANCE = 1e-6
STEP = 1e-5


def assert_agree(loss: Callable[[Tensor], Tensor], reference: Callable[[Nested], float], at: Tensor) -> None:
    """`loss` and `reference`, of an argument shaped as `at`, have the same value and the same gradient there."""
    argument = at.double().clone().requires_grad_()
    value = loss(argument)
    assert value.dtype == torch.float64
    value.backward()
    assert argument.grad is not None
    torch.testing.assert_close(value.item(), reference(at.double().tolist()), atol=TOLERANCE, rtol=TOLERANCE)
    torch.testing.assert_close(argument.grad, slope(reference, at.double()), atol=TOLERANCE, rtol=TOLERANCE)


def slope(reference: Callable[[Nested], float], at: Tensor) -> Tensor:
    """Central differences of a function of nested lists, shaped as `at`."""
    gradient = torch.zeros_like(at)
    for place in range(at.numel()):
        ahead, behind = at.clone(), at.clone()
        ahead.view(-1)[place] += STEP
        behind.view(-1)[place] -= STEP
        gradient.view(-1)[place] = (reference(ahead.tolist()) - reference(behind.tolist())) / (2 * STEP)
    return gradient


def normal(seed: int, *shape: int, scale: float = 1.0) -> Tensor:
    """Random float64 values, the same for the same seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def right_padded(seed: int, rows: int, tokens: int) -> Tensor:
    """A mask (rows, tokens) of completions of 0 to `tokens` tokens, one of them full and one of them empty."""
    lengths = torch.randint(1, tokens + 1, (rows,), generator=torch.Generator().manual_seed(seed))
    lengths[0], lengths[-1] = tokens, 0
    return torch.arange(tokens) < lengths[:, None]


def poisoned(values: Tensor, mask: Tensor) -> Tensor:
    """`values`, with nan wherever nothing may read."""
    return values.masked_fill(~mask, torch.nan)


def sigmoid(x: float) -> float:
    return float(torch.tensor(x, dtype=torch.float64).sigmoid())
