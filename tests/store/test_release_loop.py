"""The release loop: proof before a promotion and after a flip, an alert for a wrong answer, no half promotion."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from core.ports import Fingerprint
from core.segments import Segment
from gateway import pointer
from gateway.pointer import Pointer
from store import apart, audit, decisions, deployments, prints, routes, versions
from tests.release_world import NAMES, NOW, Bed, bed

__all__ = ["bed"]


def test_the_first_version_is_registered_as_it_answers_and_proved(bed: Bed) -> None:
    bed.step()
    with bed.store.read() as tx:
        assert versions.get(tx, "assistant-base").fingerprint == "print-assistant-base"
        assert not deployments.unverified(tx)


def test_a_promotion_goes_live_after_its_proof_and_is_proved_again(bed: Bed) -> None:
    uuid = bed.ask("assistant-v1")
    bed.step()
    assert bed.gateway.asked[0] == "assistant-v1", "loaded and asked before anything moved"
    assert bed.live() == "assistant-v1"
    bed.step()
    assert bed.row(uuid)["verified_at"] is not None
    assert bed.alerts() == []


def test_a_candidate_that_answers_otherwise_never_goes_live(bed: Bed) -> None:
    bed.gateway.prints["assistant-v1"] = "something else"
    uuid = bed.ask("assistant-v1")
    bed.step(2)
    assert bed.live() == "assistant-base"
    assert bed.row(uuid)["state"] == "reverted"
    assert [state for state, _ in bed.alerts()] == ["firing"]


def test_a_promotion_waits_for_a_gateway_that_is_away(bed: Bed) -> None:
    bed.gateway.away = True
    uuid = bed.ask("assistant-v1")
    bed.step(3)
    assert (bed.row(uuid)["state"], bed.row(uuid)["message"]) == ("requested", "The gateway does not answer.")
    assert len(bed.said) <= 3
    bed.gateway.away = False
    bed.now += timedelta(seconds=5)
    bed.step()
    assert (bed.live(), bed.row(uuid)["message"]) == ("assistant-v1", "")


def test_a_version_that_the_server_refuses_ends_the_promotion(bed: Bed) -> None:
    bed.gateway.refuses = True
    uuid = bed.ask("assistant-v1")
    bed.step()
    assert (bed.row(uuid)["state"], bed.row(uuid)["message"]) == ("reverted", "It was made for another base model.")
    assert bed.live() == "assistant-base"


def test_a_worker_that_died_midway_is_followed_by_one_that_finishes(bed: Bed) -> None:
    """Whatever a killed worker had done, its row says requested or live, and both are picked up."""
    uuid = bed.ask("assistant-v1")
    with bed.store.read() as tx:
        waiting = deployments.requested(tx)[0]
    asyncio.run(bed.gateway.fingerprint("assistant-v1"))  # killed after the proof, before the flip
    bed.step()
    assert bed.row(uuid)["state"] == "live"
    with bed.store.write(NOW) as tx, pytest.raises(Exception, match="cannot become live"):
        deployments.flip(tx, waiting["id"], actor="system:release")  # a second worker that was late
    bed.step()  # killed after the flip, before the second proof
    assert bed.row(uuid)["verified_at"] is not None


def test_an_overtaken_promotion_ends_with_a_message(bed: Bed) -> None:
    first, second = bed.ask("assistant-v1"), bed.ask("assistant-v2")
    bed.step(2)
    assert bed.live() == "assistant-v1"
    assert (bed.row(first)["state"], bed.row(second)["state"]) == ("live", "reverted")
    assert "moved on" in bed.row(second)["message"]


def test_a_rollback_is_proved_after_the_flip(bed: Bed) -> None:
    bed.ask("assistant-v1")
    bed.step(2)
    with bed.store.write(bed.now) as tx:
        uuid = decisions.roll_back(tx, deployment="assistant", actor="ann", reason="It got worse.")
    assert bed.live() == "assistant-base"
    bed.step()
    row = bed.row(uuid)
    assert (row["state"], row["fingerprint"]) == ("live", "print-assistant-base")
    assert row["verified_at"] is not None


def test_a_wrong_answer_after_a_flip_raises_an_alert_until_it_is_right(bed: Bed) -> None:
    bed.step()
    bed.ask("assistant-v1")
    bed.step(2)
    bed.gateway.prints["assistant-base"] = "an impostor"
    with bed.store.write(bed.now) as tx:
        uuid = decisions.roll_back(tx, deployment="assistant", actor="ann", reason="It got worse.")
    bed.step(2)
    assert bed.row(uuid)["verified_at"] is None
    assert "not as assistant-base was registered" in bed.row(uuid)["message"]
    assert [state for state, _ in bed.alerts()] == ["firing"]
    bed.gateway.prints["assistant-base"] = "print-assistant-base"
    bed.now += timedelta(minutes=1)
    bed.step()
    assert bed.row(uuid)["verified_at"] is not None
    assert bed.row(uuid)["message"] == ""
    assert [state for state, _ in bed.alerts()] == ["resolved"]


def test_servers_that_answer_otherwise_than_each_other_are_told_until_they_agree(bed: Bed) -> None:
    bed.step()
    bed.gateway.differing = True
    uuid = bed.ask("assistant-v1")
    bed.step(2)
    assert bed.row(uuid)["verified_at"] is None
    assert bed.row(uuid)["message"] == "", "a gateway that is only slow says no as well"
    bed.now += timedelta(seconds=6)
    bed.step()
    assert "otherwise than Server 1" in bed.row(uuid)["message"]
    assert [state for state, _ in bed.alerts()] == ["firing"]
    bed.gateway.differing = False
    bed.now += timedelta(minutes=1)
    bed.step()
    assert bed.row(uuid)["verified_at"] is not None
    assert [state for state, _ in bed.alerts()] == ["resolved"]


def test_on_another_machine_promotions_and_rollbacks_go_on_being_proved(bed: Bed) -> None:
    """A new machine or torch rounds otherwise; the server says that it read the version's files."""
    bed.step()
    for number, name in enumerate(NAMES):
        bed.gateway.prints[name] = Fingerprint(f"moved-{name}", place="torch 3", files=str(number) * 64)
    bed.ask("assistant-v1")
    bed.step(2)
    assert bed.live() == "assistant-v1"
    with bed.store.write(bed.now) as tx:
        uuid = decisions.roll_back(tx, deployment="assistant", actor="ann", reason="It got worse.")
    bed.step(2)
    row = bed.row(uuid)
    assert (row["fingerprint"], row["verified_at"] is not None) == ("moved-assistant-base", True)
    assert bed.alerts() == []
    kept = [(subject, body["place"], body["before"]) for _, subject, body in bed.events("version.fingerprinted")]
    assert ("assistant-base", "torch 3", "print-assistant-base") in kept
    assert ("assistant-v1", "torch 3", "print-assistant-v1") in kept


