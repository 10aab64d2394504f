"""Datasets: immutable sets of pairs, each known by the digest of what it holds and on which side."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from core import events
from core.errors import Conflict, NotFound
from core.types import PreferencePair
from store.pairs import content_digest, read
from store.tables import dataset_pairs, datasets, pairs, runs, versions
from store.unit_of_work import Tx


def lock(
    tx: Tx,
    *,
    train: Sequence[PreferencePair],
    held_out: Sequence[PreferencePair],
    card: Mapping[str, Any],
    actor: str,
    digest: str = "",
) -> sa.RowMapping:
    """Record which pairs train and which are held out; returns the row (id, uuid, digest, counts, card).

    The same pairs on the same sides with the same weights are the same dataset, whatever the order. `digest` is theirs
    (`digest_of`), where the caller has worked it out before.
    """
    made = digest or digest_of(train, held_out)
    found = tx.one(sa.select(datasets).where(datasets.c.digest == made))
    if found is not None:
        return found
    uuid = str(uuids.uuid4())
    id = tx.insert(
        datasets,
        uuid=uuid,
        digest=made,
        created_at=tx.now,
        train_pairs=len(train),
        held_out_pairs=len(held_out),
        card={**card, "digest": made},
    )
    for split, side in (("train", train), ("held_out", held_out)):
        rows = [{"dataset_id": id, "pair_id": pair.id, "split": split, "weight": pair.weight} for pair in side]
        if rows:
            tx.execute(sa.insert(dataset_pairs), rows)
    body = {"digest": made, "train_pairs": len(train), "held_out_pairs": len(held_out)}
    tx.audit(actor, "dataset.locked", uuid, body)
    return get(tx, id)


def digest_of(train: Sequence[PreferencePair], held_out: Sequence[PreferencePair]) -> str:
    """What makes two datasets the same dataset."""
    return events.digest({"train": _contents(train), "held_out": _contents(held_out)} | _weights(train))


def get(tx: Tx, id: int) -> sa.RowMapping:
    """The dataset with the integer key `id`. Raises NotFound."""
    row = tx.one(sa.select(datasets).where(datasets.c.id == id))
    if row is None:
        raise NotFound("There is no such dataset.", "Reload the page.")
    return row


def named(tx: Tx, digest: str) -> sa.RowMapping:
    """The dataset whose content has this digest. Raises NotFound."""
    row = tx.one(sa.select(datasets).where(datasets.c.digest == digest))
    if row is None:
        raise NotFound("There is no such dataset.", "Choose one on the Preference data page.")
    return row


def require_approved(tx: Tx, id: int) -> None:
    """Raises Conflict when a pair of the dataset is no longer approved: what was held since must not train."""
    held = sa.select(sa.func.count()).select_from(pairs).join(dataset_pairs, dataset_pairs.c.pair_id == pairs.c.id)
    gone = int(tx.scalar(held.where(dataset_pairs.c.dataset_id == id, pairs.c.state != "approved")) or 0)
    if gone:
        raise Conflict(f"Of the dataset's pairs {gone} are no longer approved.", "Lock a new dataset.")


def members(tx: Tx, id: int, split: str) -> list[PreferencePair]:
    """The pairs of one side (train or held_out) with the weights they were locked with, by key."""
    side = dataset_pairs.c.dataset_id == id, dataset_pairs.c.split == split
    chosen = sa.select(pairs).join(dataset_pairs, dataset_pairs.c.pair_id == pairs.c.id)
    told = tx.all(sa.select(dataset_pairs.c.pair_id, dataset_pairs.c.weight).where(*side))
    weights = {row["pair_id"]: row["weight"] for row in told}
    found = read(tx, chosen.where(*side).order_by(pairs.c.id))
    return [pair if weights[pair.id] is None else replace(pair, weight=weights[pair.id]) for pair in found]


def learnt_by(tx: Tx, version: str) -> set[int]:
    """The keys of the pairs that `version`, or a version that it was trained from, learnt from."""
    found: set[int] = set()
    seen: set[str] = set()
    while version and version not in seen:
        seen.add(version)
        made = sa.select(versions.c.parent, runs.c.dataset_id).outerjoin(runs, runs.c.id == versions.c.run_id)
        row = tx.one(made.where(versions.c.name == version))
        if row is None:
            break
        if row["dataset_id"] is not None:
            side = dataset_pairs.c.dataset_id == row["dataset_id"], dataset_pairs.c.split == "train"
            found |= {int(pair["pair_id"]) for pair in tx.all(sa.select(dataset_pairs.c.pair_id).where(*side))}
        version = row["parent"]
    return found


def _weights(side: Sequence[PreferencePair]) -> dict[str, list[str]]:
    """What the digest says of pairs that do not count whole; nothing where all do."""
    told = [
        f"{content_digest(pair.prompt, pair.chosen, pair.rejected)} {pair.weight:.6f}"
        for pair in side
        if pair.weight != 1
    ]
    return {"weights": sorted(told)} if told else {}


def _contents(side: Sequence[PreferencePair]) -> list[str]:
    return sorted(content_digest(pair.prompt, pair.chosen, pair.rejected) for pair in side)
