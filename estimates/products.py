"""Intervals for a product and for a sum of two estimates that may depend on each other in any way."""

from __future__ import annotations

from core.types import Estimate
from estimates.proportions import LEVEL


def part(level: float = LEVEL) -> float:
    """Return the level that each of two estimates needs for `product` or `total` to hold with `level`."""
    return 1 - (1 - level) / 2


def product(first: Estimate, second: Estimate, *, level: float = LEVEL) -> Estimate:
    """Return the product of two values that are at least 0, from estimates with intervals at `part(level)`.

    The ends are multiplied. Both intervals hold together with probability at least `level`, and then so does this one,
    however the two depend (Bonferroni). Missing where either is; n is that of `first`.
    """
    for one in (first, second):
        if one.value is None or one.low is None or one.high is None:
            return one
    assert first.value is not None and first.low is not None and first.high is not None
    assert second.value is not None and second.low is not None and second.high is not None
    ends = max(0.0, first.low) * max(0.0, second.low), first.high * second.high
    return Estimate(first.value * second.value, *ends, first.n, _method(first, second, level))


def total(first: Estimate, second: Estimate, *, level: float = LEVEL) -> Estimate:
    """Return the sum of two values of either sign, as `product` does: their ends are added."""
    for one in (first, second):
        if one.value is None or one.low is None or one.high is None:
            return one
    assert first.value is not None and first.low is not None and first.high is not None
    assert second.value is not None and second.low is not None and second.high is not None
    ends = first.low + second.low, first.high + second.high
    return Estimate(first.value + second.value, *ends, first.n, _method(first, second, level))


def scaled(one: Estimate, factor: float, shift: float = 0.0) -> Estimate:
    """Return `shift` + `factor` times the estimate, for a `factor` that is at least 0."""
    if one.value is None or one.low is None or one.high is None:
        return one
    value, low, high = (shift + factor * end for end in (one.value, one.low, one.high))
    return Estimate(value, low, high, one.n, one.method)


def _method(first: Estimate, second: Estimate, level: float) -> str:
    return f"bonferroni {100 * level:.4g}% of {first.method} and {second.method}"
