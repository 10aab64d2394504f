"""prompt_drift from rows to alert: exactly once, across restarts, and never silent about trouble (A3)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from core.errors import Unavailable
from store import alerts as alert_rows
from store import monitors as rows
from store.tables import audit_events, epochs
from store.unit_of_work import Store
from tests.monitors_world import OTHER, SHOP, World, build_world, embed_words, world_on

PARAMS = {"reference": 300, "horizon": 3000}


@pytest.fixture
def world(empty_store: Store, tmp_path: Path) -> World:
    made = world_on(empty_store, tmp_path)
    made.add("prompt_drift", params=PARAMS)
    return made


def test_a_new_topic_fires_with_its_reason_and_no_captured_text_in_the_chain(world: World) -> None:
    world.send(400)
    assert world.run("prompt_drift").state == "done"
    assert world.state("rule:prompt_drift") == "inactive"
    ids = world.send(40, words=OTHER)
    outcome = world.run("prompt_drift")
    assert outcome is not None and len(outcome.fired) == 1
    (alert,) = world.alerts("rule")
    why = alert["why"]
    assert alert["state"] == "firing"
    assert why["n"] > 0 and why["low"] <= why["value"] <= why["high"]
    assert {row["inference"] for row in why["rows"]} <= set(ids)
    assert why["topics"][0]["significant"] and why["topics"][0]["share_now"] > why["topics"][0]["share_reference"]
    assert why["reference"]["rows"] == 300
    with world.store.read() as tx:
        bodies = " ".join(str(row["body"]) for row in tx.all(sa.select(audit_events)))
    assert not any(word in bodies for word in ("vegan", "dough", "parcel"))
    assert not any(word in alert["summary"] for word in ("vegan", "dough"))


def test_every_row_is_read_once_in_order_and_a_restart_goes_on_exactly(world: World, tmp_path: Path) -> None:
    world.send(1000)
    world.run("prompt_drift")
    (tmp_path / "other").mkdir()
    other = build_world(tmp_path / "other")
    other.add("prompt_drift", params=PARAMS)
    other.send(320)
    other.run("prompt_drift")
    for n in (1, 7, 200, 472):
        other.send(n)
        reopened = other.reopened()
        reopened.run("prompt_drift")
        other.now = reopened.now
        reopened.store.close()
    seen = []
    for one in (world, other):
        with one.store.read() as tx:
            epoch = tx.one(sa.select(epochs))
        assert epoch is not None
        seen.append((epoch["seen_id"], epoch["seen_rows"], one.measured("prompt_drift")[-1]["value"]))
        level = one.measured("prompt_drift")[-1]["details"]["level"]
        seen[-1] += (level,)
    other.store.close()
    assert seen[0] == seen[1]
    assert seen[0][:2] == (1000, 700)


def test_only_the_first_prompt_of_a_conversation_counts(world: World) -> None:
    world.send(300)
    world.send(50, conversation="one person who does not stop")
    world.run("prompt_drift")
    assert world.measured("prompt_drift")[-1]["details"]["seen"] == 1


def broken(texts: Any) -> Any:
    raise RuntimeError("the text of a customer")


def unavailable(texts: Any) -> Any:
    raise Unavailable("The encoder is not prepared.", "Run `python -m models.prepare`.")


def not_finite(texts: Any) -> Any:
    return np.full((len(texts), 48), np.nan, np.float32)


def empty(texts: Any) -> Any:
    return np.zeros((0, 48), np.float32)


def wrong_width(texts: Any) -> Any:
    return np.ones((len(texts), 7), np.float32)


@pytest.mark.parametrize(
    ("embed", "when"),
    [(embed, "before the reference") for embed in (broken, unavailable, not_finite, empty)]
    + [(embed, "while firing") for embed in (broken, unavailable, not_finite, empty, wrong_width)],
)
def test_a_failure_is_an_error_alert_and_resolves_nothing(world: World, embed: Any, when: str) -> None:
    world.send(300)
    if when == "while firing":
        world.run("prompt_drift")
        world.send(60, words=OTHER)
        world.run("prompt_drift")
        assert world.state("rule:prompt_drift") == "firing"
    world.embed = embed
    world.send(20)
    outcome = world.run("prompt_drift")
    assert outcome is not None and outcome.state == "failed"
    assert "customer" not in outcome.message
    assert world.state("error:prompt_drift") == "firing"
    assert world.measured("prompt_drift")[-1]["status"] == "error"
    if when == "while firing":
        assert world.state("rule:prompt_drift") == "firing"


def test_a_run_that_takes_too_long_is_an_error_and_its_late_result_is_dropped(world: World) -> None:
    world.add("prompt_drift", params={**PARAMS, "timeout_seconds": 0.2})
    world.send(300)
    real = world.embed

    def slow(texts: Any) -> Any:
        time.sleep(0.6)
        return real(texts)

    world.embed = slow
    outcome = world.run("prompt_drift")
    assert outcome is not None and outcome.state == "failed" and "0.2 seconds" in outcome.message
    time.sleep(0.8)
    with world.store.read() as tx:
        assert tx.all(sa.select(epochs)) == []
    assert world.state("error:prompt_drift") == "firing"


def test_too_little_data_is_told_after_the_hold_which_survives_a_restart(world: World) -> None:
    world.send(10)
    world.run("prompt_drift")
    assert world.state("nodata:prompt_drift") == "pending"
    assert world.measured("prompt_drift")[-1]["needed"] == 290
    again = world.reopened()
    again.run("prompt_drift", seconds=599)
    assert again.state("nodata:prompt_drift") == "pending"
    again.run("prompt_drift", seconds=60)
    assert again.state("nodata:prompt_drift") == "firing"
    again.store.close()


def test_silence_of_traffic_becomes_nodata_and_does_not_resolve_an_alarm(world: World) -> None:
    world.add("prompt_drift", params={**PARAMS, "stale_seconds": 3600})
    world.send(400)
    world.run("prompt_drift")
    assert world.measured("prompt_drift")[-1]["status"] == "ok"
    world.run("prompt_drift", seconds=4000)
    world.run("prompt_drift", seconds=700)
    assert world.state("nodata:prompt_drift") == "firing"
    world.send(60)
    world.run("prompt_drift")
    assert world.state("nodata:prompt_drift") == "inactive"


def test_an_acknowledged_alarm_makes_the_new_traffic_the_reference(world: World) -> None:
    from store import accounts

    world.send(400)
    world.run("prompt_drift")
    world.send(100, words=OTHER)
    world.run("prompt_drift")
    (alert,) = world.alerts("rule")
    with world.store.write(world.now) as tx:
        accounts.create(tx, "olga", "a long password 1", "operator", actor="system:setup")
        alert_rows.acknowledge(tx, alert["uuid"], actor="olga")
    world.send(200, words=OTHER)
    world.run("prompt_drift")
    world.send(60, words=OTHER)
    world.run("prompt_drift")
    with world.store.read() as tx:
        kept = tx.all(sa.select(epochs).order_by(epochs.c.id))
    assert [epoch["number"] for epoch in kept] == [1, 2]
    assert kept[1]["reference_first"] > 400
    assert world.state("rule:prompt_drift") == "inactive"
    assert sum(epoch["alpha"] for epoch in kept) <= 1.0


def test_another_encoder_begins_an_epoch_on_the_same_reference(world: World) -> None:
    world.send(400)
    world.run("prompt_drift")
    world.encoder, world.embed = "other", lambda texts: embed_words(texts)[:, ::-1][:, :40]
    world.send(50)
    assert world.run("prompt_drift").state == "done"
    first, second = world.epochs()
    assert first["ended_at"] is not None and "encoder changed" in first["reason"]
    assert (second["reference_first"], second["reference_last"]) == (first["reference_first"], first["reference_last"])
    assert second["seen_rows"] == 50 and world.state("rule:prompt_drift") == "inactive"


def test_a_state_that_cannot_be_read_begins_an_epoch_and_says_so(world: World) -> None:
    world.send(400)
    world.run("prompt_drift")
    with world.store.write(world.now) as tx:
        tx.execute(sa.update(epochs).values(state=b"damaged"))
    world.send(20)
    assert world.run("prompt_drift").state == "done"
    first, second = world.epochs()
    assert "could not be read" in first["reason"] and second["seen_rows"] == 20


def test_two_processes_cannot_run_the_same_tick(world: World) -> None:
    monitor = world.add("prompt_drift")
    world.send(10)
    world.run("prompt_drift")
    with world.store.write(world.now) as tx:
        at = rows.slot(world.now, monitor["every_seconds"])
        assert rows.claim_tick(tx, monitor, at, process="another", lease=rows.timedelta(seconds=30)) is None


def test_quiet_traffic_stays_quiet(world: World) -> None:
    for _ in range(8):
        world.send(200, words=SHOP)
        world.run("prompt_drift")
    assert world.state("rule:prompt_drift") == "inactive"
    assert world.state("error:prompt_drift") == "inactive"
