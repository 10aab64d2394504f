"""Brings files in: past traffic and preference pairs from JSON lines, every row or none, and once however repeated."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid5

from core.errors import Conflict, InvalidInput
from core.types import Inference, PreferencePair
from gateway.jsonl import BadRow, BadRows, Report, Source, column_of
from gateway.openai import LONGEST_LABEL, LONGEST_LABEL_NAME, LONGEST_NAME, MOST_LABELS
from gateway.transcripts import read_answer, read_messages, read_pair
from store import imports
from store.unit_of_work import Store

TRAFFIC = ("id", "at", "prompt", "messages", "response", "version", "user", "conversation", "labels")
PAIRS = (
    *("id", "prompt", "messages", "chosen", "rejected"),
    *("contributor", "session", "at", "version", "source", "licence", "consent"),
)
# What may be said of all rows of a file that do not say it themselves.
PAPERS = ("source", "licence", "consent")
BATCH = 1000
LONGEST_ID = 150
_NAMES = UUID("6f0d6a52-6a3f-4d8e-9a60-52bb1c3f3f0e")
_MILLISECONDS = 1e11  # larger numbers are times in milliseconds: as seconds they lie past the year 5138
Reader = Callable[[dict[str, Any], int], Any]
_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: rows in the file, rows that were new, and the file's SHA-256."""

    rows: int
    new_rows: int
    digest: str


def parse_traffic(
    path: Path, mapping: Mapping[str, str], *, deployment: str = "assistant", at: datetime | None = None
) -> Iterator[Inference]:
    """The exchanges in `path`, in its order, one at a time. Raises BadRows at the end if any row is wrong.

    `mapping` names columns by field (TRAFFIC); without it a field is its own column, and other columns are left out.
    Rows without a time get `at` (1970 when None).
    """
    columns = column_of(mapping, TRAFFIC)
    return (row for row, _ in Source(path).rows(_traffic_reader(columns, "", deployment, at or _UNKNOWN)))


def parse_pairs(path: Path, mapping: Mapping[str, str], *, at: datetime | None = None) -> Iterator[PreferencePair]:
    """The preference pairs in `path`, read as parse_traffic reads exchanges.

    `prompt` may be a text, messages, or an hh-rlhf transcript; without one, `chosen` and `rejected` are whole
    transcripts that share everything but the last answer. OpenAI's columns are known by their names.
    """
    columns = column_of(mapping, PAIRS)
    return (pair for pair, _ in Source(path).rows(_pair_reader(columns, "", at or _UNKNOWN, path.name)))


def read_pairs(
    path: Path,
    mapping: Mapping[str, str],
    *,
    progress: Report | None = None,
    name: str = "",
    papers: Mapping[str, str] = MappingProxyType({}),
    most_bytes: int | None = None,
    same: bool = True,
) -> tuple[list[PreferencePair], BadRows | None]:
    """Every readable pair in `path`, its uuid the row's id and without a time where it has none, and the wrong rows.

    With `same` a pair with twice the same answer is given: that is for the checks to say. The rest is as in an import.
    """
    columns, source = column_of(mapping, PAIRS), Source(path, name, most_bytes)
    reader = _pair_reader(columns, "", _UNKNOWN, source.name, same=same, papers=papers)

    def read(row: dict[str, Any], line: int) -> PreferencePair:
        pair: PreferencePair
        pair, id = reader(row, line)
        return replace(pair, uuid=id, at=pair.at if row.get(columns["at"]) not in (None, "") else None)

    found: list[PreferencePair] = []
    try:
        for pair in source.rows(read, keep=True):
            found.append(pair)
            if progress and len(found) % BATCH == 0:
                progress(source.share, f"{len(found)} rows read")
    except BadRows as wrong:
        return found, wrong
    return found, None


def import_traffic(
    store: Store,
    path: Path,
    mapping: Mapping[str, str],
    *,
    actor: str,
    now: datetime,
    progress: Report | None = None,
    deployment: str = "assistant",
) -> Imported:
    """Check every row of `path`, then write all of them in one transaction; rows already there are not repeated."""
    columns, digest = column_of(mapping, TRAFFIC), _digest(path)

    def read() -> Reader:
        return _traffic_reader(columns, digest, deployment, now)

    return _import(store, Source(path), "traffic", digest, read, imports.add_traffic, actor, now, progress)


def import_pairs(
    store: Store,
    path: Path,
    mapping: Mapping[str, str],
    *,
    actor: str,
    now: datetime,
    progress: Report | None = None,
    name: str = "",
    papers: Mapping[str, str] = MappingProxyType({}),
    most_bytes: int | None = None,
) -> Imported:
    """Check every row of `path`, then collect all pairs in one transaction; those already there are not repeated.

    `name` is what the file is called where `path` is only where it lies; `papers` (PAPERS) hold for rows that say
    nothing. A file of more than `most_bytes` unpacked is refused.
    """
    columns, digest, source = column_of(mapping, PAIRS), _digest(path), Source(path, name, most_bytes)

    def read() -> Reader:
        return _pair_reader(columns, digest, now, source.name, papers=papers)

    return _import(store, source, "pairs", digest, read, imports.add_pairs, actor, now, progress)