def test_on_another_machine_other_files_are_told_and_a_person_can_have_the_print_taken_anew(bed: Bed) -> None:
    bed.step()
    bed.gateway.prints["assistant-v1"] = Fingerprint("moved", place="torch 3", files="f" * 64)
    refused = bed.ask("assistant-v1")
    bed.step(2)
    assert bed.live() == "assistant-base"
    assert "taken anew" in bed.row(refused)["message"]
    with bed.store.write(bed.now) as tx:
        prints.renew(tx, "assistant-v1", actor="ann", reason="vLLM runs on another GPU now.")
    bed.ask("assistant-v1")
    bed.step(2)
    assert bed.live() == "assistant-v1"
    assert [state for state, _ in bed.alerts()] == ["resolved"]


def test_a_gateway_that_does_not_follow_is_told_about(bed: Bed) -> None:
    bed.ask("assistant-v1")
    bed.step(2)
    bed.gateway.stuck_at = 1
    with bed.store.write(bed.now) as tx:
        decisions.roll_back(tx, deployment="assistant", actor="ann", reason="It got worse.")
    bed.step()
    assert bed.alerts() == [], "it has five seconds"
    bed.now += timedelta(seconds=6)
    bed.step()
    assert [state for state, _ in bed.alerts()] == ["firing"]


def test_a_rollback_by_the_pointer_is_entered_audited_and_proved(bed: Bed) -> None:
    bed.ask("assistant-v1")
    bed.step(2)
    bed.point("assistant-base", 3)
    bed.step(2)
    assert bed.live() == "assistant-base"
    ((actor, uuid, body),) = bed.events("deployment.pointed")
    assert actor == "command-line:ops"
    assert body == {
        "deployment": "assistant",
        "version": "assistant-base",
        "generation": 3,
        "reason": "Garbled.",
        "at": NOW.isoformat(),
    }
    row = bed.row(uuid)
    assert (row["kind"], row["actor"], row["reason"]) == ("rollback", "command-line:ops", "Garbled.")
    assert (row["state"], row["fingerprint"]) == ("live", "print-assistant-base")
    assert row["verified_at"] is not None
    bed.step(3)
    assert len(bed.events("deployment.pointed")) == 1, "a pointer is entered once"
    assert bed.alerts() == []


