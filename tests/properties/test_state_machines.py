"""The machines: every state can be reached, every unlisted move is refused, and the chain finds every
edit.
"""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Forbidden, IllegalMove
from core.events import GENESIS, AuditEvent, check, link
from core.roles import LEAST, Action, Role, allows, require
from core.states import MACHINES, Machine

machines = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)


@machines
def test_every_state_can_be_reached_and_every_move_leads_to_a_state(machine: Machine) -> None:
    reached, frontier = set(machine.start), list(machine.start)
    while frontier:
        for successor in machine.moves[frontier.pop()]:
            assert successor in machine.moves
            if successor not in reached:
                reached.add(successor)
                frontier.append(successor)
    assert reached == set(machine.states)


@machines
def test_only_listed_moves_are_allowed(machine: Machine) -> None:
    for old in machine.states:
        for new in machine.states:
            if new in machine.moves[old]:
                machine.require(old, new)
                assert old in machine.sources(new)
            else:
                with pytest.raises(IllegalMove):
                    machine.require(old, new)


@machines
def test_the_drawing_shows_every_move(machine: Machine) -> None:
    drawn = machine.mermaid()
    assert all(f"{old} --> {new}" in drawn for old, successors in machine.moves.items() for new in successors)


def test_roles_are_a_ladder() -> None:
    assert set(LEAST) == set(Action)
    for action in Action:
        allowed = [allows(role, action) for role in Role]
        assert allowed == sorted(allowed), "a higher role may do whatever a lower one may"
    with pytest.raises(Forbidden, match="approver"):
        require("operator", Action.APPROVE)


def build(bodies: list[dict[str, int]]) -> list[AuditEvent]:
    events: list[AuditEvent] = []
    previous = GENESIS
    for id, body in enumerate(bodies, 1):
        made = link(id, id * 10, "ann", "thing.happened", "x", body, previous)
        events.append(AuditEvent(id, id * 10, "ann", "thing.happened", "x", body, previous, made))
        previous = made
    return events


chains = st.lists(st.dictionaries(st.text(max_size=4), st.integers(), max_size=3), min_size=2, max_size=12).map(build)


@given(chains)
def test_an_untouched_chain_is_sound(events: list[AuditEvent]) -> None:
    found = check(events, expected_count=len(events))
    assert (found.bad, found.count, found.head) == (None, len(events), events[-1].hash)


@given(chains, st.data())
def test_every_edit_removal_swap_and_cut_is_found(events: list[AuditEvent], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(events) - 1))
    kind = data.draw(st.sampled_from(["edit", "remove", "swap", "cut"]))
    forged = list(events)
    if kind == "edit":
        forged[place] = dataclasses.replace(forged[place], actor="mallory")
    elif kind == "remove":
        del forged[place]
    elif kind == "swap":
        other = (place + 1) % len(events)
        forged[place], forged[other] = forged[other], forged[place]
    else:
        forged = forged[:place]
    found = check(forged, expected_count=len(events))
    assert found.bad is not None
    assert found.bad <= len(events) + 1
