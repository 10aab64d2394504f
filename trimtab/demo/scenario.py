"""What the demo knows of its own installation: reads the story from the store and releases the damaged version."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from core.settings import Settings
from store import deployments, inferences, versions
from store.tables import deployments as deployment_table
from store.tables import runs
from store.tables import versions as version_table
from store.unit_of_work import Store
from trimtab.demo.phases import Story
from trimtab.demo.regression import damage

DAMAGED = "demo: damaged on purpose"
SEED = 11


def read(store: Store, settings: Settings) -> Story:
    """The story so far."""
    with store.read() as tx:
        route = deployments.current(tx, settings.deployment)
        version = str(route["version"]) if route is not None else ""
        live = sa.select(deployment_table.c.kind, deployment_table.c.reason, deployment_table.c.state)
        history = [dict(row) for row in tx.all(live.order_by(deployment_table.c.id))]
        working = tx.scalar(
            sa.select(sa.func.count()).select_from(runs).where(runs.c.state.in_(("queued", "running", "crashed")))
        )
        return Story(
            answers=inferences.count_after(tx, 0, kinds=("live",)),
            answers_since_release=inferences.count_after(tx, 0, kinds=("live",), version=version),
            training=bool(working),
            promoted=any(row["kind"] == "promote" and row["state"] in ("live", "superseded") for row in history),
            damaged=any(row["reason"] == DAMAGED for row in history),
            rolled_back=any(row["reason"] == DAMAGED and row["state"] == "reverted" for row in history),
        )


def release_damaged(store: Store, settings: Settings, *, now: datetime) -> str:
    """Damage the adapter that is live and ask for its release without a gate; returns its name.

    This is what the demo exists to show being caught. Its card, the deployment's reason and the audit chain say so.
    """
    from retrain.artefacts import adopt

    with store.read() as tx:
        route = deployments.current(tx, settings.deployment)
        assert route is not None
        live = versions.get(tx, str(route["version"]))
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "adapter"
        damage(Path(live.path), made, seed=SEED)
        folder, digest = adopt(settings, made)
    with store.write(now) as tx:
        name = versions.next_name(tx, settings.deployment)
        tx.insert(
            version_table,
            name=name,
            digest=digest,
            kind="adapter",
            base=live.base,
            path=str(folder),
            parent=live.name,
            card={"note": DAMAGED},
            created_at=now,
        )
        deployments.request_promotion(tx, settings.deployment, name, actor="system:demo", reason=DAMAGED)
    return name
