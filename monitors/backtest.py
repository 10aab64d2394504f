"""Replays a file of traffic through a monitor as if it were live: first the reference, then look by look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from core.errors import InvalidInput
from core.thinning import Thinning
from core.types import Inference
from monitors.defaults import DEFAULTS
from monitors.metrics import Step, Unit, metrics, read
from monitors.rhythm import mark
from monitors.statistics.budget import Budget

# Texts embedded at once: encoders are slow on single ones.
BLOCK = 500


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
    if monitor not in replayable():
        raise InvalidInput(
            f"{monitor} cannot be backtested on traffic alone.", f"Use one of: {', '.join(replayable())}."
        )
    _require(reference, every, budget, len(rows))
    units = _units(metric, rows, rhythm)
    within = sum(place < reference for place, _ in units)
    if within < metric.minimum:
        raise InvalidInput(
            _too_few(monitor, within), "Give a larger --reference, or traffic with answers for the monitors of answers."
        )
    ready = _embedded(metric, units, encoder)
    base = [next(ready)[1] for _ in range(within)]
    horizon = max(len(rows) - reference, 1)
    tracker = metric.start(base, alpha=budget, horizon=horizon, seed=seed, params={})
    waiting = next(ready, None)
    for number, start in enumerate(range(reference, len(rows), every), start=1):
        seen = min(start + every, len(rows))
        taken = []
        while waiting is not None and waiting[0] < seen:
            taken.append(waiting[1])
            waiting = next(ready, None)
        step: Step = tracker.update(taken)
        estimate = tracker.measure()[0].estimate
        yield Look(number, seen, estimate.value, estimate.low, estimate.high, estimate.n, step.alarm)


def thinned(rows: Sequence[Inference], one_in: int, seed: int) -> list[tuple[int, Inference]]:
    """Those rows, each with its place, that an epoch reads which takes one conversation in `one_in`.

    1 leaves every row. A conversation is read or not by the place of its first row, of whose rows only that stays.
    """
    if one_in < 1:
        raise InvalidInput("--one-in counts conversations.", "Give a whole number of at least 1.")
    if one_in == 1:
        return list(enumerate(rows))
    rule, seen, kept = Thinning(one_in, seed), set(), []
    for place, row in enumerate(rows):
        if row.conversation and row.conversation in seen:
            continue
        seen.add(row.conversation)
        if rule.holds(place):
            kept.append((place, row))
    return kept


def replayable() -> list[str]:
    """The statistical monitors that traffic alone can feed."""
    return [
        name for name in metrics if metrics.get(name).guarantee == "budget" and metrics.get(name).source != "feedback"
    ]


def unreadable(monitor: str, rows: Sequence[Inference], reference: int) -> str:
    """Why the monitor cannot be replayed on these rows, in a sentence; empty where it can."""
    found = len(_units(metrics.get(monitor), rows[:reference], "none"))
    return _too_few(monitor, found) if found < metrics.get(monitor).minimum else ""


def _too_few(monitor: str, found: int) -> str:
    return f"The reference holds {found} rows that {monitor} can read; it needs {metrics.get(monitor).minimum}."


def share_out(budget: float, monitors: Sequence[str]) -> dict[str, float]:
    """What each of the monitors may spend of one budget, by the weights that an installation starts with."""
    weights = {row["name"]: float(row["weight"]) for row in DEFAULTS if row["name"] in monitors}
    ledger = Budget.open(budget, weights, dict.fromkeys(weights, 1))
    out = {}
    for name in weights:
        ledger, out[name] = ledger.grant(name, "backtest")
    return out


def summarise(
    monitor: str,
    looks: Sequence[Look],
    *,
    rows: int,
    reference: int,
    every: int,
    budget: float,
    one_in: int = 1,
    onset: int | None = None,
) -> dict[str, Any]:
    """The last line of a backtest: whether and when the monitor alarmed, and what was promised.

    `rows` are those read, one in `one_in` of the traffic. With `onset`, the number of rows before a known change, also
    how many rows after it the first alarm came; a monitor alarms once, so one that alarmed before has no delay.
    """
    alarms = [look for look in looks if look.alarm]
    first = alarms[0].seen if alarms else None
    delay = first - onset if first is not None and onset is not None and first > onset else None
    return {
        "summary": True,
        "monitor": monitor,
        "rows": rows,
        "reference": reference,
        "every": every,
        "budget": budget,
        **({} if one_in == 1 else {"one_in": one_in}),
        "looks": len(looks),
        "alarms": len(alarms),
        "first_alarm_look": alarms[0].look if alarms else None,
        "first_alarm_seen": first,
        **({} if onset is None else {"onset": onset, "delay": delay}),
    }


def _units(metric: Any, rows: Sequence[Inference], rhythm: str) -> list[tuple[int, Unit]]:
    """The units of the rows, each with the place of its row: a conversation's first, where the metric can read it."""
    found, seen = [], set()
    for place, row in enumerate(rows):
        if row.conversation and row.conversation in seen:
            continue
        seen.add(row.conversation)
        value = metric.value(row)
        if value is not None:
            key = row.id or place
            found.append((place, Unit(key, key, row.at, read(metric, row), value, None, row.labels)))
    units = mark([unit for _, unit in found], rhythm)
    return [(place, unit) for (place, _), unit in zip(found, units, strict=True)]


def _embedded(metric: Any, units: Sequence[tuple[int, Unit]], encoder: Encoder | None) -> Iterator[tuple[int, Unit]]:
    """The units with their vectors, where the metric reads such; texts are embedded a block at a time."""
    if not metric.embedded:
        yield from units
        return
    if encoder is None:
        raise InvalidInput("This monitor needs the encoder.", "Run `trimtab models` to prepare it.")
    for start in range(0, len(units), BLOCK):
        block = units[start : start + BLOCK]
        vectors = encoder.embed([unit.text for _, unit in block])
        for (place, unit), vector in zip(block, vectors, strict=True):
            yield place, replace(unit, vector=vector)


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
