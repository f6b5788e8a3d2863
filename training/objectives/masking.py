"""Sums and means over the entries that count, in full precision."""

import torch
from torch import Tensor


def precise(values: Tensor) -> Tensor:
    """In float32, unless it is float64."""
    return values if values.dtype == torch.float64 else values.float()


def filled(values: Tensor, mask: Tensor) -> Tensor:
    """`values` in float32 (float64 stays), 0 where `mask` (bool, same shape) is False; there the gradient is 0 too."""
    return precise(values).masked_fill(~mask, 0.0)


def masked_mean(values: Tensor, mask: Tensor, dim: tuple[int, ...] | None = None) -> Tensor:
    """Mean of what `mask` keeps, over `dim` (kept as size 1) or over all of it; 0 where it keeps nothing."""
    kept = filled(values, mask)
    if dim is None:
        return kept.sum() / mask.sum().clamp(min=1)
    return kept.sum(dim, keepdim=True) / mask.sum(dim, keepdim=True).clamp(min=1)


def masked_variance(values: Tensor, mask: Tensor, dim: tuple[int, ...] | None = None) -> Tensor:
    """Unbiased variance (n - 1) of what `mask` keeps, shaped as `masked_mean`; 0 for fewer than two values."""
    deviations = filled(precise(values) - masked_mean(values, mask, dim), mask)
    if dim is None:
        return deviations.square().sum() / (mask.sum() - 1).clamp(min=1)
    return deviations.square().sum(dim, keepdim=True) / (mask.sum(dim, keepdim=True) - 1).clamp(min=1)


def whiten(values: Tensor, mask: Tensor, *, shift_mean: bool = True) -> Tensor:
    """Scaled around the batch's mean to unit variance; the mean becomes 0, or stays without `shift_mean`.

    0 outside `mask`, whose entries are one batch.
    """
    mean = masked_mean(values, mask)
    scaled = (precise(values) - mean) * torch.rsqrt(masked_variance(values, mask) + 1e-8)
    return filled(scaled if shift_mean else scaled + mean, mask)
