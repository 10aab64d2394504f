"""What people say of a detector: whether it read an answer right. Their word overrules it and measures it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from core.roles import Action
from store import accounts, inferences
from store.tables import detector_labels
from store.tables import inferences as exchanges
from store.unit_of_work import Tx


@dataclass(frozen=True, slots=True)
class Counts:
    """A detector against labels: `found` of `positives` it showed, `passed` of `negatives` it let pass."""

    found: int
    positives: int
    passed: int
    negatives: int


def put(tx: Tx, *, inference: str, detector: str, told: bool, truth: bool, drawn: bool, actor: str) -> None:
    """Keep whether the exchange `inference` shows (`truth`) what the detector said it does (`told`).

    `drawn`: the exchange was drawn for labelling, not picked because it looked wrong; only such labels measure the
    detector. A second label of the same exchange takes the first one's place. Raises NotFound, Forbidden.
    """
    accounts.require(tx, actor, Action.LABEL)
    row = inferences.by_uuid(tx, inference)
    values = {"told": told, "truth": truth, "drawn": drawn, "actor": actor, "at": tx.now}
    tx.upsert(detector_labels, ["inference_id", "detector"], inference_id=row.id, detector=detector, **values)
    body = {"detector": detector, "told": told, "truth": truth, "drawn": drawn}
    tx.audit(actor, "detector.labelled", inference, body)


def of(tx: Tx, uuids: Sequence[str]) -> dict[str, sa.RowMapping]:
    """The labels of these exchanges by their uuid."""
    query = sa.select(detector_labels, exchanges.c.uuid).join(
        exchanges, exchanges.c.id == detector_labels.c.inference_id
    )
    return {row["uuid"]: row for row in tx.all(query.where(exchanges.c.uuid.in_(list(uuids))))} if uuids else {}


def overruled(tx: Tx, uuids: Sequence[str]) -> frozenset[str]:
    """Those of these exchanges of which a person said that the detector read them wrong."""
    return frozenset(uuid for uuid, row in of(tx, uuids).items() if row["told"] != row["truth"])


def counts(tx: Tx, detector: str) -> Counts:
    """How the detector did on the answers that were drawn for labelling."""
    told, truth = detector_labels.c.told, detector_labels.c.truth
    query = sa.select(told, truth, sa.func.count().label("n")).where(
        detector_labels.c.detector == detector, detector_labels.c.drawn
    )
    n = {(bool(row["told"]), bool(row["truth"])): int(row["n"]) for row in tx.all(query.group_by(told, truth))}
    hits, misses = n.get((True, True), 0), n.get((False, True), 0)
    passes, alarms = n.get((False, False), 0), n.get((True, False), 0)
    return Counts(hits, hits + misses, passes, passes + alarms)
