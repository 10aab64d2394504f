"""Whatever is sent, reading it gives a value that can be kept and passed on, or a refusal that names the field."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from gateway.bodies import inflate, parse
from gateway.errors import Invalid
from gateway.feedback import read_feedback
from gateway.imports import parse_pairs, parse_traffic
from gateway.openai import read_call
from store.inferences import clean, clean_value

AT = datetime(2026, 1, 1, tzinfo=UTC)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
CHAT: dict[str, Any] = {"model": "assistant", "messages": [{"role": "user", "content": "hello"}]}
FIELDS = ["model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed", "stream",
          "stream_options", "user", "metadata", "n", "tools", "logit_bias", "response_format"]  # fmt: skip


@contextmanager
def allowed(*statuses: int) -> Iterator[None]:
    """Lets a refusal with one of these statuses pass."""
    try:
        yield
    except Invalid as error:
        if error.status not in statuses:
            raise


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4))
def test_chat_is_read_or_refused_and_what_is_read_can_be_kept(changes: dict[str, Any]) -> None:
    with allowed(400):
        call = read_call({**CHAT, **changes}, default_tokens=64, most_tokens=128, extras=frozenset({"logit_bias"}))
        assert 1 <= call.max_tokens <= 128
        assert 0 <= call.temperature <= 2
        assert all(isinstance(message["content"], str) for message in call.messages)
        assert len(call.labels) <= 16
        json.dumps([list(call.messages), dict(call.labels), dict(call.extra)])


@given(st.dictionaries(st.sampled_from(["inference", "kind", "value", "chosen", "rejected", "comment", "id"]), VALUES))
def test_feedback_is_read_or_refused(changes: dict[str, Any]) -> None:
    good = {"inference": "chatcmpl-6f0d6a52-6a3f-4d8e-9a60-52bb1c3f3f0e", "kind": "rating", "value": 0.5}
    with allowed(400):
        item = read_feedback({**good, **changes}, now=AT)
        assert item.value is None or -1 <= item.value <= 1


@given(st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_bodies_are_objects_or_refused(body: bytes) -> None:
    with allowed(400):
        json.dumps(parse(body), ensure_ascii=False).encode()


@given(st.binary(max_size=300), st.integers(0, 300))
def test_inflating_gives_the_content_or_a_refusal_and_never_more_than_the_limit(body: bytes, limit: int) -> None:
    packed = gzip.compress(body)
    if len(body) > limit:
        with pytest.raises(Invalid) as caught:
            inflate(packed, limit)
        assert caught.value.status == 413
    else:
        assert inflate(packed, limit) == body
    with allowed(400, 413):
        assert len(inflate(body, limit)) <= limit


@given(VALUES)
def test_cleaned_values_are_unicode_without_nul(value: Any) -> None:
    cleaned = clean_value(value)
    text = json.dumps(cleaned, ensure_ascii=False)
    assert "\\u0000" not in text
    text.encode()
    assert clean_value(cleaned) == cleaned


@given(st.text(alphabet=st.characters(codec=None)))
def test_cleaned_text_is_utf_8(text: str) -> None:
    clean(text).encode()
    assert "\0" not in clean(text)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["id", "at", "prompt", "messages", "chosen", "rejected", "labels"]), VALUES),
        max_size=4,
    )
)
def test_files_are_read_whole_or_refused_as_a_whole(rows: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        for parse_file in (parse_traffic, parse_pairs):
            try:
                read = list(parse_file(path, {}))  # type: ignore[operator]
            except InvalidInput:
                continue
            assert len(read) == len(rows)
