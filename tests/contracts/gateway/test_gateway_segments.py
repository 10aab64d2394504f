"""Segments as clients meet them: labels lead to a version, alone or with everybody, also while the store is away."""

from __future__ import annotations

import time

from core.segments import Segment
from gateway import pointer
from gateway.draw import drawn
from store import apart, deployments, segments, trials
from store.unit_of_work import Store

from .conftest import INTERNAL, World, now, wait_until

AWAY = "sqlite:////nonexistent-folder/trimtab.db"
PRO, PRO_NAME = Segment("plan", "pro"), "assistant@plan=pro"


def release(world: World, version: str = "assistant-v1", segment: Segment = PRO, *, share: int = 0) -> str:
    """Give `segment` the version, or put it on trial there; returns the row's uuid once the gateway follows."""
    with world.store.write(now()) as tx:
        name = apart.set_apart(tx, "assistant", segment, actor="ann")
        uuid = deployments.request_promotion(tx, name, version, actor="ann", reason="test", share=share)
        row = next(row for row in deployments.requested(tx) if row["uuid"] == uuid)
        if share:
            trials.begin(tx, row["id"], "canary", actor="system:test")
        else:
            deployments.flip(tx, row["id"], actor="system:test")
    served = world.gateway.router.served
    wait_until(lambda: name in served and version in (served[name].version, served[name].candidate))
    wait_until(lambda: version in world.gateway.router.loaded())
    return uuid


def answering(world: World, user: str = "ann", **labels: str) -> str:
    return str(world.chat(max_tokens=1, user=user, metadata=labels).headers["x-trimtab-version"])


def test_labels_lead_to_the_segments_version_and_captures_say_so(world: World) -> None:
    release(world)
    release(world, "assistant-v2", Segment("language", "de"))
    assert answering(world, plan="pro") == "assistant-v1"
    assert answering(world, plan="pro", language="en") == "assistant-v1"
    assert answering(world, plan="pro", language="de") == "assistant-v2", "with several, the first label decides"
    assert {answering(world), answering(world, plan="free"), answering(world, kind="pro")} == {"assistant-base"}
    world.captured(6)
    counted = world.rows("SELECT deployment, version, count(*) FROM inferences GROUP BY 1, 2 ORDER BY 1")
    assert counted == [
        ("assistant", "assistant-base", 3),
        ("assistant@language=de", "assistant-v2", 1),
        (PRO_NAME, "assistant-v1", 2),
    ]


def test_no_client_can_name_a_segment_and_none_is_listed(world: World) -> None:
    release(world)
    body = {"model": PRO_NAME, "messages": [{"role": "user", "content": "x"}]}
    assert world.send("POST", "/v1/chat/completions", body).status == 404
    assert [one["id"] for one in world.send("GET", "/v1/models").json["data"]] == ["assistant"]
    proof = world.send("GET", "/internal/fingerprint?deployment=assistant%40plan%3Dpro", key=INTERNAL).json
    assert (proof["deployment"], proof["version"], proof["generation"]) == (PRO_NAME, "assistant-v1", 2)


def test_a_rollback_of_a_segment_takes_under_a_second_and_joining_changes_no_answer(world: World) -> None:
    release(world)
    began = time.perf_counter()
    with world.store.write(now()) as tx:
        deployments.roll_back(tx, PRO_NAME, actor="ann", reason="garbled")
    wait_until(lambda: answering(world, plan="pro") == "assistant-base")
    assert time.perf_counter() - began < 1.0
    with world.store.write(now()) as tx:
        tx.execute(deployments.deployments.update().values(verified_at=now()))
        assert apart.join(tx, PRO_NAME, actor="system:test")
    wait_until(lambda: PRO_NAME not in world.gateway.router.served)
    assert answering(world, plan="pro") == "assistant-base"


def test_a_canary_in_a_segment_draws_its_people_only(world: World) -> None:
    uuid = release(world, share=50)
    users = [f"user-{number}" for number in range(20)]
    found = {user: answering(world, user, plan="pro") for user in users}
    assert found == {user: "assistant-v1" if drawn(uuid, user, 50) else "assistant-base" for user in users}
    assert {answering(world, user) for user in users} == {"assistant-base"}


def test_while_the_store_is_away_a_segment_goes_back_alone_and_then_everybody(world: World) -> None:
    with world.store.write(now()) as tx:
        uuid = deployments.request_promotion(tx, "assistant", "assistant-v2", actor="ann", reason="test")
        row = next(row for row in deployments.requested(tx) if row["uuid"] == uuid)
        deployments.flip(tx, row["id"], actor="system:test")
    release(world)
    wait_until(lambda: answering(world) == "assistant-v2")
    settings, engine = world.gateway.settings, world.store.engine
    wait_until(lambda: len(pointer.recall(pointer.remembered_path(settings))) == 2)
    world.store.engine = Store.open(AWAY).engine
    told = {"reason": "garbled", "actor": "command-line:ops", "now": now()}
    try:
        wait_until(lambda: not world.gateway.router.store_answers)
        assert pointer.point(settings, to="", segment=PRO, **told) == "assistant-v2"
        wait_until(lambda: answering(world, plan="pro") == "assistant-v2")
        assert pointer.point(settings, to="", **told) == "assistant-base"
        wait_until(lambda: answering(world, plan="pro") == answering(world) == "assistant-base")
        assert set(pointer.read(settings.pointer_path)) == {"assistant", PRO_NAME}, "neither undoes the other"
    finally:
        world.store.engine = engine
    with world.store.read() as tx:
        assert len(segments.own(tx, "assistant")) == 1