def test_a_pointer_that_went_away_and_back_again_leaves_the_gateway_and_the_store_at_one_generation(bed: Bed) -> None:
    bed.ask("assistant-v1")
    bed.step(2)
    bed.point("assistant-v1", 4)
    bed.step(2)
    assert bed.live() == "assistant-v1"
    assert len(bed.events("deployment.pointed")) == 1
    with bed.store.read() as tx:
        assert not deployments.unverified(tx)
        route = deployments.current(tx, "assistant")
    assert route is not None
    assert route["generation"] == 4
    bed.gateway.stuck_at = 0
    bed.ask("assistant-v2")
    bed.step(2)
    assert bed.live() == "assistant-v2"


def test_a_pointer_that_the_store_has_overtaken_changes_nothing(bed: Bed) -> None:
    bed.ask("assistant-v1")
    bed.step(2)
    bed.point("assistant-base", 2)
    bed.gateway.stuck_at = 0
    bed.step(2)
    assert bed.live() == "assistant-v1"
    assert bed.events("deployment.pointed") == []


def test_a_pointer_to_what_never_served_raises_one_alert_and_hinders_nothing(bed: Bed) -> None:
    bed.step()
    bed.point("assistant-v2", 9)
    releaser = bed.releaser()
    for _ in range(3):
        asyncio.run(releaser.step())
    assert bed.live() == "assistant-base"
    assert bed.events("deployment.pointed") == []
    ((state, summary),) = bed.alerts()
    assert state == "firing"
    assert "assistant-v2 never served assistant" in summary
    assert len([line for line in bed.said if "pointer" in line]) == 1


def serving(bed: Bed) -> dict[str, str]:
    with bed.store.read() as tx:
        assert audit.verify(tx).bad is None
        return {route.deployment: route.version for route in routes.listed(tx)}


PRO, PRO_NAME = Segment("plan", "pro"), "assistant@plan=pro"


def test_a_segments_champion_is_proved_by_its_own_fingerprint_and_joins_when_it_is_everybodys(bed: Bed) -> None:
    bed.step()
    uuid = bed.ask("assistant-v1", PRO)
    bed.step(2)
    assert serving(bed) == {"assistant": "assistant-base", PRO_NAME: "assistant-v1"}
    assert bed.row(uuid)["verified_at"] is not None
    with bed.store.write(bed.now) as tx:
        deployments.roll_back(tx, PRO_NAME, actor="ann", reason="Rude.", to="assistant-base")
    bed.step()
    assert serving(bed) == {"assistant": "assistant-base", PRO_NAME: "assistant-base"}, "proved first"
    bed.step()
    assert serving(bed) == {"assistant": "assistant-base"}
    ((actor, _, body),) = bed.events("deployment.joined")
    assert (actor, body) == ("system:release", {"deployment": PRO_NAME, "version": "assistant-base"})


def test_a_failed_promotion_of_a_segment_has_its_own_alert_and_leaves_nobody_apart(bed: Bed) -> None:
    bed.gateway.refuses = True
    bed.ask("assistant-v1", PRO)
    bed.step(2)
    assert serving(bed) == {"assistant": "assistant-base"}
    bed.gateway.refuses = False
    bed.ask("assistant-v2")
    bed.step(2)
    assert bed.live() == "assistant-v2"
    ((state, summary),) = bed.alerts()
    assert (state, "assistant-v1" in summary) == ("firing", True), "a success elsewhere does not resolve it"


def test_a_segment_that_joins_takes_its_doubt_along(bed: Bed) -> None:
    bed.step()
    bed.gateway.prints["assistant-base"] = "an impostor"
    with bed.store.write(bed.now) as tx:
        apart.set_apart(tx, "assistant", PRO, actor="ann")
    bed.step(3)
    assert serving(bed) == {"assistant": "assistant-base"}
    ((state, summary),) = bed.alerts()
    assert (state, PRO_NAME in summary) == ("resolved", True), "nobody proves it any more"


def test_pointers_of_everybody_and_of_a_segment_are_all_entered(bed: Bed) -> None:
    bed.ask("assistant-v1")
    bed.step(2)
    bed.ask("assistant-v2", PRO)
    bed.step(2)
    told = [Pointer(name, "assistant-base", 9, "Garbled.", "ops", NOW.isoformat()) for name in ("assistant", PRO_NAME)]
    pointer.write(bed.settings.pointer_path, *told)
    releaser = bed.releaser()
    for _ in range(5):
        bed.now += timedelta(milliseconds=300)
        asyncio.run(releaser.step())
    assert serving(bed) == {"assistant": "assistant-base"}, "both entered and proved, then one again"
    assert len(bed.events("deployment.pointed")) == 2
    assert bed.alerts() == []
