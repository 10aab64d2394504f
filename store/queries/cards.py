"""The facts of a model card: what a version is, what it was trained on and how it was judged, from immutable rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from core.cards import UNKNOWN
from store.queries import models
from store.tables import datasets
from store.unit_of_work import Tx

_TRAINING = {
    "trainer": "Trainer",
    "finetuning_type": "Trained weights",
    # Few pairs make fewer.
    "steps": "Steps at most",
    "max_steps": "Steps at most",
    "pairs_per_step": "Pairs a step",
    "lr": "Learning rate",
    "beta": "Beta",
    "seed": "Seed",
}


def facts(tx: Tx, name: str) -> dict[str, Any] | None:
    """What the card of the version `name` tells, as JSON; None where there is no such version."""
    row = models.one(tx, name)
    if row is None:
        return None
    chain = models.lineage(tx, name)
    root = next((one for one in chain if one["kind"] == "remote" or (one["kind"] == "base" and not one["path"])), None)
    licence = str(root["card"].get("licence", UNKNOWN)) if root is not None else UNKNOWN
    spec = row["card"].get("spec", {})
    told = {label: spec[field] for field, label in _TRAINING.items() if field in spec}
    if row["run_uuid"]:
        told["Run"] = row["run_uuid"]
    for field, label, noun in (("thumbs", "Thumbs", "answers"), ("texts", "Adapted first to", "questions")):
        if isinstance(lot := row["card"].get(field), Mapping):
            told[label] = f"{lot.get('rows')} {noun}, digest {lot.get('digest')}"
    of_base = root is not None and root["name"] != name
    return {
        "name": row["name"],
        "kind": row["kind"],
        "digest": row["digest"],
        "fingerprint": row["fingerprint"],
        "created_at": row["created_at"].isoformat(),
        "parent": row["parent"],
        "licence": licence,
        "base": {"name": root["name"], "digest": root["digest"], "licence": licence} if root and of_base else None,
        "training": told,
        "data": _data(tx, str(row["card"].get("dataset", ""))),
        "gate": _gate(models.gate(tx, row["id"])),
    }


def _data(tx: Tx, digest: str) -> dict[str, Any] | None:
    row = tx.one(sa.select(datasets.c.digest, datasets.c.card).where(datasets.c.digest == digest))
    if row is None:
        return None
    card = row["card"]
    names = ("sources", "licences")
    return {
        "digest": row["digest"],
        "pairs": card.get("pairs", {}),
        **{name: card.get(name, {}) for name in names},
        "from": card.get("from", ""),
        "to": card.get("to", ""),
        "contributors": card.get("contributors", 0),
    }


def _gate(row: Mapping[Any, Any] | None) -> dict[str, Any] | None:
    if row is None:
        return None
    kept = ("name", "verdict", "estimate", "limit")
    checks = [{name: check.get(name) for name in kept} for check in row["checks"]]
    told = {"verdict": row["verdict"], "champion": row["champion"], "at": row["at"].isoformat()}
    return {**told, "digest": row["digest"], "checks": checks}
