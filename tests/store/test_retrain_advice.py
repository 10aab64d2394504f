"""What a proposal may gain is worked out beside it: asked with it, claimed once, told in its result, and given up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from core.errors import InvalidInput
from core.settings import RetrainSettings, Settings
from core.types import ModelVersion, PreferencePair
from dashboard.views import prospects
from retrain import advice, decide
from retrain.app import App
from store import commands, datasets, deployments, pairs, runs, tables, versions
from store.queries import commands as queries
from store.tables import deployments as deployed
from store.unit_of_work import Store, Tx
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SETTINGS = Settings(home=Path("unused"), models_home=Path("unused"), retrain=RetrainSettings(minimum_pairs=8))


def embed(texts: Any) -> Any:
    """Unit vectors that tell kind answers from others."""
    rows = np.array([[1.0, float("Gladly" in text), len(text) % 5] for text in texts]).reshape(-1, 3)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path / 'trimtab.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    opened = make_store(url, now=NOW)
    with opened.write(NOW) as tx:
        tx.insert(tables.accounts, name="otto", role="operator", password_hash="none", active=True, created_at=NOW)
        versions.register(tx, ModelVersion("assistant-base", "0" * 64, "base", "chat", "", NOW), actor="x")
        rows = [
            PreferencePair(
                "", [{"role": "user", "content": f"Where is parcel {n}{n}{n}?"}], "Gladly.", "No.", licence="own"
            )
            for n in range(60)
        ]
        pairs.add(tx, rows, actor="system:test")
        pairs.judge(tx, {pair.id: [] for pair in pairs.collected(tx)}, actor="system:test")
        deployments.install(tx, "assistant", "assistant-base", actor="system:setup")
    yield opened
    opened.close()


def work(store: Store, embed: Any = embed, *, ending: bool = False) -> str:
    """A turn of the worker, which must end once it has begun if `ending`."""
    looks = chain([False], repeat(ending))
    return asyncio.run(advice.work(store, embed, "worker-1", clock=lambda: NOW, ending=lambda: next(looks)))


def result(store: Store, decision: str) -> tuple[Any, dict[str, Any]]:
    with store.read() as tx:
        (row,) = queries.recent(tx, "foresee", {"decision": decision})
        return row, queries.result(tx, row["uuid"])


def test_a_proposal_is_followed_by_what_it_may_gain(store: Store) -> None:
    assert work(store) == ""
    with store.write(NOW) as tx:
        decision = decide.ask(tx, SETTINGS, kind="retrain", actor="otto", reason="Answers are curt.")
    assert work(store) == "foresee done for system:policy"
    row, found = result(store, decision)
    assert found["sentence"].startswith("Likely to help") and "thumbs" not in found["sentence"]
    assert row["state"] == "done" and found["pairs"] == 60 and found["outlook"] == "likely to help"
    assert work(store) == ""


def test_of_a_version_that_learnt_from_thumbs_the_outlook_says_what_it_does_not_count(store: Store) -> None:
    with store.write(NOW) as tx:
        thumbs = {"spec": {"trainer": "kto"}}
        versions.register(
            tx, ModelVersion("v1", "1" * 64, "adapter", "chat", "", NOW, "assistant-base", card=thumbs), actor="x"
        )
        versions.register(tx, ModelVersion("v2", "2" * 64, "adapter", "chat", "", NOW, "v1"), actor="x")
        row = deployments.request_promotion(tx, "assistant", "v2", actor="ann", reason="Better.")
        deployments.flip(tx, int(tx.scalar(sa.select(deployed.c.id).where(deployed.c.uuid == row))), actor="x")
        decision = decide.ask(tx, SETTINGS, kind="retrain", actor="otto", reason="Answers are curt.")
    work(store)
    assert "What the serving version learnt from thumbs is not counted" in result(store, decision)[1]["sentence"]


def test_what_cannot_be_worked_out_says_why_and_an_end_leaves_it_to_the_next_worker(store: Store) -> None:
    with store.write(NOW) as tx:
        decision = decide.ask(tx, SETTINGS, kind="retrain", actor="otto", reason="Answers are curt.")

    def missing(texts: Any) -> Any:
        raise InvalidInput("The encoder folder does not exist.", "Prepare it.")

    assert work(store, ending=True) == ""
    assert result(store, decision)[0]["state"] == "asked", "handed back: the next worker need not wait for a lease"
    told = "The encoder folder does not exist. Prepare it."
    assert work(store, missing) == f"foresee failed for system:policy: {told}"
    row, _ = result(store, decision)
    assert (row["state"], row["message"]) == ("failed", told)


def broken(texts: Any) -> Any:
    raise ValueError("what was said stays out of rows")


@pytest.mark.parametrize("then", [embed, broken])
def test_an_outlook_that_lacked_an_encoder_is_asked_again_once_there_is_one(
    store: Store, tmp_path: Path, then: Any
) -> None:
    settings = replace(SETTINGS, home=tmp_path / "home", models_home=tmp_path / "models")
    app = App(settings, store, "key", clock=lambda: NOW, tell=print)
    with store.write(NOW) as tx:
        decision = decide.ask(tx, SETTINGS, kind="retrain", actor="otto", reason="Answers are curt.")

    def turn() -> str:
        return asyncio.run(app._advise())

    assert "does not exist" in turn()
    with store.read() as tx:
        (row,) = queries.recent(tx, "foresee", {"decision": decision})
        assert queries.result(tx, row["uuid"]) == {"error": prospects.NO_ENCODER}
    assert turn() == "", "there is none yet"
    settings.encoder_path.mkdir(parents=True)
    app.embed = then
    assert turn() == (
        "foresee done for system:policy"
        if then is embed
        else "foresee failed for system:policy: It failed with ValueError; the process's log has the details."
    )
    assert turn() == "", "and that is all, however it ended"
    with store.write(NOW) as tx:
        commands.fail(tx, _claimed(tx, advice.ask(tx, decision, settings)), "Gone.", error=prospects.NO_ENCODER)
        assert advice.lacking(tx) == [decision]
        tx.execute(tables.decisions.update().values(state="rejected"))
        assert advice.lacking(tx) == [], "nobody waits for it any more"


def _claimed(tx: Tx, uuid: str) -> int:
    """The key of the command `uuid`, which this makes taken."""
    row = commands.claim(tx, advice.OWNER, "worker-1", 60.0, kinds=(advice.KIND,))
    assert row is not None and row["uuid"] == uuid
    return int(row["id"])


def test_what_nobody_foresaw_fails_the_advice_and_not_the_worker(store: Store) -> None:
    with store.write(NOW) as tx:
        decision = decide.ask(tx, SETTINGS, kind="retrain", actor="otto", reason="Answers are curt.")
        gone = advice.ask(tx, "no such decision", SETTINGS)

    assert work(store, broken).startswith("foresee failed")
    row, _ = result(store, decision)
    assert (row["state"], row["message"]) == ("failed", "It failed with ValueError; the process's log has the details.")
    assert work(store).startswith("foresee failed"), "a proposal that is not there does not wait for ever"
    with store.read() as tx:
        assert commands.get(tx, gone)["state"] == "failed"


def test_how_far_it_is_is_told_as_texts_are_embedded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    monkeypatch.setattr(advice, "_AT_ONCE", 20)
    with store.write(NOW) as tx:
        decision = decide.ask(tx, SETTINGS, kind="retrain", actor="otto", reason="Answers are curt.")
    advice.look(store, embed, decision, shares.append)
    assert shares == [number / 9 for number in range(9)], "three texts a pair"


def test_what_a_version_learnt_from_is_what_its_whole_line_trained_on(store: Store) -> None:
    with store.write(NOW) as tx:
        found = pairs.approved(tx, 100)
        parent = "assistant-base"
        for number, side in enumerate((found[:10], found[5:20]), 1):
            row = datasets.lock(tx, train=side, held_out=found[40:], card={}, actor="x")
            uuid = runs.queue(tx, spec={}, requested_by="x")
            tx.execute(tables.runs.update().where(tables.runs.c.uuid == uuid).values(dataset_id=row["id"]))
            made = ModelVersion(f"assistant-v{number}", str(number) * 64, "adapter", "chat", "", NOW, parent, uuid)
            versions.register(tx, made, actor="x")
            parent = made.name
        assert datasets.learnt_by(tx, "assistant-v1") == {pair.id for pair in found[:10]}
        assert datasets.learnt_by(tx, "assistant-v2") == {pair.id for pair in found[:20]}
        assert datasets.learnt_by(tx, "assistant-base") == set() == datasets.learnt_by(tx, "nobody")
