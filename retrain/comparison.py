"""Registered versions side by side: what the gate asks a candidate, asked of each, with speed and cost beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from math import exp, log
from typing import Any

from core.errors import InvalidInput
from core.settings import CostSettings
from core.types import Estimate
from estimates.crossed import crossed_ratio
from estimates.means import mean, paired_difference
from estimates.products import part, product, scaled, total
from estimates.proportions import LEVEL
from retrain.candidate import Bench, Tell
from retrain.gate import FEWEST_TURNS
from retrain.proposals import SEED

FEWEST, MOST = 2, 6


async def compare(bench: Bench, names: Sequence[str], *, tell: Tell) -> dict[str, Any]:
    """Ask the versions `names` the same and return their rows, as `describe` makes them; the first is what the others
    are compared with.

    Raises InvalidInput unless there are two to six different ones, Unavailable where the server cannot load one.
    """
    chosen = check_names(names)
    for name in chosen:
        # Asking for a print lets the server load the version, so that no turn pays for it.
        await bench.asker.fingerprint(name)
    found = await bench.ask({name: name for name in chosen}, seed=SEED, tell=tell)
    return describe(chosen, found, bench.settings.cost)


def check_names(names: Sequence[str]) -> list[str]:
    """The names, each once. Raises InvalidInput for fewer than two or more than six."""
    chosen = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not FEWEST <= len(chosen) <= MOST:
        raise InvalidInput(f"{len(chosen)} versions cannot be compared.", f"Name {FEWEST} to {MOST} different ones.")
    return chosen


def describe(names: Sequence[str], found: Mapping[str, Any], cost: CostSettings) -> dict[str, Any]:
    """{"baseline": name, "prompts": n, "versions": {name: {measure: {"value": ..., "difference": ...}}}}.

    Values and paired differences from the first version are Estimates as JSON. seconds_a_token is the geometric mean
    over turns, its difference a share; cost is that of 1,000 such answers at the prices set (see `_cost`), with the
    server's seconds of answers that were under way together counted once. It is left out where no price is set, and
    tokens_an_answer too where nothing tells them.
    """
    base = names[0]
    return {
        "baseline": base,
        "prompts": len(found["tokens"][base]),
        "versions": {name: _describe(name, base, found, cost) for name in names},
    }


def _describe(name: str, base: str, found: Mapping[str, Any], cost: CostSettings) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for measure, values in {**found["rates"], "answer_length": found["length"]}.items():
        rows = _both(values, name, base)
        out[measure] = _measure([float(n) for n, *_ in rows], [float(o) for _, o, _ in rows], [g for *_, g in rows])
    turns = [
        (new, old) for new, old in zip(*(found["latency"][who] for who in (name, base)), strict=True) if new and old
    ]
    out["seconds_a_token"] = {
        "value": asdict(_geometric([new for new, _ in turns])),
        "difference": asdict(_geometric([new / old for new, old in turns], less=1.0)),
    }
    rows = _both(found["tokens"], name, base)
    if rows:
        groups = [group for *_, group in rows]
        out["tokens_an_answer"] = {
            "value": asdict(_count([new for new, *_ in rows], groups)),
            "difference": asdict(_count([new - old for new, old, _ in rows], groups)),
        }
        if cost.completion_million or cost.server_hour:
            out["cost_of_1000_answers"] = {**_cost(rows, turns, cost), "currency": cost.currency}
    return out


def _cost(
    rows: Sequence[tuple[float, float, Any]], turns: Sequence[tuple[float, float]], cost: CostSettings
) -> dict[str, Any]:
    """What 1,000 answers cost, and how much more than those of the first version, as Estimates in JSON.

    An answer's tokens (a clustered mean over prompts) times a token's price, of which the server's part follows from
    the seconds a token (the geometric mean over turns). The value has the product of the ends of both. The difference
    is linearised in both: what the prompts' tokens add at each version's mean price, paired by prompt and clustered,
    and what the turns' pace adds at each version's mean tokens, paired by turn. Tokens and pace come from the same
    answers and need not be independent: each part is taken at 97.5 %, so that both hold with 95 % (Bonferroni).
    Where the server has no price only tokens count, at 95 %.
    """
    groups, a_token, a_second = [group for *_, group in rows], cost.completion_million / 1e3, cost.server_hour / 3.6
    if not a_second:
        value = _count([a_token * new for new, *_ in rows], groups)
        return {
            "value": asdict(value),
            "difference": asdict(_count([a_token * (new - old) for new, old, _ in rows], groups)),
        }
    level = part()
    tokens, before = (_count([row[place] for row in rows], groups, level) for place in (0, 1))
    pace, earlier = (_geometric([turn[place] for turn in turns], level=level) for place in (0, 1))
    value = product(tokens, scaled(pace, a_second, a_token))
    if tokens.value is None or before.value is None or pace.value is None or earlier.value is None:
        return {"value": asdict(value), "difference": asdict(value)}
    price, price_before = a_token + a_second * pace.value, a_token + a_second * earlier.value
    told = _count([price * new - price_before * old for new, old, _ in rows], groups, level)
    mine, theirs = a_second * tokens.value * pace.value, a_second * before.value * earlier.value
    # The logarithms' own means are in the prices: what is left is 0 and has the turns' spread.
    moved = [mine * log(new / pace.value) - theirs * log(old / earlier.value) for new, old in turns]
    paced = crossed_ratio(moved, [1.0] * len(moved), range(len(moved)), minimum=FEWEST_TURNS, level=level)
    return {"value": asdict(value), "difference": asdict(total(told, paced))}


def _both(values: Mapping[str, Any], name: str, base: str) -> list[tuple[Any, Any, Any]]:
    """(value, the first version's, group) of each prompt that both were measured on."""
    rows = zip(values[name], values[base], values["groups"], strict=True)
    return [(new, old, group) for new, old, group in rows if new is not None and old is not None]


def _count(tokens: Sequence[float], groups: Sequence[Any], level: float = LEVEL) -> Estimate:
    return crossed_ratio(tokens, [1.0] * len(tokens), groups, level=level)


def _measure(new: Sequence[float], old: Sequence[float], groups: Sequence[Any]) -> dict[str, Any]:
    return {
        "value": asdict(mean(new, low=0.0, high=1.0, clusters=groups)),
        "difference": asdict(paired_difference(new, old, clusters=groups)),
    }


def _geometric(values: Sequence[float], less: float = 0.0, level: float = LEVEL) -> Estimate:
    """The geometric mean of one value a turn, less `less`."""
    logs = [log(value) for value in values]
    found = crossed_ratio(logs, [1.0] * len(logs), range(len(logs)), minimum=FEWEST_TURNS, level=level)
    if found.value is None or found.low is None or found.high is None:
        return found
    value, low, high = (exp(end) - less for end in (found.value, found.low, found.high))
    return replace(found, value=value, low=low, high=high)
