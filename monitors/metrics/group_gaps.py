"""Whether one group of users gets worse service than the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from core.types import Estimate, Measurement, Sampled, Status, Window
from estimates.means import mean
from estimates.proportions import difference, proportion
from monitors import gaps
from monitors.descriptors.sentiment import sentiment
from monitors.detectors.refusal import refuses
from monitors.effects import parameter
from monitors.metrics import Guarantee, metric

NAME = "group_gaps"
MINIMUM = 30
MOST_GROUPS = 20
ALPHA = 0.05
EXTREME = 0.1
Values = Sequence[float | None]


@metric
class GroupGaps:
    """Whether one group of users gets worse service than the rest.

    For each label that requests carry, each group's rates of refusals, negative feedback, slow, short and negative
    answers minus those of the other groups. The intervals of one look hold together, over groups and rates
    (Bonferroni); rows of one user count as one draw.
    """

    guarantee: Guarantee = "none"
    judged = True

    def measure(self, reference: Window | None, current: Window, params: Mapping[str, Any]) -> Sequence[Measurement]:
        """The worst gap, then each group's by rate, the worst first; groups that are too small are NoData."""
        minimum = int(parameter(params, "minimum", MINIMUM))
        rates = {name: read(current.rows) for name, read in RATES.items()}
        known = {name: values for name, values in rates.items() if _count(values) >= 2 * minimum}
        details = {"left_out": {name: _count(values) for name, values in rates.items() if name not in known}}
        labels = [str(name) for name in params.get("labels") or found_labels(current.rows, minimum)]
        groups = {label: _groups(current.rows, label) for label in labels}
        shown = [sum(size >= minimum for size in sizes.values()) for sizes in groups.values()]
        # Two groups make one comparison: each is the other's rest.
        comparisons = sum(number if number > 2 else 1 for number in shown) * len(known)
        level = 1 - parameter(params, "alpha", ALPHA) / max(comparisons, 1)
        out = [
            _gap(name, f"{label}={group}"[:200], current.rows, values, label, group, level, minimum)
            for label, sizes in groups.items()
            for group in (sizes if len(sizes) > 1 else ())
            for name, values in known.items()
        ]
        out.sort(key=lambda gap: (-gaps.certain(gap.estimate), -abs(gap.estimate.value or 0.0)))
        needed = max(2 * minimum - len(current.rows), minimum)
        reason = f"No label has two groups of {minimum} rows."
        none = Estimate.missing(len(current.rows), "difference", needed)
        missing = Measurement(NAME, none, "nodata", reason=reason, details=details)
        return [gaps.worst(NAME, out, missing=missing, details=details), *out]


def found_labels(rows: Sequence[Sampled], minimum: int) -> list[str]:
    """The labels by which the rows fall into 2 to MOST_GROUPS groups, at least two of which have `minimum` rows."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        for name, value in row.inference.labels.items():
            counts.setdefault(name, Counter())[value] += 1
    return sorted(
        name
        for name, found in counts.items()
        if len(found) <= MOST_GROUPS and sum(count >= minimum for count in found.values()) >= 2
    )


def _groups(rows: Sequence[Sampled], label: str) -> dict[str, int]:
    """The largest groups of a label with their rows, by name."""
    counts = Counter(row.inference.labels[label] for row in rows if label in row.inference.labels)
    return dict(sorted(counts.most_common(MOST_GROUPS)))


def _gap(
    name: str,
    segment: str,
    rows: Sequence[Sampled],
    values: Values,
    label: str,
    group: str,
    level: float,
    minimum: int,
) -> Measurement:
    labelled = [pair for pair in zip(values, rows, strict=True) if label in pair[1].inference.labels]
    told = [(value, row) for value, row in labelled if value is not None]
    own = _rate([pair for pair in told if pair[1].inference.labels[label] == group], level, minimum)
    rest = _rate([pair for pair in told if pair[1].inference.labels[label] != group], level, minimum)
    estimate = difference(own, rest)
    status: Status = "ok" if estimate.value is not None else "nodata"
    small, where = (own, "this group") if own.value is None else (rest, "the other groups")
    reason = "" if status == "ok" else f"{small.n} rows in {where}; {small.needed} more needed."
    details = {"group": _json(own), "rest": _json(rest)}
    return Measurement(name, estimate, status, segment=segment, reason=reason, details=details)


def _rate(told: Sequence[tuple[float, Sampled]], level: float, minimum: int) -> Estimate:
    """The share of ones: exact for plain rows, by the linearised mean where rows have weights or users repeat."""
    values = [value for value, _ in told]
    probabilities = [row.probability for _, row in told]
    users = [row.inference.user or row.inference.conversation or row.inference.uuid for _, row in told]
    weighted, clustered = any(p < 1 for p in probabilities), len(set(users)) < len(users)
    if not weighted and not clustered:
        return proportion(int(sum(values)), len(values), minimum=minimum, level=level)
    return mean(
        values,
        low=0.0,
        high=1.0,
        probabilities=probabilities if weighted else None,
        clusters=users if clustered else None,
        minimum=minimum,
        level=level,
    )


def _count(values: Values) -> int:
    return sum(value is not None for value in values)


def _json(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}


# --- what counts as worse service: 1, else 0; None where there is nothing to read


def _refused(rows: Sequence[Sampled]) -> Values:
    told = [refuses(row.inference.prompt, row.inference.response) if _answered(row) else None for row in rows]
    return [None if refused is None else float(refused) for refused in told]


def _negative(rows: Sequence[Sampled]) -> Values:
    return [row.negative for row in rows]


def _slow(rows: Sequence[Sampled]) -> Values:
    """Slower than nine in ten of all answers of the window."""
    return _beyond([row.inference.latency_ms if _answered(row) else None for row in rows], 1 - EXTREME, sign=1)


def _short(rows: Sequence[Sampled]) -> Values:
    """Shorter than nine in ten of all answers of the window."""
    lengths = [float(len(row.inference.response)) if _answered(row) else None for row in rows]
    return _beyond(lengths, EXTREME, sign=-1)


def _negative_tone(rows: Sequence[Sampled]) -> Values:
    """Of negative sentiment; None for a text that is not English."""
    told = [sentiment(row.inference.response) if _answered(row) else None for row in rows]
    return [None if tone is None else float(tone == "negative") for tone in told]


def _answered(row: Sampled) -> bool:
    return row.inference.status == 200


def _beyond(values: Values, quantile: float, *, sign: int) -> Values:
    known = [value for value in values if value is not None]
    limit = float(np.quantile(known, quantile)) if known else 0.0
    return [None if value is None else float(sign * value > sign * limit) for value in values]


RATES: dict[str, Callable[[Sequence[Sampled]], Values]] = {
    "refusal_gap": _refused,
    "negative_gap": _negative,
    "slow_gap": _slow,
    "short_gap": _short,
    "tone_gap": _negative_tone,
}
