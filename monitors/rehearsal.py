"""A backtest over the traffic that the store holds, as a page asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import InvalidInput
from core.thinning import Thinning
from core.types import Inference
from monitors.backtest import backtest, summarise
from monitors.effects import Effects, Embed
from store import inferences, monitors, streams
from store.unit_of_work import Tx

MOST_ROWS = 20_000
MOST_LOOKS = 500
SEED = 0


@dataclass(frozen=True, slots=True)
class Encoding:
    """The process's encoder, with its cache, as a backtest asks it."""

    ask: Embed

    def embed(self, texts: Sequence[str]) -> Any:
        """One vector a text."""
        return self.ask(texts)


@dataclass(frozen=True, slots=True)
class Asked:
    """The newest `rows` of traffic, of which the first `reference` are compared with, a look every `every` rows.

    With `one_in` above 1 the rows are the newest conversations that an epoch would read of them.
    """

    monitor: str
    rows: int
    reference: int
    every: int
    budget: float
    one_in: int = 1

    @classmethod
    def read(cls, args: Mapping[str, Any]) -> Asked:
        """What a command's arguments ask for. Raises InvalidInput where they are no backtest of bounded size."""
        numbers = [args.get(name, 1) for name in ("rows", "reference", "every", "one_in")]
        budget = args.get("budget")
        if not all(isinstance(number, int) for number in numbers) or not isinstance(budget, int | float):
            raise InvalidInput("That is no backtest.", "Give rows, reference, every and budget as numbers.")
        rows, reference, every, one_in = (int(number or 0) for number in numbers)
        if not 1 <= rows <= MOST_ROWS:
            raise InvalidInput(f"A backtest here reads 1 to {MOST_ROWS:,} rows.", "For more: trimtab backtest.")
        if reference < 1 or not 0 < budget < 1:
            raise InvalidInput("The reference counts rows, the budget is a probability.", "Give 0.1, for one in ten.")
        if every < 1 or (rows - reference) / every > MOST_LOOKS:
            raise InvalidInput(f"That would be more than {MOST_LOOKS} looks.", "Put more rows between two looks.")
        if one_in < 1:
            raise InvalidInput("One conversation in so many is read.", "Give 1 to read every one.")
        return cls(str(args.get("monitor", "")), rows, reference, every, float(budget), one_in)


def run(asked: Asked, effects: Effects, report: Callable[[float], None]) -> dict[str, Any]:
    """Replay what was asked; returns the looks and the summary as JSON. `report` is told the share that is done.

    Raises NotFound, and InvalidInput where the traffic is too little or the monitor cannot be replayed on traffic.
    """
    with effects.store.read(effects.clock()) as tx:
        monitor = monitors.get(tx, asked.monitor)
        deployment = str(monitor["params"].get("deployment") or effects.settings.deployment)
        traffic = _newest(tx, deployment, asked)
    if len(traffic) <= asked.reference:
        raise InvalidInput(
            f"There are {len(traffic)} rows of traffic, and the reference alone takes {asked.reference}.",
            "Take a smaller reference, or wait for more traffic.",
        )
    looks = []
    for look in backtest(
        monitor["metric"],
        traffic,
        reference=asked.reference,
        every=asked.every,
        budget=asked.budget,
        encoder=Encoding(effects.embed),
        seed=SEED,
    ):
        looks.append(look)
        report(look.seen / len(traffic))
    sizes = {"rows": len(traffic), "reference": asked.reference, "every": asked.every, "one_in": asked.one_in}
    summary = dict(summarise(asked.monitor, looks, budget=asked.budget, **sizes))
    span = {"from": traffic[0].at.isoformat(), "to": traffic[-1].at.isoformat()}
    return {"looks": [look.as_json() for look in looks], "summary": {**summary, **span}}


def _newest(tx: Tx, deployment: str, asked: Asked) -> list[Inference]:
    if asked.one_in > 1:
        rule = Thinning(asked.one_in, SEED)
        last = streams.last_key(tx, deployment=deployment)
        return streams.openings_before(tx, last, deployment=deployment, wanted=asked.rows, thinning=rule)
    return inferences.by_ids(tx, streams.newest_keys(tx, deployment=deployment, limit=asked.rows))
