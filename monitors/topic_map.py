"""The map of what people ask: a sample of now and of the reference on a plane, their topics, and their neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import InvalidInput
from core.types import Estimate, Inference
from estimates.proportions import difference, proportion
from monitors import layout, topics
from monitors.effects import Effects
from monitors.statistics import membership
from store import labelling, monitors, streams
from store.unit_of_work import Tx

MONITOR = "prompt_drift"
FEWEST, MOST = 50, 1000
SHOWN, EXAMPLES, NEAREST = 12, 4, 4
SEED = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A map of the newest `rows` opening exchanges, beside as many of the reference."""

    rows: int

    @classmethod
    def read(cls, args: Mapping[str, Any]) -> Asked:
        """What a command's arguments ask for. Raises InvalidInput where that is no map of bounded size."""
        rows = args.get("rows")
        if not isinstance(rows, int) or not FEWEST <= rows <= MOST:
            raise InvalidInput(f"A map shows {FEWEST} to {MOST} exchanges.", "Give such a number of rows.")
        return cls(rows)


def run(asked: Asked, effects: Effects, report: Callable[[float], None]) -> dict[str, Any]:
    """Draw the map; returns it as JSON. `report` is told the share that is done. Raises InvalidInput on too few."""
    with effects.store.read(effects.clock()) as tx:
        reference, current, of = _sample(tx, effects.settings.deployment, asked.rows)
    missing = FEWEST - min(len(reference), len(current))
    if missing > 0:
        side = "the reference" if len(reference) < len(current) else "the traffic since the reference"
        raise InvalidInput(f"{missing} more exchanges are needed in {side}.", "Wait for traffic, or import some.")
    texts = [row.prompt for row in (*reference, *current)]
    vectors = effects.embed(texts)
    report(0.4)
    then, now = vectors[: len(reference)], vectors[len(reference) :]
    found = topics.shifted_topics(then, texts[: len(then)], now, texts[len(then) :], seed=SEED)[:SHOWN]
    report(0.6)
    return {
        "at": effects.clock().isoformat(),
        "against": of,
        "reference": _span(reference),
        "current": _span(current),
        "points": _points([*reference, *current], vectors, found, len(reference)),
        "topics": [_topic(shift, now, current) for shift in found],
    }


def _sample(tx: Tx, deployment: str, rows: int) -> tuple[list[Inference], list[Inference], str]:
    """The reference's and the newest opening exchanges with words, and what the reference is.

    It is that of the monitor of prompts while one is running, else what came before the newest.
    """
    last = streams.last_key(tx, deployment=deployment)
    watched = next((row for row in monitors.listed(tx) if row["name"] == MONITOR), None)
    epoch = monitors.open_epoch(tx, watched["id"]) if watched else None
    if epoch is not None:
        first, end = epoch["reference_first"], epoch["reference_last"]
        current = streams.openings_before(tx, last, deployment=deployment, wanted=rows, first=end + 1)
        reference = streams.openings_before(tx, end, deployment=deployment, wanted=rows, first=first)
    else:
        found = streams.openings_before(tx, last, deployment=deployment, wanted=2 * rows)
        reference, current = found[: len(found) // 2], found[len(found) // 2 :]
    left_out = labelling.excluded(tx, [row.id for row in reference])
    kept = [row for row in reference if row.id not in left_out and row.prompt.strip()]
    return kept, [row for row in current if row.prompt.strip()], MONITOR if epoch is not None else ""


def _points(rows: Sequence[Inference], vectors: Any, found: Sequence[topics.Shift], of: int) -> dict[str, Any]:
    """The rows column by column, the first `of` being the reference: key, place, first topic (-1: none), the nearest
    others by index, and for rows now the p-value of being from the reference (None where that is too small).
    """
    import numpy as np

    places = layout.plane(vectors, seed=SEED)
    topic = [-1] * len(rows)
    for number, shift in reversed(list(enumerate(found))):
        for index in (*shift.before, *(of + index for index in shift.rows)):
            topic[index] = number
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, -np.inf)
    near = np.argsort(-alike, axis=1, kind="stable")[:, :NEAREST]
    p: list[float | None] = [None] * len(rows)
    distinct = list({row.prompt: index for index, row in enumerate(rows[:of])}.values())
    if len(distinct) >= membership.MINIMUM:
        told = membership.Membership.fit(vectors[distinct], seed=SEED).p_values(vectors[of:])
        p[of:] = [round(float(value), 4) for value in told]
    return {
        "id": [row.id for row in rows],
        "now": [int(index >= of) for index in range(len(rows))],
        "x": places[:, 0].tolist(),
        "y": places[:, 1].tolist(),
        "topic": topic,
        "near": near.tolist(),
        "p": p,
    }


def _topic(shift: topics.Shift, now: Any, current: Sequence[Inference]) -> dict[str, Any]:
    """A topic's shares with their intervals, their difference, and its rows nearest to its middle as examples."""
    own, then = (proportion(n, of) for n, of in ((shift.now, shift.now_of), (shift.reference, shift.reference_of)))
    rows = list(shift.rows)
    order = (-(now[rows] @ now[rows].mean(axis=0))).argsort(kind="stable") if rows else []
    examples = {current[rows[place]].prompt: current[rows[place]].id for place in reversed(list(order))}
    return {
        **shift.as_json(),
        "share": _json(own),
        "was": _json(then),
        "difference": _json(difference(own, then)),
        "examples": list(examples.values())[::-1][:EXAMPLES],
    }


def _json(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}


def _span(rows: Sequence[Inference]) -> dict[str, Any]:
    return {"rows": len(rows), "from": rows[0].at.isoformat(), "to": rows[-1].at.isoformat()}
