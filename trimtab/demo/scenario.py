"""What the demo knows of its own installation: reads the story from the store and releases the damaged version."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

from core.settings import Settings
from core.types import ModelVersion
from store import deployments, inferences, runs, versions
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
        history = deployments.history(tx, settings.deployment)
        return Story(
            answers=inferences.count_after(tx, 0, kinds=("live",)),
            answers_since_release=inferences.count_after(tx, 0, kinds=("live",), version=version),
            training=runs.working(tx),
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
        damage(settings.home / live.path, made, seed=SEED)
        digest, folder = adopt(settings.home, made)
    with store.write(now) as tx:
        name = versions.next_name(tx, settings.deployment)
        damaged = ModelVersion(
            name, digest, "adapter", live.base, folder, now, parent=live.name, card={"note": DAMAGED}
        )
        versions.register(tx, damaged, actor="system:demo")
        deployments.request_promotion(tx, settings.deployment, name, actor="system:demo", reason=DAMAGED)
    return name
