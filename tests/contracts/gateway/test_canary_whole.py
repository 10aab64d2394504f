"""The whole of a canary without a model: gateway, worker and people who judge, from the approval to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.settings import RetrainSettings, Settings
from core.types import ModelVersion
from gateway.servers.scripted import Scripted
from retrain.asking import Asker
from retrain.release import Releaser
from retrain.trial import Trials
from store import audit, deployments, tables, versions
from store.unit_of_work import Store

from .conftest import INTERNAL, World, now, run_gateway, wait_until

OLD, NEW = "assistant-base", "assistant-new"
SHARE, AT_ONCE = 50, 20


class Site:
    """A gateway, the worker's release loop beside it, and the deployment that is asked for."""

    def __init__(self, world: World) -> None:
        self.world, self.said = world, list[str]()
        self.settings: Settings = replace(
            world.gateway.settings, retrain=RetrainSettings(canary_answers=40, canary_margin=0.25)
        )
        self.trials = Trials(world.store, self.settings, clock=now, tell=self.said.append)
        self.uuid, self.person = "", 0

    def ask(self) -> None:
        with self.store.write(now()) as tx:
            # A remote version has no files here to look at.
            versions.register(tx, ModelVersion(NEW, "9" * 64, "remote", "chat", NEW, now()), actor="system:test")
            self.uuid = deployments.request_promotion(tx, "assistant", NEW, actor="ann", reason="Better.", share=SHARE)

    @property
    def store(self) -> Store:
        return self.world.store

    def release(self) -> None:
        """The worker carries out what was asked, and proves what is live."""

        async def step() -> None:
            asker = Asker(self.world.url, INTERNAL, "assistant")
            try:
                await Releaser(self.store, self.settings, asker, clock=now, tell=self.said.append).step()
            finally:
                await asker.close()

        asyncio.run(step())

    def row(self) -> Any:
        with self.store.read() as tx:
            return tx.one(sa.select(tables.deployments).where(tables.deployments.c.uuid == self.uuid))

    def visits(self, number: int, *, bad: float) -> list[str]:
        """So many people ask and judge; `bad` of a hundred dislike the candidate's answers. Who answered each."""
        given: list[tuple[str, str, bool]] = []
        for _ in range(number):
            self.person += 1
            reply = self.world.chat("Where is my parcel?", user=f"user-{self.person}")
            assert reply.status == 200
            version = str(reply.headers["x-trimtab-version"])
            disliked = self.person % 100 < bad if version == NEW else self.person % 20 == 0
            given.append((version, reply.headers["x-trimtab-inference"], disliked))
        self.world.captured(self.person)  # an answer can be judged once it is committed
        for _, inference, disliked in given:
            body = {"kind": "thumb", "inference": inference, "value": -1 if disliked else 1}
            assert self.world.send("POST", "/v1/feedback", body).status == 200
        return [version for version, _, _ in given]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with run_gateway(tmp_path, Scripted()) as world:
        made = Site(world)
        made.ask()
        made.release()
        assert made.row()["state"] == "canary"
        wait_until(lambda: world.gateway.router.served["assistant"].candidate == NEW)
        yield made
        with world.store.read() as tx:
            assert audit.verify(tx).bad is None


def test_a_candidate_that_people_dislike_is_rolled_back_by_itself(site: Site) -> None:
    answered = []
    while site.row()["state"] == "canary":
        answered += site.visits(AT_ONCE, bad=75)
        assert len(answered) < 400
        site.trials.step()
    assert site.row()["state"] == "reverted"
    assert "disliked answers are the candidate's" in site.row()["message"]
    assert {OLD, NEW} == set(answered)
    wait_until(lambda: not site.world.gateway.router.served["assistant"].trial)
    assert set(site.visits(10, bad=0)) == {OLD}
    with site.store.read() as tx:
        (alert,) = tx.all(sa.select(tables.alerts))
        kinds = [event.kind for event in audit.events(tx) if event.subject == site.uuid]
    assert (alert["state"], alert["severity"]) == ("firing", "critical")
    assert kinds == ["deployment.requested", "deployment.canary", "deployment.judged", "deployment.aborted"]


def test_a_healthy_candidate_goes_live_and_is_proved(site: Site) -> None:
    while site.row()["state"] == "canary":
        site.visits(AT_ONCE, bad=2)
        assert site.person < 600
        site.trials.step()
    assert site.row()["state"] == "live"
    assert site.row()["evidence"]["answered"] >= 40
    wait_until(lambda: site.world.gateway.router.served["assistant"].version == NEW)
    assert set(site.visits(5, bad=0)) == {NEW}
    site.release()
    wait_until(lambda: site.release() is None and site.row()["verified_at"] is not None)
    with site.store.read() as tx:
        assert tx.scalar(sa.select(sa.func.count()).select_from(tables.alerts)) == 0