def _import(
    store: Store,
    source: Source,
    kind: str,
    digest: str,
    read: Callable[[], Reader],
    add: Callable[..., int],
    actor: str,
    now: datetime,
    progress: Report | None,
) -> Imported:
    rows = 0
    for rows, _ in enumerate(source.rows(read()), 1):
        if progress and rows % BATCH == 0:
            progress(source.share / 2, f"{rows} rows checked")
    if not rows:
        raise InvalidInput(f"{source.name} has no rows.", "Name a file of JSON lines.")
    done = new = 0
    with store.write(now) as tx:
        imports.require(tx, actor)
        items = source.rows(read())
        while batch := list(itertools.islice(items, BATCH)):
            new += add(tx, [item for item, _ in batch], [f"{digest[:32]}:{id}" for _, id in batch], actor=actor)
            done += len(batch)
            if progress:
                progress(0.5 + source.share / 2, f"{done} of {rows} rows written")
        if _digest(source.path) != digest:
            raise Conflict(f"{source.name} changed while it was read.", "Import it again when it is complete.")
        imports.finish(tx, kind, source.name, digest, rows=rows, new_rows=new, actor=actor)
    return Imported(rows, new, digest)


def _traffic_reader(columns: Mapping[str, str], digest: str, deployment: str, at: datetime) -> Reader:
    identify = _Identifier(columns["id"])

    def read(row: dict[str, Any], line: int) -> tuple[Inference, str]:
        id = identify(row, line)
        given = row.get(columns["messages"])
        messages = read_messages(row.get(columns["prompt"]) if given is None else given)
        prompt = next((m["content"] for m in reversed(messages) if m["role"] == "user"), messages[-1]["content"])
        made = Inference(
            uuid=str(uuid5(_NAMES, f"traffic:{digest}:{id}")),
            at=_time(row.get(columns["at"]), at),
            deployment=deployment,
            version=_text(row, columns["version"], 120),
            kind="import",
            messages=messages,
            prompt=prompt,
            response=_text(row, columns["response"], None),
            user=_text(row, columns["user"], LONGEST_NAME),
            conversation=_text(row, columns["conversation"], LONGEST_NAME),
            labels=_labels(row.get(columns["labels"])),
        )
        return made, id

    return read


def _pair_reader(
    columns: Mapping[str, str],
    digest: str,
    at: datetime,
    name: str,
    *,
    same: bool = False,
    papers: Mapping[str, str] = MappingProxyType({}),
) -> Reader:
    identify = _Identifier(columns["id"])

    def read(row: dict[str, Any], line: int) -> tuple[PreferencePair, str]:
        id = identify(row, line)
        messages, chosen, rejected = read_pair(row, columns)
        good, bad = read_answer(chosen, "chosen"), read_answer(rejected, "rejected")
        if good == bad and not same:
            raise BadRow("has the same chosen and rejected answer")
        made = PreferencePair(
            uuid=str(uuid5(_NAMES, f"pairs:{digest}:{id}")),
            prompt=messages,
            chosen=good,
            rejected=bad,
            contributor=_text(row, columns["contributor"], LONGEST_NAME),
            session=_text(row, columns["session"], LONGEST_NAME),
            at=_time(row.get(columns["at"]), at),
            version=_text(row, columns["version"], 120),
            source=_text(row, columns["source"], 200) or papers.get("source", "") or name,
            licence=_text(row, columns["licence"], 200) or papers.get("licence", ""),
            consent=_consent(row.get(columns["consent"])) or papers.get("consent", ""),
        )
        return made, id

    return read


class _Identifier:
    """The id of each row: its column, or the line number; refuses one seen before."""

    def __init__(self, column: str) -> None:
        self._column = column
        self._seen: dict[bytes, int] = {}

    def __call__(self, row: Mapping[str, Any], line: int) -> str:
        value = row.get(self._column)
        if value is None or value == "":
            value = f"line-{line}"
        if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > LONGEST_ID:
            raise BadRow(f"has an id that is not a text or number of up to {LONGEST_ID} characters")
        short = hashlib.blake2b(str(value).encode("utf-8", "replace"), digest_size=8).digest()
        if short in self._seen:
            raise BadRow(f"has the id of line {self._seen[short]}")
        self._seen[short] = line
        return str(value)


def _time(value: Any, default: datetime) -> datetime:
    if value is None or value == "":
        return default
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if abs(value) > _MILLISECONDS else value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise BadRow("has a time that is neither ISO 8601 nor seconds since 1970")


def _labels(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MOST_LABELS:
        raise BadRow(f"has labels that are not an object of at most {MOST_LABELS} texts")
    labels = {name: text if isinstance(text, str) else str(text) for name, text in value.items() if text is not None}
    if any(not 1 <= len(name) <= LONGEST_LABEL_NAME or len(text) > LONGEST_LABEL for name, text in labels.items()):
        raise BadRow("has a label that is too long")
    return labels


def _consent(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _text({"consent": value}, "consent", 200)


def _text(row: Mapping[str, Any], column: str, longest: int | None) -> str:
    value = row.get(column)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or (longest is not None and len(value) > longest):
        limit = f" of up to {longest} characters" if longest is not None else ""
        raise BadRow(f"has a {column} that is not a text{limit}")
    return value


def _digest(path: Path) -> str:
    Source(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
