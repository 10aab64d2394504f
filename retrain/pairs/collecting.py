"""Collects preference pairs from everything that people and probes said since the last time, each exactly once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from core.types import PreferencePair
from retrain.pairs import building, joining, probing
from store import pairs
from store.unit_of_work import Store, Tx


def derive(store: Store, now: datetime, *, consent: str = "") -> int:
    """Collect what takes comparing: joined thumbs and failed probes; returns how many pairs are new.

    The comparing is done outside any transaction, so that captures do not wait for it.
    """
    with store.read(now) as tx:
        told, used, thumbs_read = joining.read(tx)
        probed, passes_read = probing.read(tx)
    joined = joining.join(told, used, consent=consent)
    corrected = probing.pair_up(probed, consent=consent)
    if not told and not probed:
        return 0
    with store.write(now) as tx:
        return _keep(tx, joining.SEEN, thumbs_read, joined) + _keep(tx, probing.SEEN, passes_read, corrected)


def _keep(tx: Tx, source: str, read: int, made: Mapping[str, PreferencePair]) -> int:
    new = pairs.add(tx, list(made.values()), actor=building.ACTOR, source_keys=list(made))
    if read > pairs.seen(tx, source):
        pairs.set_seen(tx, source, read, actor=building.ACTOR)
    return new
