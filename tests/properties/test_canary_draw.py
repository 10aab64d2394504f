"""The draw of a canary: sticky, monotone in the share, even, and another one for another salt."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from gateway.draw import drawn, unit_of

salts = st.uuids(version=4).map(str)


@given(salts, st.text(max_size=40), st.integers(0, 99), st.integers(0, 99))
def test_a_unit_keeps_its_version_and_a_larger_share_only_adds(salt: str, unit: str, share: int, other: int) -> None:
    low, high = sorted((share, other))
    assert drawn(salt, unit, share) == drawn(salt, unit, share)
    assert drawn(salt, unit, high) or not drawn(salt, unit, low)
    assert not drawn(salt, unit, 0)
    assert drawn(salt, unit, 100)


def test_the_share_is_kept_and_successive_canaries_draw_independently() -> None:
    first, second = (str(UUID(int=number)) for number in (1, 2))
    units = [f"user-{number}" for number in range(10_000)]
    one, two = ({unit for unit in units if drawn(salt, unit, 20)} for salt in (first, second))
    # Five standard deviations of a fair draw on either side.
    assert all(abs(len(found) - 2000) < 200 for found in (one, two))
    assert abs(len(one & two) - 400) < 98


def test_a_person_is_drawn_before_a_conversation_and_that_before_a_request() -> None:
    assert unit_of("ann", "c", "r") == "ann"
    assert unit_of("", "c", "r") == "c"
    assert unit_of("", "", "r") == "r"
