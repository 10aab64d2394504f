"""Checks an export of evidence, or an audit chain, with nothing but Python's standard library.

    python verify.py EVIDENCE.zip [--digest DIGEST]
    python verify.py CHAIN.jsonl [--count COUNT] [--head HASH]

It says what is wrong, the first bad event of a chain by its number, and ends with exit code 1; 0 when all is sound. The
digest of an export is known to the installation that made it: its chain holds an event `evidence.exported` with it.
A chain cannot show by itself that its end was cut off: COUNT or HASH, noted elsewhere, do; an export brings both.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

GENESIS = "0" * 64
MANIFEST = "manifest.json"
FIELDS = ("id", "at", "actor", "kind", "subject", "body", "previous")
# What reading an archive that was tampered with may raise.
BROKEN = (
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    OSError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces, as it is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def check_chain(
    lines: Iterable[str], *, after: int = 0, previous: str = GENESIS, count: int | None = None, head: str = ""
) -> str:
    """What is wrong with a chain of JSON lines that follows event `after`, whose hash is `previous`; "" when sound."""
    last = after
    for line in lines:
        number = last + 1
        try:
            event = json.loads(line)
            content = canonical({name: event[name] for name in FIELDS})
        except (ValueError, KeyError, TypeError):
            return f"event {number} cannot be read"
        if type(event["id"]) is not int or event["id"] != number:
            return f"event {number} is missing or out of order"
        if event["previous"] != previous:
            return f"event {number} does not follow the event before it"
        made = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
        if set(event) != {*FIELDS, "hash"} or made != event["hash"]:
            return f"event {number} was changed"
        last, previous = number, made
    if count is not None and last - after != count:
        return f"event {last + 1} is missing: {count} events were written, {last - after} are left"
    if head and previous != head:
        return f"event {last} is not the last: the chain's head is another"
    return ""


def check_export(path: Path, digest: str = "") -> list[str]:
    """What is wrong with an export, a sentence each."""
    problems = []
    try:
        with zipfile.ZipFile(path) as archive:
            for problem in _check(archive, digest):
                problems.append(problem)
    except BROKEN as error:
        problems.append(f"{path.name} does not have the form of an export: {type(error).__name__} {error}")
    return problems


def _check(archive: zipfile.ZipFile, digest: str) -> Iterator[str]:
    """The same, of an open archive; raises where it has not the form of one."""
    raw = archive.read(MANIFEST)
    manifest = json.loads(raw)
    files, chain = manifest["files"], manifest["chain"]
    if digest and hashlib.sha256(raw).hexdigest() != digest:
        yield f"{MANIFEST} is not the one whose digest was given"
    names = [name for name in archive.namelist() if name != MANIFEST]
    yield from (f"{name} is not named by {MANIFEST}" for name in names if name not in files)
    yield from (f"{name} stands in the archive more than once" for name, n in Counter(names).items() if n > 1)
    counts: dict[str, int] = {}
    for name, told in files.items():
        problem = check_file(archive, name, told, counts)
        if problem:
            yield problem
    with archive.open("chain.jsonl") as lines:
        problem = check_chain(
            (line.decode("utf-8", "replace") for line in lines),
            after=chain["after"],
            previous=chain["previous"],
            count=chain["count"],
            head=chain["head"],
        )
    if problem:
        yield f"chain.jsonl: {problem}"
    for control in json.loads(archive.read("controls.json")):
        found = {name: counts.get(name, 0) for name in control["records"]}
        if found != control["records"] or (control["status"] == "records") != any(found.values()):
            yield f"{control['framework']} {control['id']} cites records that are not there"


def check_file(archive: zipfile.ZipFile, name: str, told: dict[str, Any], counts: dict[str, int]) -> str:
    """Compare a file with what the manifest says of it; its records are added to `counts`."""
    sha, size, records, groups = hashlib.sha256(), 0, 0, Counter[str]()
    try:
        with archive.open(name) as file:
            for line in file:
                sha.update(line)
                size += len(line)
                if "records" in told:
                    records += 1
                    if told["group"]:
                        groups[str(json.loads(line)[told["group"]]).split(".")[0]] += 1
    except BROKEN as error:
        return f"{name} cannot be read: {error}"
    if sha.hexdigest() != told["sha256"] or size != told["bytes"]:
        return f"{name} was changed"
    if "records" in told:
        if records != told["records"] or dict(groups) != told["groups"]:
            return f"{name} holds other records than {MANIFEST} counts"
        stem = name.removesuffix(".jsonl")
        counts[stem] = records
        counts.update({f"{stem}/{group}": number for group, number in groups.items()})
    return ""


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Checks an export of evidence, or an audit chain.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--digest", default="", help="the export's digest, as the installation's chain holds it")
    parser.add_argument("--count", type=int, help="how many events a chain has")
    parser.add_argument("--head", default="", help="the hash of a chain's last event")
    given = parser.parse_args(arguments)
    if zipfile.is_zipfile(given.file):
        problems = check_export(given.file, given.digest)
    else:
        try:
            with given.file.open(encoding="utf-8") as lines:
                problem = check_chain(lines, count=given.count, head=given.head)
        except (OSError, UnicodeDecodeError) as error:
            problem = f"{given.file} cannot be read: {error}"
        problems = [problem] if problem else []
    for problem in problems:
        print(f"WRONG: {problem}")
    if not problems:
        print("Sound: every file, every record and every link of the chain is as it was written.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
