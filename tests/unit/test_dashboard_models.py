"""What a version is to its deployment, in one word."""

from __future__ import annotations

import pytest

from dashboard.views.models import role_of

ROUTE = {"version": "v3", "previous": "v2"}


@pytest.mark.parametrize(
    ("name", "served", "role"),
    [
        ("v3", True, "champion"),
        ("v2", True, "previous"),
        ("v1", True, "earlier"),
        ("v4", False, "candidate"),
        ("v5", True, "segment"),
    ],
)
def test_a_version_that_never_served_is_a_candidate(name: str, served: bool, role: str) -> None:
    assert role_of({"name": name, "served": served}, ROUTE, {"v5"}) == role


def test_before_the_first_release_every_version_is_a_candidate() -> None:
    assert role_of({"name": "v1", "served": False}, None) == "candidate"
