"""Whatever is done to a chain or an export, the script that comes with it says so, and names the first bad event."""

from __future__ import annotations

import hashlib
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest

from core.events import GENESIS, AuditEvent, check, link
from store.evidence import verify

LENGTH = 40
Event = dict[str, Any]


def make_chain(rng: random.Random, length: int = LENGTH) -> list[Event]:
    """A sound chain with bodies of many shapes."""
    events: list[Event] = []
    previous = GENESIS
    for id in range(1, length + 1):
        body = {"n": rng.randrange(10**6), "ä": rng.choice([None, True, 0.25, "“x”\u2028", [1, "2"], {"b": {}}])}
        told = {"at": 10**15 + id, "actor": rng.choice(["ann", "system:x"]), "kind": "a.b", "subject": str(id % 7)}
        made = link(id, told["at"], told["actor"], told["kind"], told["subject"], body, previous)
        events.append({"id": id, **told, "body": body, "previous": previous, "hash": made})
        previous = made
    return events


def said(events: list[Event], **known: Any) -> str:
    return verify.check_chain([json.dumps(event, ensure_ascii=False) for event in events], **known)


def test_a_sound_chain_is_sound_also_from_its_middle() -> None:
    events = make_chain(random.Random(1))
    assert said(events, count=LENGTH, head=events[-1]["hash"]) == ""
    assert said(events[10:], after=10, previous=events[9]["hash"], count=LENGTH - 10) == ""
    assert check(AuditEvent(**event) for event in events).bad is None


def damage(events: list[Event], rng: random.Random) -> int:
    """Do one thing to a chain, in place; returns the number of the first event that is wrong then."""
    place = rng.randrange(len(events))
    kind = rng.choice(["edit", "delete", "swap", "repeat", "cut", "forge"])
    if kind == "edit":
        field = rng.choice(["id", "at", "actor", "kind", "subject", "body", "previous", "hash"])
        old = events[place][field]
        changed: Any = old + 1 if isinstance(old, int) else {**old, "n": -1} if isinstance(old, dict) else f"{old}x"
        events[place] = {**events[place], field: changed}
        return place + 1
    if kind == "delete":
        del events[place]
        return place + 1
    if kind == "swap":
        other = rng.choice([n for n in range(len(events)) if n != place])
        events[place], events[other] = events[other], events[place]
        return min(place, other) + 1
    if kind == "repeat":
        events.insert(place, dict(events[place]))
        return place + 2
    if kind == "cut":
        del events[place:]
        return place + 1
    # The event is written anew with a hash of its own: the one after it, or the head, does not follow.
    one = {**events[place], "actor": "mallory"}
    content = (one["id"], one["at"], one["actor"], one["kind"], one["subject"], one["body"], one["previous"])
    events[place] = {**one, "hash": link(*content)}
    return min(place + 2, len(events))


@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_damaged_chains_are_found_at_their_first_bad_event(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(100):
        events = make_chain(rng, rng.randrange(2, LENGTH))
        count, head = len(events), events[-1]["hash"]
        first = damage(events, rng)
        assert said(events, count=count, head=head).startswith(f"event {first} "), (first, events)


def test_what_is_no_event_is_named() -> None:
    lines = [json.dumps(event) for event in make_chain(random.Random(3), 5)]
    for bad in ("", "{}", "[1]", "not json", "null", '"text"'):
        assert verify.check_chain([*lines[:3], bad, *lines[4:]]) == "event 4 cannot be read"
    more = {**json.loads(lines[2]), "note": "added"}
    assert verify.check_chain([*lines[:2], json.dumps(more)]) == "event 3 was changed"


def make_archive(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def export(events: list[Event]) -> dict[str, bytes]:
    """The smallest archive that is sound."""
    data = "".join(json.dumps(event) + "\n" for event in events).encode()
    control = {"framework": "F", "id": "C", "status": "records", "records": {"chain/a": len(events)}}
    files = {"chain.jsonl": data, "controls.json": json.dumps([control]).encode(), "report.html": b"<p>"}
    told: dict[str, Any] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in files.items()
    }
    told["chain.jsonl"].update(records=len(events), group="kind", groups={"a": len(events)})
    chain = {"after": 0, "previous": GENESIS, "count": len(events), "head": events[-1]["hash"]}
    return {**files, "manifest.json": json.dumps({"chain": chain, "files": told}).encode()}


def test_whatever_is_done_to_an_archive_is_said(tmp_path: Path) -> None:
    files = export(make_chain(random.Random(5), 12))
    path = tmp_path / "e.zip"
    make_archive(path, files)
    assert verify.check_export(path) == []
    rng = random.Random(6)
    digest = hashlib.sha256(files["manifest.json"]).hexdigest()
    for name in files:
        for _ in range(20):
            data = bytearray(files[name])
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            make_archive(path, {**files, name: bytes(data)})
            assert verify.check_export(path, digest), name
        make_archive(path, {other: data for other, data in files.items() if other != name})
        assert verify.check_export(path), name
    make_archive(path, {**files, "more.txt": b"x"})
    assert verify.check_export(path) == ["more.txt is not named by manifest.json"]


def test_a_byte_that_changed_on_its_way_is_said(tmp_path: Path) -> None:
    path, rng = tmp_path / "e.zip", random.Random(8)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in export(make_chain(rng, 30)).items():
            archive.writestr(name, data)
        inside = range(30, archive.infolist()[0].compress_size)
    whole = path.read_bytes()
    for _ in range(200):
        changed = bytearray(whole)
        changed[rng.choice(inside) + 30] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(changed))
        assert verify.check_export(path)


def test_a_torn_archive_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "e.zip"
    make_archive(path, export(make_chain(random.Random(5), 12)))
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        assert verify.check_export(path), length
