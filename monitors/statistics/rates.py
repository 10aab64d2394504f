"""Change of a rate (refusals, negative feedback) against a reference that is itself a sample, at every
row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from core.errors import InvalidInput
from core.types import Estimate
from estimates.means import mean
from estimates.proportions import proportion
from monitors.statistics.bets import Wagers, threshold

REFERENCE_MINIMUM = 20
RECENT = 1_000
STEPS = 100
FORMAT = 2


@dataclass(frozen=True, slots=True)
class RateLook:
    """What the test saw at one row: as `drift.Look`, with one p-value; small for a high value, large for a
    low one.
    """

    index: int
    p: float
    level: float
    alarm: bool
    firing: bool


class RateTest:
    """One epoch of a sequential test that values between 0 and 1 are exchangeable with the reference's.

    Each row is ranked, ties broken by chance, among the reference and all rows before it; these p-values are
    exactly uniform and independent while nothing changes, however small the reference, and bets on them are
    mixed as in the drift detector (Vovk, Testing Randomness Online, Statistical Science 36, 2021; Shin,
    Ramdas and Rinaldo, E-detectors, 2024). The probability of any alarm over `horizon` rows is at most
    `alpha`. Hand over one value a conversation.
    """

    def __init__(self, words: Mapping[str, Any]) -> None:
        self.alpha: float = words["alpha"]
        self.horizon: int = words["horizon"]
        self.side: Literal["rise", "fall", "change"] = words["side"]
        self.seen: int = words["seen"]
        self.alarmed_at: int | None = words["alarmed_at"]
        self._counts = {name: list(counts) for name, counts in words["counts"].items()}
        self._reference: list[int] = list(words["reference"])
        self._recent: list[int] = list(words["recent"])
        self._rng = np.random.default_rng()
        self._rng.bit_generator.state = words["rng"]
        self._wagers = Wagers([self.side], [words["limit"]])
        if words["state"]:
            self._wagers.state = np.array(words["state"], float).reshape(self._wagers.state.shape)

    @classmethod
    def fit(
        cls,
        values: ArrayLike,
        *,
        alpha: float,
        seed: int,
        horizon: int,
        side: Literal["rise", "fall", "change"] = "rise",
        strata: Sequence[str] | None = None,
    ) -> Self:
        """Return a test against the reference `values` (0 to 1, in steps of 0.01), one a conversation.

        `side` says which change alarms. Strata as in the drift detector. Raises InvalidInput on fewer than
        REFERENCE_MINIMUM values or a value outside 0 to 1.
        """
        steps = _steps(values)
        if len(steps) < REFERENCE_MINIMUM:
            raise InvalidInput(
                f"The reference of the rate has {len(steps)} values.",
                f"{REFERENCE_MINIMUM - len(steps)} more are needed.",
            )
        names = _strata(strata, len(steps))
        counts = {name: [0] * (STEPS + 1) for name in sorted(set(names))}
        for step, name in zip(steps, names, strict=True):
            counts[name][step] += 1
        total = [sum(column) for column in zip(*counts.values(), strict=True)]
        return cls(
            {
                "alpha": alpha,
                "horizon": horizon,
                "side": side,
                "seen": 0,
                "alarmed_at": None,
                "counts": counts,
                "reference": total,
                "recent": [],
                "rng": np.random.default_rng(seed).bit_generator.state,
                "limit": threshold(side, alpha, horizon),
                "state": [],
            }
        )

    @property
    def remaining(self) -> int:
        """How many rows this epoch can still take."""
        return self.horizon - self.seen

    @property
    def sizes(self) -> dict[str, int]:
        """How many values of each stratum are in its bag: the reference's and all since."""
        return {name: sum(counts) for name, counts in self._counts.items()}

    def fill(self, values: ArrayLike, strata: Sequence[str]) -> None:
        """Take values into the bags of their strata without judging them; they count neither as rows nor as looks."""
        for step, name in zip(_steps(values), strata, strict=True):
            self._bag(name)[step] += 1

    def update(self, values: ArrayLike, strata: Sequence[str] | None = None) -> list[RateLook]:
        """Return one look for each value; how values are cut into calls makes no difference.

        Values of a stratum whose bag is small are as valid as others, but tell little: `fill` it first. Raises
        InvalidInput when more come than remain in the epoch, or a value lies outside 0 to 1.
        """
        steps = _steps(values)
        if len(steps) > self.remaining:
            raise InvalidInput(
                f"The epoch has room for {self.remaining} more rows, not {len(steps)}.",
                "Start a new epoch with a new reference and its own budget.",
            )
        if not steps:
            return []
        p = np.empty((len(steps), 1))
        luck = self._rng.random(len(steps)).tolist()
        for i, (step, name, u) in enumerate(zip(steps, _strata(strata, len(steps)), luck, strict=True)):
            counts = self._bag(name)
            counts[step] += 1
            p[i] = (sum(counts[step + 1 :]) + u * counts[step]) / sum(counts)
        looks = []
        for value, level in zip(p[:, 0].tolist(), self._wagers.update(p)[:, 0].tolist(), strict=True):
            alarm = level >= 1 and self.alarmed_at is None
            if alarm:
                self.alarmed_at = self.seen
            looks.append(RateLook(self.seen, value, level, alarm, level >= 1))
            self.seen += 1
        self._recent = (self._recent + steps)[-RECENT:]
        return looks

    def _bag(self, stratum: str) -> list[int]:
        return self._counts.setdefault(stratum, [0] * (STEPS + 1))

    def reference(self) -> Estimate:
        """Return the reference's rate with its interval."""
        return _estimate([step for step, n in enumerate(self._reference) for _ in range(n)])

    def recent(self, window: int = 200) -> Estimate:
        """Return the rate of the last rows (at most RECENT) with an interval for one look."""
        return _estimate(self._recent[-min(window, RECENT) :])

    def to_dict(self) -> dict[str, Any]:
        """Return the whole state, fit for JSON."""
        return {
            "format": FORMAT,
            "alpha": self.alpha,
            "horizon": self.horizon,
            "side": self.side,
            "seen": self.seen,
            "alarmed_at": self.alarmed_at,
            "counts": self._counts,
            "reference": self._reference,
            "recent": self._recent,
            "rng": self._rng.bit_generator.state,
            "limit": float(self._wagers.limits[0]),
            "state": self._wagers.state.tolist(),
        }

    @classmethod
    def from_dict(cls, words: Mapping[str, Any]) -> Self:
        """Return the test that `to_dict` wrote; it goes on exactly as the first would have.

        Raises InvalidInput when the words are not such a state.
        """
        try:
            if words["format"] != FORMAT:
                raise ValueError(f"format {words['format']}")
            return cls(words)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(
                "The stored state of the rate test cannot be read.", "Start a new epoch from a reference."
            ) from error


def _steps(values: ArrayLike) -> list[int]:
    x = np.asarray(values, float)
    if not ((x >= 0) & (x <= 1)).all():
        raise InvalidInput("A value of the rate lies outside 0 to 1.", "Score each row between 0 and 1.")
    steps: list[int] = np.rint(x * STEPS).astype(int).tolist()
    return steps


def _strata(strata: Sequence[str] | None, n: int) -> Sequence[str]:
    if strata is not None and len(strata) != n:
        raise InvalidInput(f"{len(strata)} strata were given for {n} values.", "Give one stratum for each value.")
    return [""] * n if strata is None else strata


def _estimate(steps: Sequence[int]) -> Estimate:
    if all(step in (0, STEPS) for step in steps):
        return proportion(sum(step == STEPS for step in steps), len(steps))
    return mean(np.array(steps) / STEPS, low=0, high=1)
