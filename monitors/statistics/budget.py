"""One false-alarm budget for all monitors: shared by weight, granted epoch by epoch, never exceeded."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from typing import Any, Self

from core.errors import InvalidInput

# This part of a share is kept for epochs beyond those expected: each of them gets half of what is left of it.
KEPT = 0.1
# No test is run at a false-alarm probability above this, however large the budget.
MOST = 0.5


@dataclass(frozen=True, slots=True)
class Share:
    """A monitor's part since the parts were last fixed: `amount` to spend over `expected` epochs, `gone` of it."""

    amount: float
    expected: int
    granted: int = 0
    gone: float = 0.0


@dataclass(frozen=True, slots=True)
class Budget:
    """The ledger of one period. `total` is the expected number of false alarms over all monitors, at most.

    Below 1 it also bounds the probability of any (union bound, whatever the monitors' dependence). `grants`
    holds the false-alarm probability of every epoch granted so far, by monitor and epoch name.
    """

    total: float
    shares: Mapping[str, Share]
    grants: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def open(cls, total: float, weights: Mapping[str, float], expected: Mapping[str, int]) -> Self:
        """Return the ledger of a new period: `total` divided by `weights` over the `expected` epochs of each
        monitor.

        Raises InvalidInput unless the total and every weight are above 0 and one epoch or more is expected
        of each.
        """
        if not (isfinite(total) and total > 0):
            raise InvalidInput(f"A false-alarm budget of {total} allows no alarm.", "Give a number above 0.")
        return cls(total, {}).divide(weights, expected)

    def divide(self, weights: Mapping[str, float], expected: Mapping[str, int]) -> Self:
        """Return the ledger with what is unspent divided anew (a monitor came, went or was re-weighted).

        `expected` counts the epochs still to come. What was granted stays spent.
        """
        for name, weight in weights.items():
            if not (isfinite(weight) and weight > 0) or expected.get(name, 0) < 1:
                raise InvalidInput(
                    f"Monitor {name} cannot share the false-alarm budget.",
                    "Give it a weight above 0 and at least one expected epoch, or leave it out.",
                )
        rest = max(0.0, self.total - self.spent)
        whole = sum(weights.values())
        shares = {name: Share(rest * weight / whole, expected[name]) for name, weight in weights.items()}
        return replace(self, shares=shares)

    def grant(self, monitor: str, epoch: str) -> tuple[Self, float]:
        """Return the ledger and the false-alarm probability that this epoch of the monitor may use.

        Asking again for the same epoch gives the same answer and spends nothing. Raises InvalidInput for a
        monitor without a share.
        """
        if epoch in self.grants.get(monitor, {}):
            return self, self.grants[monitor][epoch]
        if monitor not in self.shares:
            raise InvalidInput(f"Monitor {monitor} has no share of the false-alarm budget.", "Give it a weight.")
        share = self.shares[monitor]
        over = share.granted - share.expected
        part = (1 - KEPT) / share.expected if over < 0 else KEPT * 0.5 ** (over + 1)
        alpha = min(MOST, share.amount * part)
        grants = {**self.grants, monitor: {**self.grants.get(monitor, {}), epoch: alpha}}
        used = replace(share, granted=share.granted + 1, gone=share.gone + alpha)
        shares = {**self.shares, monitor: used}
        return replace(self, shares=shares, grants=grants), alpha

    def expect(self, monitor: str, epochs: int) -> Self:
        """Return the ledger in which what is left of the monitor's share has to do for `epochs` more epochs.

        For a monitor whose epochs end sooner than was thought. Raises InvalidInput without a share or an epoch.
        """
        share = self.shares.get(monitor)
        if share is None or epochs < 1:
            raise InvalidInput(f"Monitor {monitor} cannot plan {epochs} epochs.", "Give it a weight and an epoch.")
        left = Share(max(0.0, share.amount - share.gone), epochs)
        return replace(self, shares={**self.shares, monitor: left})

    @property
    def spent(self) -> float:
        """The sum of all grants: at most this many false alarms are expected so far."""
        return sum(self.spent_by(name) for name in self.grants)

    def spent_by(self, monitor: str) -> float:
        """Return the sum of a monitor's grants."""
        return sum(self.grants.get(monitor, {}).values())

    def to_dict(self) -> dict[str, Any]:
        """Return the ledger, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, words: Mapping[str, Any]) -> Self:
        """Return the ledger that `to_dict` wrote; InvalidInput when the words are not one."""
        try:
            shares = {name: Share(**share) for name, share in words["shares"].items()}
            return cls(float(words["total"]), shares, {k: dict(v) for k, v in words["grants"].items()})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(
                "The stored false-alarm ledger cannot be read.", "Open a new period with its own budget."
            ) from error
