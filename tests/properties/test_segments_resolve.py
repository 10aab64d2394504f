"""Which deployment answers a request: one that is served, the same for the same labels, and the base without any."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.segments import Segment, deployment_of, parse, resolve, split

texts = st.text("ab=@ é", min_size=1, max_size=3)
words = st.text("ab@ é", min_size=1, max_size=3)
wanted = st.builds(Segment, words, texts)
carried = st.dictionaries(texts, texts, max_size=4)


@given(carried, st.sets(wanted, max_size=4))
def test_a_request_resolves_to_one_deployment_that_is_served_and_matches(
    labels: dict[str, str], segments: set[Segment]
) -> None:
    served = {"assistant", *(deployment_of("assistant", segment) for segment in segments)}
    found = resolve("assistant", labels, served)
    matching = sorted(segment for segment in segments if labels.get(segment.label) == segment.value)
    assert found == (deployment_of("assistant", matching[0]) if matching else "assistant")
    assert resolve("assistant", dict(reversed(labels.items())), served) == found, "the order of labels says nothing"
    assert resolve("assistant", {}, served) == "assistant"
    assert resolve("other", labels, served | {"other"}) == "other", "a segment is of one deployment"


@given(wanted)
def test_a_name_can_be_read_back_and_no_two_segments_share_one(segment: Segment) -> None:
    assert split(deployment_of("assistant", segment)) == ("assistant", segment)
    assert parse(str(segment)) == segment


def test_what_cannot_be_a_segment_is_refused() -> None:
    assert split("assistant") == ("assistant", None)
    for segment in (Segment("a=b", "c"), Segment("", "c"), Segment("a", ""), Segment("plan", "x" * 200)):
        with pytest.raises(InvalidInput):
            deployment_of("assistant", segment)
    for text in ("plan", "=pro", "plan=", ""):
        with pytest.raises(InvalidInput, match="no segment"):
            parse(text)
