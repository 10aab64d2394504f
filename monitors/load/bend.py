"""Where latency bends: the rule, on the steps of a load probe. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.types import Estimate
from estimates.quantiles import quantile

FACTOR = 2.0
MOST_FAILED = 0.1
MINIMUM = 12


@dataclass(frozen=True, slots=True)
class Step:
    """What `concurrency` requests at a time led to. `times` are those of the answered ones, in milliseconds."""

    concurrency: int
    times: Sequence[float]
    failed: int
    seconds: float

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return len(self.times) / self.seconds if self.seconds > 0 else 0.0

    @property
    def overloaded(self) -> bool:
        """Whether more than a tenth of the requests failed."""
        return self.failed > MOST_FAILED * (self.failed + len(self.times))


@dataclass(frozen=True, slots=True)
class Bend:
    """`medians` a step; latency certainly does not bend up to `flat_to`, and certainly bends from `bent_from` on.

    0 and None where nothing is certain.
    """

    medians: Sequence[Estimate]
    flat_to: int
    bent_from: int | None


def levels(most: int) -> list[int]:
    """How many requests at a time the steps take: 1, 2, 4, ... up to `most`."""
    found = [1]
    while found[-1] * 2 <= most:
        found.append(found[-1] * 2)
    return found


def bend(steps: Sequence[Step], *, planned: int, factor: float = FACTOR, level: float = 0.95) -> Bend:
    """Judge steps of rising concurrency, the first with one request at a time, of `planned` ones.

    Latency is bent where the whole interval of the median is above `factor` times that of the first step, or where the
    step was overloaded; it is not where the interval lies whole below it. The intervals (order statistics) hold
    together with probability `level`, by Bonferroni over the planned steps, whenever the probe stops.
    """
    each = 1 - (1 - level) / max(planned, 1)
    medians = [quantile(step.times, 0.5, minimum=MINIMUM, level=each) for step in steps]
    flat_to, bent_from = 0, None
    for step, median in zip(steps, medians, strict=True):
        if step.overloaded or _above(median, medians[0], factor):
            bent_from = step.concurrency
            break
        if _below(median, medians[0], factor):
            flat_to = step.concurrency
    return Bend(medians, flat_to, bent_from)


def _above(median: Estimate, first: Estimate, factor: float) -> bool:
    return median.low is not None and first.high is not None and median.low > factor * first.high


def _below(median: Estimate, first: Estimate, factor: float) -> bool:
    return median.high is not None and first.low is not None and median.high < factor * first.low
