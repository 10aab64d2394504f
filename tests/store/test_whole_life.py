"""A run that trains all weights, from its queueing through gate and override to the live version and back, in the
product's own processes and with answers of the model itself."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from config.secrets import internal_key
from core.settings import Settings
from retrain.decide import ask_override
from store import accounts, audit, decisions, deployments, versions
from store.unit_of_work import Store
from tests import runs_world as world

SECOND = "bea"
OVER = ("succeeded", "failed", "cancelled")


def ask(settings: Settings) -> str:
    """What the version that serves answers to one question."""
    messages = [{"role": "user", "content": "abc 1?"}]
    asked = {"model": settings.deployment, "max_tokens": 12, "temperature": 0, "messages": messages}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {internal_key(settings)}"}
    request = urllib.request.Request(
        f"{settings.gateway_url}/v1/chat/completions", json.dumps(asked).encode(), headers, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(json.loads(response.read())["choices"][0]["message"]["content"])


def run_over(store: Store, uuid: str) -> bool:
    return str(world.get(store, uuid)["state"]) in OVER


def promote(store: Store, settings: Settings, candidate: str) -> None:
    """Let it go live: past the gate with a second person if it did not pass."""
    if world.approve_promotion(store):
        return
    with store.read() as tx:
        report = versions.latest_report(tx, candidate)
    assert report is not None
    with store.write(world.now()) as tx:
        accounts.create(tx, SECOND, "another long pass phrase", "approver", actor="system:test")
        ask_override(
            tx, settings, actor=SECOND, version=candidate, report=report["digest"], reason="A toy: it says little."
        )
    assert world.approve_promotion(store)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_weights_are_trained_judged_served_and_rolled_back(tmp_path: Path) -> None:
    settings = world.build(tmp_path, server="transformers_local", full=True)
    with world.serving(settings) as store:
        worker = world.start(settings, "retrain")
        try:
            before = ask(settings)
            uuid = world.queue(store, settings, steps=60)
            world.wait_until(lambda: run_over(store, uuid), 300.0)
            row = world.get(store, uuid)
            assert row["state"] == "succeeded", row["message"]
            with store.read() as tx:
                version = versions.get(tx, row["candidate"])
            assert version.is_whole
            promote(store, settings, version.name)
            world.wait_until(lambda: world.is_live(store, settings, version.name), 60.0)
            after = ask(settings)
            assert after != before  # 60 steps at this rate move a tiny model a long way
            with store.write(world.now()) as tx:
                deployments.roll_back(tx, settings.deployment, actor=world.APPROVER, reason="Back to the base.")
            world.wait_until(lambda: world.is_live(store, settings, f"{settings.deployment}-base"), 60.0)
            assert ask(settings) == before
            with store.read() as tx:
                assert audit.verify(tx).bad is None
                assert not decisions.waiting(tx)
        finally:
            worker.terminate()
            worker.wait()
