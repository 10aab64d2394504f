"""Files of traffic and pairs: every form users have, wrong rows by line, nothing half-read."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput, NotFound
from gateway.imports import parse_pairs, parse_traffic, read_pairs
from gateway.jsonl import BadRows

AT = datetime(2025, 3, 3, 0, 16, 5, tzinfo=UTC)


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


def test_mapping_names_the_columns_and_leaves_out_the_others(tmp_path: Path) -> None:
    row = {"event_id": "e-1", "ts": "2025-03-03T00:16:05+00:00", "text": "where is it", "truth_label": "secret"}
    (read,) = parse_traffic(write(tmp_path / "t.jsonl", row), {"id": "event_id", "at": "ts", "prompt": "text"})
    assert (read.at, read.prompt, read.kind, read.labels) == (AT, "where is it", "import", {})
    assert list(read.messages) == [{"role": "user", "content": "where is it"}]


@pytest.mark.parametrize(
    "at",
    [
        "2025-03-03T00:16:05Z",
        "2025-03-03T02:16:05+02:00",
        "2025-03-03T00:16:05",
        1740960965,
        1740960965.0,
        1740960965000,
    ],
)
def test_times_are_read_in_their_forms(tmp_path: Path, at: Any) -> None:
    (read,) = parse_traffic(write(tmp_path / "t.jsonl", {"prompt": "x", "at": at}), {})
    assert read.at == AT


def test_messages_labels_and_answers_are_kept(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    row = {
        "messages": messages,
        "response": "r",
        "version": "v",
        "user": 7,
        "conversation": "c",
        "labels": {"topic": "tea", "n": 3},
    }
    (read,) = parse_traffic(write(tmp_path / "t.jsonl", row), {})
    assert (read.prompt, read.response, read.version, read.user, read.conversation) == ("u", "r", "v", "7", "c")
    assert read.labels == {"topic": "tea", "n": "3"}
    assert list(read.messages) == messages


def test_wrong_rows_are_listed_by_line_and_none_is_given(tmp_path: Path) -> None:
    good = {"id": "a", "prompt": "x"}
    rows = [
        {"id": "b"},
        "not json\n",
        "\n",
        {"id": "c", "prompt": ""},
        {"id": "a", "prompt": "again"},
        {"prompt": "x", "at": "soon"},
        {"prompt": "x", "labels": [1]},
        "[1]\n",
        '{"prompt": NaN}\n',
    ]
    path = write(tmp_path / "bad.jsonl", good, *rows)
    with pytest.raises(BadRows) as caught:
        list(parse_traffic(path, {}))
    assert [line for line, _ in caught.value.errors] == [2, 3, 5, 6, 7, 8, 9, 10]
    assert caught.value.count == 8
    assert "line 6: has the id of line 1" in str(caught.value)


def test_many_errors_are_counted_but_not_all_shown(tmp_path: Path) -> None:
    with pytest.raises(BadRows) as caught:
        list(parse_traffic(write(tmp_path / "bad.jsonl", *[{"id": n} for n in range(50)]), {}))
    assert caught.value.count == 50
    assert "and 30 more" in str(caught.value)


def test_gzip_is_told_by_content_and_damage_is_named(tmp_path: Path) -> None:
    packed = gzip.compress(b'{"prompt": "x"}\n' * 1)
    path = tmp_path / "named.jsonl"
    path.write_bytes(packed)
    assert len(list(parse_traffic(path, {}))) == 1
    path.write_bytes(packed[:-6])
    with pytest.raises(InvalidInput, match="cut off or damaged"):
        list(parse_traffic(path, {}))


def test_missing_file_folder_and_unknown_field_are_plain_sentences(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no file"):
        parse_traffic(tmp_path / "none.jsonl", {})
    with pytest.raises(InvalidInput, match="is not a file"):
        parse_traffic(tmp_path, {})
    with pytest.raises(InvalidInput, match="There is no field promt"):
        parse_traffic(write(tmp_path / "t.jsonl", {}), {"promt": "text"})


def test_line_that_never_ends_is_refused_without_being_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.jsonl.LONGEST_LINE", 100)
    with pytest.raises(BadRows, match="line 2: is longer than 100 bytes; reading stopped there"):
        list(parse_traffic(write(tmp_path / "t.jsonl", {"prompt": "x"}, "x" * 500), {}))


TRANSCRIPT = "\n\nHuman: one\n\nAssistant: two\n\nHuman: three"
TURNS = [
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "three"},
]


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"prompt": "q", "chosen": "good", "rejected": "bad"}, [{"role": "user", "content": "q"}]),
        ({"prompt": TRANSCRIPT, "chosen": "good", "rejected": "bad"}, TURNS),
        ({"prompt": TRANSCRIPT + "\n\nAssistant:", "chosen": "good", "rejected": "bad"}, TURNS),
        ({"prompt": TURNS, "chosen": "good", "rejected": "bad"}, TURNS),
        (
            {
                "prompt": TURNS,
                "chosen": [{"role": "assistant", "content": "good"}],
                "rejected": [{"role": "assistant", "content": "bad"}],
            },
            TURNS,
        ),
        ({"chosen": TRANSCRIPT + "\n\nAssistant: good", "rejected": TRANSCRIPT + "\n\nAssistant: bad"}, TURNS),
        (
            {
                "prompt": [{"role": "agent", "text": "hi"}, {"role": "user", "text": "q"}],
                "chosen": '{"role": "agent", "text": "good"}',
                "rejected": '{"text": "bad", "role": "agent"}',
            },
            [{"role": "assistant", "content": "hi"}, {"role": "user", "content": "q"}],
        ),
    ],
)
def test_pairs_are_read_in_every_form(tmp_path: Path, row: Any, messages: Any) -> None:
    (pair,) = parse_pairs(write(tmp_path / "p.jsonl", row), {})
    assert (list(pair.prompt), pair.chosen, pair.rejected) == (messages, "good", "bad")
    assert pair.source == "p.jsonl"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"prompt": "q", "chosen": "same", "rejected": "same"}, "the same chosen and rejected"),
        ({"prompt": "q", "chosen": "good"}, "no rejected answer"),
        ({"chosen": "good", "rejected": "bad"}, "differ in the last answer only"),
        ({"prompt": [{"role": "martian", "content": "x"}], "chosen": "a", "rejected": "b"}, "without a known role"),
        ({"prompt": [{"role": "user", "content": None}], "chosen": "a", "rejected": "b"}, "without content"),
    ],
)
def test_wrong_pairs_say_what_is_missing(tmp_path: Path, row: Any, told: str) -> None:
    with pytest.raises(BadRows, match=told):
        list(parse_pairs(write(tmp_path / "p.jsonl", row), {}))


@pytest.mark.parametrize(
    ("name", "mapping", "rows"),
    [
        ("derived-preferences/pairs.jsonl.gz", {}, 2103),
        ("hh-rlhf/pairs.jsonl.gz", {}, 1258),
        ("taskmaster4-reward/pairs.jsonl.gz", {"prompt": "context"}, 617),
    ],
)
def test_public_pairs_are_read_whole(public_data: Path, name: str, mapping: dict[str, str], rows: int) -> None:
    read = list(parse_pairs(public_data / name, mapping))
    assert len(read) == rows
    assert all(pair.prompt and pair.chosen != pair.rejected for pair in read)


def test_public_stream_is_read_whole(public_data: Path) -> None:
    mapping = {"id": "event_id", "at": "ts", "prompt": "text"}
    read = list(parse_traffic(public_data / "streams/clinc_control.jsonl.gz", mapping))
    assert len(read) == 4000
    assert [row.at for row in read] == sorted(row.at for row in read)
    assert len({row.uuid for row in read}) == 4000


USER, GOOD, BAD = (
    {"role": role, "content": text} for role, text in (("user", "q"), ("assistant", "a"), ("assistant", "b"))
)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"input": {"messages": [USER]}, "preferred_output": [GOOD], "non_preferred_output": [BAD]},
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"},
    ],
    ids=["plain", "trl explicit", "trl implicit", "openai", "hh-rlhf"],
)
def test_a_pair_is_the_same_in_every_form(tmp_path: Path, row: dict[str, Any]) -> None:
    (pair,) = parse_pairs(write(tmp_path / "p.jsonl", row), {})
    assert (list(pair.prompt), pair.chosen, pair.rejected) == ([USER], "a", "b")


@pytest.mark.parametrize(("given", "kept"), [(True, "yes"), (False, "no"), ("withdrawn", "withdrawn"), (None, "")])
def test_consent_is_kept_in_words(tmp_path: Path, given: Any, kept: str) -> None:
    row = {"prompt": "q", "chosen": "a", "rejected": "b", "consent": given}
    (pair,) = parse_pairs(write(tmp_path / "p.jsonl", row), {})
    assert pair.consent == kept


def test_what_is_wrong_does_not_keep_the_others_from_being_read(tmp_path: Path) -> None:
    good = {"id": 3, "prompt": "q", "chosen": "a", "rejected": "b"}
    pairs, wrong = read_pairs(write(tmp_path / "p.jsonl", "oops\n", good, {"prompt": "q"}), {})
    assert [(pair.uuid, pair.at) for pair in pairs] == [("3", None)]
    assert wrong is not None
    assert [line for line, _ in wrong.errors] == [1, 3]
