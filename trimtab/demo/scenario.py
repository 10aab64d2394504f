"""What the demo knows of its own installation: reads the story from the store and releases the damaged version."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

from core.errors import NotFound
from core.settings import Settings
from core.types import ModelVersion
from store import decisions, deployments, inferences, runs, versions
from store.unit_of_work import Store, Tx
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
        promotions = [row for row in history if row["kind"] == "promote" and row["reason"] != DAMAGED]
        waiting = any(row["kind"] == "promote" for row in decisions.waiting(tx))
        training = runs.working(tx)
        return Story(
            answers=inferences.count_after(tx, 0, kinds=("live",)),
            answers_since_release=inferences.count_after(tx, 0, kinds=("live",), version=version),
            training=training,
            blocked=_trained(tx) is not None and not (training or waiting or promotions),
            promoted=any(row["live_at"] is not None for row in promotions),
            damaged=any(row["reason"] == DAMAGED for row in history),
            rolled_back=any(row["reason"] == DAMAGED and row["state"] == "reverted" for row in history),
        )


def release_damaged(store: Store, settings: Settings, *, now: datetime, share: int = 0) -> str:
    """Damage the newest trained adapter and ask for its release without a gate; returns its name.

    With a `share` in percent a canary offers it to that part of the people first.
    This is what the demo exists to show being caught. Its card, the deployment's reason and the audit chain say so.
    """
    from retrain.artefacts import adopt

    with store.read() as tx:
        trained = _trained(tx)
    if trained is None:
        raise NotFound("No run has made a version yet.", "Approve a run first.")
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "adapter"
        damage(settings.home / trained.path, made, seed=SEED)
        digest, folder = adopt(settings.home, made)
    with store.write(now) as tx:
        name = versions.next_name(tx, settings.deployment)
        damaged = ModelVersion(
            name, digest, "adapter", trained.base, folder, now, parent=trained.name, card={"note": DAMAGED}
        )
        versions.register(tx, damaged, actor="system:demo")
        deployments.request_promotion(tx, settings.deployment, name, actor="system:demo", reason=DAMAGED, share=share)
    return name


def _trained(tx: Tx) -> ModelVersion | None:
    """The newest version that a run made, or None."""
    return next((version for version in versions.listed(tx) if version.kind == "adapter" and version.run), None)
