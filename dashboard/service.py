"""Service levels and cost of groups of requests: how long, how often failed, how many tokens, how much money. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.settings import CostSettings
from core.types import Estimate
from estimates.means import mean
from estimates.proportions import difference, proportion
from estimates.quantiles import quantile

VERSION = "version"
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
MOST_GROUPS = 12


@dataclass(frozen=True, slots=True)
class Group:
    """The requests of one version or segment. Times in milliseconds, speed in tokens a second of an answer."""

    name: str
    requests: int
    latency: Mapping[str, Estimate]
    first_token: Estimate
    errors: Estimate
    speed: Estimate
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    computing: float | None
    computed: int
    money: float


def cuts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What requests can be grouped by: their version, then each label that any of them has."""
    return [VERSION, *sorted({name for row in rows for name in row["labels"]})]


def within(rows: Sequence[Mapping[str, Any]], since: datetime) -> list[Mapping[str, Any]]:
    """The rows at or after `since`."""
    return [row for row in rows if row["at"] >= since]


def groups(rows: Sequence[Mapping[str, Any]], by: str, rates: CostSettings) -> list[Group]:
    """The largest groups first, at most MOST_GROUPS; requests without the label come under an empty name."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        name = row["version"] if by == VERSION else row["labels"].get(by, "")
        found.setdefault(str(name), []).append(row)
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return [measure(name, own, rates) for name, own in ordered[:MOST_GROUPS]]


def measure(name: str, rows: Sequence[Mapping[str, Any]], rates: CostSettings) -> Group:
    """One group. Errors are those of the monitor `errors`: 500 and above and answers broken off, 400 to 499 left out.

    Money is tokens at their prices plus seconds at the server's price an hour: an answer's part of the computing time
    where the server tells it, else the time of its request. The latter counts answers made at the same time one by
    one: an upper limit of a server's time. `computing` sums the former, in seconds, over the `computed` answers that
    came with it; None where none did.
    """
    answered = [row for row in rows if row["status"] == 200]
    times = [row["latency_ms"] for row in answered if row["latency_ms"] is not None]
    firsts = [row["first_token_ms"] for row in answered if row["first_token_ms"] is not None]
    speeds = [
        1000 * row["completion_tokens"] / row["latency_ms"]
        for row in answered
        if row["latency_ms"] and row["completion_tokens"]
    ]
    counted = [row for row in rows if not 400 <= row["status"] < 500]
    asked, told = (sum(row[field] for row in rows) for field in ("prompt_tokens", "completion_tokens"))
    told_by_server = [row["compute_ms"] / 1000 for row in rows if row["compute_ms"] is not None]
    return Group(
        name=name,
        requests=len(rows),
        latency={word: quantile(times, q) for word, q in QUANTILES.items()},
        first_token=quantile(firsts, 0.95),
        errors=proportion(sum(row["status"] >= 500 or bool(row["error"]) for row in counted), len(counted)),
        speed=quantile(speeds, 0.5),
        prompt_tokens=asked,
        completion_tokens=told,
        seconds=sum(row["latency_ms"] or 0.0 for row in rows) / 1000,
        computing=sum(told_by_server) if told_by_server else None,
        computed=len(told_by_server),
        money=price(asked, told, sum(map(_seconds_of, rows)), rates),
    )


def price(prompt_tokens: int, completion_tokens: int, seconds: float, rates: CostSettings) -> float:
    """What tokens and seconds of a server cost at these rates, in their currency."""
    tokens = prompt_tokens * rates.prompt_million + completion_tokens * rates.completion_million
    return tokens / 1_000_000 + seconds / 3600 * rates.server_hour


def priced(rates: CostSettings) -> bool:
    """Whether any rate is set."""
    return any((rates.prompt_million, rates.completion_million, rates.server_hour))


@dataclass(frozen=True, slots=True)
class Payback:
    """What training cost and saves. `answers` bounds how many answers pay it back; None: no such bound.

    `better` is the share of judged answers disliked before less that after.
    """

    cost: float
    better: Estimate
    answers: tuple[float | None, float | None]


def payback(hours: float, before: tuple[int, int], after: tuple[int, int], rates: CostSettings) -> Payback:
    """Cost = hours x training_hour. Each answer saves better x poor_answer, so cost / that many answers pay it back.

    `before` and `after` are (disliked, judged) answers of the parent and of the trained version. The bounds follow from
    the limits of the difference; where its lower limit is not above 0, training may never pay.
    """
    cost = hours * rates.training_hour
    better = difference(proportion(*before), proportion(*after))

    def answers(limit: float | None) -> float | None:
        return cost / (limit * rates.poor_answer) if limit is not None and limit * rates.poor_answer > 0 else None

    return Payback(cost, better, (answers(better.high), answers(better.low)))


@dataclass(frozen=True, slots=True)
class Saving:
    """What a version's answers cost less than those of its parent: `each` a live answer, `so_far` over those given.

    `answers` bounds how many answers pay the training back (None: no such bound, never at that limit).
    """

    each: Estimate
    so_far: tuple[float, float] | None
    answers: tuple[float | None, float | None]


def saving(
    cost: float,
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
    answered: int,
    rates: CostSettings,
) -> Saving:
    """The mean price of the parent's answers less that of the version's, with an interval over conversations.

    `before` and `after` are answered requests of both, `answered` how many the version has answered. The limits of
    `each` carry over to the rest. Traffic may have changed between the two: this compares what was asked of each.
    """
    then, now = ([_price_of(row, rates) for row in rows] for rows in (before, after))
    highest = max([*then, *now], default=0.0) or 1.0
    old, new = (
        mean(prices, low=0.0, high=highest, clusters=[row["conversation"] or f"#{row['id']}" for row in rows])
        for prices, rows in ((then, before), (now, after))
    )
    each = difference(old, new, low=-highest, high=highest)

    def answers(limit: float | None) -> float | None:
        return cost / limit if limit is not None and limit > 0 else None

    so_far = None if each.low is None or each.high is None else (each.low * answered, each.high * answered)
    return Saving(each, so_far, (answers(each.high), answers(each.low)))


def _price_of(row: Mapping[str, Any], rates: CostSettings) -> float:
    return price(row["prompt_tokens"], row["completion_tokens"], _seconds_of(row), rates)


def _seconds_of(row: Mapping[str, Any]) -> float:
    """What an answer took of a server: its part of the computing time, or the time of its request where that is all."""
    told = row["compute_ms"] if row["compute_ms"] is not None else row["latency_ms"]
    return (told or 0.0) / 1000
