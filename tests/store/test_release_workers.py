"""Several workers on one release, and proofs that do not come: nothing ends twice, nobody is asked without end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from core.errors import Conflict
from core.segments import Segment
from gateway import pointer
from retrain import release
from retrain.asking import Answering
from retrain.release import Releaser
from store import decisions, deployments, routes, tables
from tests.release_world import Bed, bed

__all__ = ["bed"]


def test_a_version_that_is_loaded_late_and_then_answers_wrongly_is_told_as_that(bed: Bed) -> None:
    """The first doubt, that the gateway is slow, must not hide the second, that somebody else answers."""
    bed.step()
    bed.ask("assistant-v1")
    bed.step(2)
    bed.gateway.stuck_at, bed.gateway.prints["assistant-base"] = 1, "an impostor"
    with bed.store.write(bed.now) as tx:
        uuid = decisions.roll_back(tx, deployment="assistant", actor="ann", reason="It got worse.")
    bed.now += timedelta(seconds=6)
    bed.step()
    assert "still answers" in bed.row(uuid)["message"]
    bed.gateway.stuck_at = 0
    bed.step()
    assert "not as assistant-base was registered" in bed.row(uuid)["message"]
    assert len(bed.events("deployment.doubted")) == 2
    assert [state for state, _ in bed.alerts()] == ["firing"]


@pytest.mark.parametrize(("generation", "most"), [(0, 1), (1, 1), (9, 8)], ids=["impostor", "behind", "ahead"])
def test_a_proof_that_does_not_come_is_asked_for_now_and_then(bed: Bed, generation: int, most: int) -> None:
    """Each print takes passes of the model that people wait for: 30 looks must not make 30 prints."""
    bed.step()
    bed.ask("assistant-v1")
    bed.step(2)
    bed.gateway.stuck_at, bed.gateway.prints["assistant-base"] = generation, "an impostor"
    with bed.store.write(bed.now) as tx:
        decisions.roll_back(tx, deployment="assistant", actor="ann", reason="It got worse.")
    bed.now += timedelta(minutes=1)
    bed.step()
    releaser, before = bed.releaser(), len(bed.gateway.asked)
    for _ in range(30):
        asyncio.run(releaser.step())
    assert len(bed.gateway.asked) - before <= most


def test_a_pointer_that_another_worker_entered_meanwhile_is_no_trouble(bed: Bed) -> None:
    bed.ask("assistant-v1")
    bed.step(2)
    bed.point("assistant-base", 3)
    seen = pointer.read(bed.settings.pointer_path)["assistant"]
    bed.step()
    asyncio.run(bed.releaser().enter(seen))
    assert (bed.live(), bed.alerts()) == ("assistant-base", [])
    assert len(bed.events("deployment.pointed")) == 1


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize("share", [0, 20])
def test_a_second_worker_that_was_slower_ends_nothing_that_the_first_began(bed: Bed, share: int, refuses: bool) -> None:
    """Both read the same request; the slower one finds it carried out, or its own look at the candidate fails."""
    with bed.store.write(bed.now) as tx:
        uuid = deployments.request_promotion(
            tx, "assistant", "assistant-v1", actor="ann", reason="Better.", share=share
        )
    with bed.store.read() as tx:
        (seen,) = deployments.requested(tx)
    bed.step()
    state = "canary" if share else "live"
    assert bed.row(uuid)["state"] == state
    bed.gateway.refuses = refuses
    asyncio.run(bed.releaser().promote(dict(seen)))
    assert bed.row(uuid)["state"] == state
    assert (bed.alerts(), bed.events("deployment.failed")) == ([], [])
    with bed.store.write(bed.now) as tx:
        if share:
            assert routes.listed(tx)[0].candidate == "assistant-v1"
        else:
            deployments.roll_back(tx, "assistant", actor="ann", reason="The way back stays open.")


def test_a_pointer_that_waits_is_not_overtaken_by_a_promotion_that_was_under_way(bed: Bed) -> None:
    bed.step()
    bed.ask("assistant-v1")
    bed.step(2)
    uuid = bed.ask("assistant-v2")
    with bed.store.read() as tx:
        (seen,) = deployments.requested(tx)
    bed.point("assistant-base", 3)  # while the candidate was being loaded
    asyncio.run(bed.releaser().promote(dict(seen)))
    assert (bed.live(), bed.row(uuid)["state"]) == ("assistant-v1", "requested")
    bed.step(3)
    assert (bed.live(), bed.row(uuid)["state"]) == ("assistant-base", "reverted")
    assert len(bed.events("deployment.pointed")) == 1


def test_a_version_that_loads_slowly_keeps_no_rollback_from_its_proof(bed: Bed) -> None:
    bed.step()
    bed.ask("assistant-v1")
    bed.step(2)
    bed.ask("assistant-v2")
    releaser, loading = bed.releaser(), asyncio.Event()
    ask = bed.gateway.fingerprint

    async def slow(version: str = "", *, deployment: str = "") -> Answering:
        if version == "assistant-v2":
            loading.set()
            await asyncio.sleep(60)
        return await ask(version, deployment=deployment)

    async def both() -> str:
        loops = [asyncio.create_task(releaser.follow(work)) for work in (releaser.carry_out, releaser.settle)]
        await loading.wait()
        with bed.store.write(bed.now) as tx:
            uuid = decisions.roll_back(tx, deployment="assistant", actor="ann", reason="It got worse.")
        bed.now += timedelta(seconds=1)
        while bed.row(uuid)["verified_at"] is None:
            await asyncio.sleep(0.005)
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        return uuid

    bed.gateway.fingerprint = slow  # type: ignore[method-assign]
    uuid = asyncio.run(asyncio.wait_for(both(), 10))
    assert bed.row(uuid)["verified_at"] is not None


def test_a_release_that_cannot_be_judged_keeps_no_other_waiting(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    bed.step()
    bed.ask("assistant-v1", Segment("plan", "pro"))
    bed.ask("assistant-v2")
    proving, promoting = Releaser.prove, Releaser.promote

    async def promote(self: Releaser, row: Any) -> None:
        if row["version"] == "assistant-v1":
            raise Conflict("Its row is odd.", "Look into it.")
        await promoting(self, row)

    async def prove(self: Releaser, row: Any) -> None:
        if row["deployment"] != "assistant":
            raise Conflict("Its row is odd.", "Look into it.")
        await proving(self, row)

    monkeypatch.setattr(Releaser, "promote", promote)
    with pytest.raises(Conflict, match="odd"):
        asyncio.run(bed.releaser().carry_out())
    assert bed.live() == "assistant-v2"
    monkeypatch.setattr(Releaser, "promote", promoting)
    bed.step()  # the segment's goes live too, before the other is proved
    bed.now += timedelta(seconds=1)
    with bed.store.write(bed.now) as tx:
        tx.execute(tables.deployments.update().values(verified_at=None))
    monkeypatch.setattr(Releaser, "prove", prove)
    with pytest.raises(Conflict, match="odd"):
        asyncio.run(bed.releaser().settle())
    with bed.store.read() as tx:
        assert [row["deployment"] for row in deployments.unverified(tx)] == ["assistant@plan=pro"]


def test_an_error_that_nobody_foresaw_is_told_and_does_not_end_the_loop(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(release, "POLL_SECONDS", 0.0)
    turns = 0

    async def work() -> None:
        nonlocal turns
        turns += 1
        if turns < 4:
            raise RuntimeError("unforeseen")
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(bed.releaser().follow(work))
    assert turns == 4
    assert bed.said == ["a release failed with RuntimeError and is tried again; the log has the details"]
