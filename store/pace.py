"""How much a day brings, told from a bounded number of look-ups however much that is."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil

import sqlalchemy as sa

from core.thinning import Thinning
from store import streams
from store.tables import feedback, inferences
from store.unit_of_work import Tx

DAY = timedelta(days=1)
# Keys looked up: a share of them is then known to a few per cent.
LOOKED_UP = 1000


def openings(tx: Tx, *, deployment: str) -> float:
    """About how many conversations began in the day before the newest exchange, as far as that was captured."""
    found = _last_day(tx)
    if found is None:
        return 0.0
    first, last, since = found
    draw = _draw(first, last)
    keys = draw.after(first - 1, last, 2 * LOOKED_UP)
    return float(draw.one_in * len(streams.openings_at(tx, keys, deployment=deployment, since=since)))


def judgements(tx: Tx, *, deployment: str) -> float:
    """About how many answers of that day were judged."""
    found = _last_day(tx)
    if found is None:
        return 0.0
    early = feedback.c.inference_id >= found[0]
    first = tx.scalar(sa.select(feedback.c.id).where(early).order_by(feedback.c.inference_id).limit(1))
    if first is None:
        return 0.0
    last = int(tx.scalar(sa.select(sa.func.max(feedback.c.id))))
    draw = _draw(int(first), last)
    rows, _ = streams.judgements_drawn(
        tx,
        int(first) - 1,
        thinning=draw,
        deployment=deployment,
        limit=2 * LOOKED_UP,
        from_inference=found[0],
    )
    return float(draw.one_in * len(rows))


def _last_day(tx: Tx) -> tuple[int, int, datetime] | None:
    """The first key of the newest exchange's day, its own key, and when that day began; None without traffic."""
    last = tx.scalar(sa.select(sa.func.max(inferences.c.id)))
    if last is None:
        return None
    since = tx.scalar(sa.select(inferences.c.at).where(inferences.c.id == last)) - DAY
    first = tx.scalar(sa.select(inferences.c.id).where(inferences.c.at >= since).order_by(inferences.c.at).limit(1))
    return int(first), int(last), since


def _draw(first: int, last: int) -> Thinning:
    return Thinning(max(1, ceil((last - first + 1) / LOOKED_UP)))
