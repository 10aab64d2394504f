"""Replays a file of traffic through a monitor as if it were live: first the reference, then look by look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.errors import InvalidInput
from core.types import Inference
from monitors.metrics import Step, Unit, metrics, read
from monitors.rhythm import mark


class Encoder(Protocol):
    """What is needed of models.encoder.Encoder."""

    def embed(self, texts: Sequence[str]) -> Any: ...


@dataclass(frozen=True, slots=True)
class Look:
    """One look: `seen` rows were read so far, the reference included; `alarm` is true at the look that raises it."""

    look: int
    seen: int
    value: float | None
    low: float | None
    high: float | None
    n: int
    alarm: bool

    def as_json(self) -> dict[str, Any]:
        """The look as one JSON line holds it."""
        return {name: getattr(self, name) for name in ("look", "seen", "value", "low", "high", "n", "alarm")}


def backtest(
    monitor: str,
    rows: Sequence[Inference],
    *,
    reference: int,
    every: int,
    budget: float,
    encoder: Encoder | None,
    seed: int,
    rhythm: str = "none",
) -> Iterator[Look]:
    """One look after every `every` rows past the reference, and one at the end.

    While rows after the reference are exchangeable with it (within the parts of the declared `rhythm`), the probability
    of any alarm over all looks is at most `budget`. A conversation counts once, by its first row; rows that the monitor
    cannot read (no answer) count as read but not as units. Raises InvalidInput for a monitor without such a promise, or
    where the rows are too few.
    """
    metric = metrics.get(monitor)
    if metric.guarantee != "budget" or metric.source == "feedback":
        known = [n for n in metrics if metrics.get(n).guarantee == "budget" and metrics.get(n).source != "feedback"]
        raise InvalidInput(f"{monitor} cannot be backtested on traffic alone.", f"Use one of: {', '.join(known)}.")
    _require(reference, every, budget, len(rows))
    seen_before: set[str] = set()
    base = mark(_units(metric, rows[:reference], seen_before, encoder), rhythm)
    if len(base) < metric.minimum:
        raise InvalidInput(
            f"The reference holds {len(base)} rows that {monitor} can read; it needs {metric.minimum}.",
            "Give a larger --reference, or traffic with answers for the monitors of answers.",
        )
    horizon = max(len(rows) - reference, 1)
    tracker = metric.start(base, alpha=budget, horizon=horizon, seed=seed, params={})
    for number, start in enumerate(range(reference, len(rows), every), start=1):
        chunk = rows[start : start + every]
        step: Step = tracker.update(mark(_units(metric, chunk, seen_before, encoder), rhythm))
        estimate = tracker.measure()[0].estimate
        seen = start + len(chunk)
        yield Look(number, seen, estimate.value, estimate.low, estimate.high, estimate.n, step.alarm)


def summarise(
    monitor: str, looks: Sequence[Look], *, rows: int, reference: int, every: int, budget: float
) -> Mapping[str, Any]:
    """The last line of a backtest: whether and when the monitor alarmed, and what was promised."""
    alarms = [look for look in looks if look.alarm]
    return {
        "summary": True,
        "monitor": monitor,
        "rows": rows,
        "reference": reference,
        "every": every,
        "budget": budget,
        "looks": len(looks),
        "alarms": len(alarms),
        "first_alarm_look": alarms[0].look if alarms else None,
        "first_alarm_seen": alarms[0].seen if alarms else None,
    }


def _units(metric: Any, rows: Sequence[Inference], seen: set[str], encoder: Encoder | None) -> list[Unit]:
    units = []
    for place, row in enumerate(rows):
        if row.conversation and row.conversation in seen:
            continue
        if row.conversation:
            seen.add(row.conversation)
        value = metric.value(row)
        if value is not None:
            units.append(Unit(row.id or place, row.id or place, row.at, read(metric, row), value, None, row.labels))
    if not metric.embedded or not units:
        return units
    if encoder is None:
        raise InvalidInput("This monitor needs the encoder.", "Run `trimtab models` to prepare it.")
    vectors = encoder.embed([unit.text for unit in units])
    return [
        Unit(u.key, u.inference, u.at, u.text, u.value, vector, u.labels)
        for u, vector in zip(units, vectors, strict=True)
    ]


def _require(reference: int, every: int, budget: float, rows: int) -> None:
    if reference < 1 or every < 1:
        raise InvalidInput("--reference and --every count rows.", "Give whole numbers of at least 1.")
    if not 0 < budget < 1:
        raise InvalidInput(f"A budget of {budget:g} is not a probability.", "Give --budget between 0 and 1.")
    if rows <= reference:
        raise InvalidInput(
            f"The file has {rows} rows, and the reference alone takes {reference}.",
            "Give more traffic or a smaller --reference.",
        )
