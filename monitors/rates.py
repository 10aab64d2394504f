"""The tracker that watches a number between 0 and 1 of each answer or judgement against its reference."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from statistics import fmean
from typing import Any, Literal

from core.errors import InvalidInput
from core.types import Estimate, Measurement
from monitors.metrics import Step, Unit
from monitors.rhythm import runs
from monitors.statistics.rates import RateLook, RateTest

RECENT = 400
Side = Literal["rise", "fall", "change"]
Summary = Callable[[Sequence[float]], Estimate]
Scale = Callable[[float], float]


def unchanged(value: float) -> float:
    """The value itself: the scale of what lies between 0 and 1 anyway."""
    return value


class RateTracker:
    """An epoch of the sequential rate test, with the latest rows for its explanations.

    `summary` gives the number shown for the latest raw values and for the reference's; `scale` brings a raw value onto
    the test's scale from 0 to 1.
    """

    def __init__(
        self, name: str, words: str, test: RateTest, summary: Summary, scale: Scale, state: Mapping[str, Any]
    ) -> None:
        self.name = name
        self.words = words
        self.test = test
        self.summary = summary
        self.scale = scale
        self.recent: list[list[Any]] = [list(row) for row in state.get("recent", [])]
        self.reference: dict[str, Any] = dict(state.get("reference", {}))
        self.centre = float(state.get("centre", 0.0))
        self.level = float(state.get("level", 0.0))
        self.firing = bool(state.get("firing", False))

    @property
    def seen(self) -> int:
        """Units taken in this epoch."""
        return self.test.seen

    @property
    def remaining(self) -> int:
        """Units the epoch can still take."""
        return self.test.remaining

    @property
    def sizes(self) -> Mapping[str, int]:
        """Units of each stratum in its bag."""
        return self.test.sizes

    def update(self, units: Sequence[Unit]) -> Step:
        """Take units in, oldest first; `scaled` values go to the test, raw ones into the summary."""
        judged: list[Unit] = []
        looks: list[RateLook] = []
        for ready, some in runs(units, self.test.sizes):
            values, strata = [scaled(self.name, unit, self.scale) for unit in some], [unit.stratum for unit in some]
            if ready:
                judged += some
                looks += self.test.update(values, strata)
            else:
                self.test.fill(values, strata)
        if not looks:
            return Step(False, self.firing)
        self.recent = (self.recent + [[unit.key, unit.inference, raw_value(unit)] for unit in judged])[-RECENT:]
        self.firing = any(look.firing for look in looks)
        self.level = max(look.level for look in looks) if self.firing else looks[-1].level
        at = next((index for index, look in enumerate(looks) if look.alarm), None)
        return Step(at is not None, self.firing, judged[at].key if at is not None else None)

    def measure(self) -> list[Measurement]:
        """The number of the latest rows with its interval, the reference's beside it."""
        estimate = self.summary([row[2] for row in self.recent[-200:]])
        details = {
            "level": round(self.level, 6),
            "seen": self.seen,
            "horizon": self.test.horizon,
            "alpha": self.test.alpha,
            "alarmed_at": self.test.alarmed_at,
            "reference": self.reference,
        }
        if self.firing:
            return [Measurement(self.name, estimate, "breach", reason=self.words, details=details)]
        if estimate.value is None:
            words = f"{estimate.needed} more rows needed since the epoch began; the alarm watches already."
            return [Measurement(self.name, estimate, "nodata", reason=words, details=details)]
        return [Measurement(self.name, estimate, "ok", details=details)]

    def why(self) -> dict[str, Any]:
        """The window that deviates most from the reference, and its most telling rows."""
        start = onset([row[2] for row in self.recent], self.centre)
        window = self.recent[start:]
        telling = sorted(window, key=lambda row: (-abs(row[2] - self.centre), -row[0]))[:5]
        return {
            "view": self.name,
            "view_words": self.words,
            "onset_key": window[0][0] if window else None,
            "since_onset": sorted({row[1] for row in window}),
            "rows": [{"inference": row[1], "view": self.name, "value": row[2]} for row in telling],
        }

    def state(self) -> dict[str, Any]:
        """The whole state, fit for JSON."""
        return {
            "test": self.test.to_dict(),
            "recent": self.recent,
            "reference": self.reference,
            "centre": self.centre,
            "level": self.level,
            "firing": self.firing,
        }

    def to_bytes(self) -> bytes:
        """The state as JSON; `restored` goes on exactly from it."""
        return json.dumps(self.state()).encode()


def started(
    name: str,
    words: str,
    reference: Sequence[Unit],
    summary: Summary,
    *,
    alpha: float,
    horizon: int,
    seed: int,
    side: Side,
    scale: Scale = unchanged,
) -> RateTracker:
    """A new epoch on the reference given. Raises InvalidInput when it is too small."""
    values = [scaled(name, unit, scale) for unit in reference]
    strata = [unit.stratum for unit in reference]
    test = RateTest.fit(values, alpha=alpha, seed=seed, horizon=horizon, side=side, strata=strata)
    raw = [raw_value(unit) for unit in reference]
    shown = summary(raw)
    state = {
        "reference": {"value": shown.value, "low": shown.low, "high": shown.high, "n": shown.n},
        "centre": shown.value if shown.value is not None else fmean(raw),
    }
    return RateTracker(name, words, test, summary, scale, state)


def restored(name: str, words: str, state: bytes, summary: Summary, scale: Scale = unchanged) -> RateTracker:
    """The tracker that `to_bytes` wrote. Raises InvalidInput when the bytes are not such a state."""
    try:
        loaded = json.loads(state)
        return RateTracker(name, words, RateTest.from_dict(loaded["test"]), summary, scale, loaded)
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"The stored state of {name} cannot be read.", "Start a new epoch.") from error


def scaled(name: str, unit: Unit, scale: Scale) -> float:
    """The unit's value on the test's scale from 0 to 1. Raises InvalidInput where it is missing or not finite."""
    value = raw_value(unit)
    if not isfinite(value):
        raise InvalidInput(f"A value of {name} is not a number.", "Check what computes it.")
    return scale(value)


def raw_value(unit: Unit) -> float:
    """The unit's number as its metric gave it. Raises InvalidInput where it has none."""
    if unit.value is None:
        raise InvalidInput("A unit without a value reached the test.", "Leave such rows out.")
    return float(unit.value)


def onset(values: Sequence[float], centre: float) -> int:
    """The start of the latest stretch that deviates most from `centre`, in standard units of its length."""
    best, at, total = -1.0, len(values), 0.0
    for back, value in enumerate(reversed(values), start=1):
        total += value - centre
        score = abs(total) / back**0.5
        if score > best:
            best, at = score, len(values) - back
    return at
