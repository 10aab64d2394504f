"""Writes an export of evidence: one archive of records, controls, a report, and the script that checks it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from core.controls import Framework, all_frameworks, status
from core.errors import Conflict, Unavailable
from core.events import GENESIS
from store import tables as t
from store.evidence import report as pages
from store.evidence import stories, verify
from store.evidence.period import Period
from store.evidence.records import SETS, RecordSet, chain, chain_ends
from store.unit_of_work import Store, Tx

FORM = "trimtab-evidence/1"
KEPT = ("decisions", "runs", "deployments")
AT_ONCE = 1000
# Hears which share is done, 0 to 1.
Report = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Export:
    """An export that was written: where, the SHA-256 of its manifest, its size, and what it holds."""

    path: Path
    digest: str
    bytes: int
    records: int
    events: int
    controls: Mapping[str, Mapping[str, int]]


def export(
    store: Store,
    path: Path,
    period: Period,
    *,
    deployment: str,
    actor: str,
    now: datetime,
    report: Report | None = None,
) -> Export:
    """Write the evidence of `period` to `path`, and an event with its digest to the chain.

    One snapshot of the database is read. The file appears whole or not at all, for its owner alone. Raises Conflict
    where `path` is taken, Unavailable where it cannot be written.
    """
    if path.exists():
        raise Conflict(f"{path} is there already.", "Name another file, or take it away.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        with os.fdopen(handle, "wb") as file:
            with store.snapshot(now) as tx:
                made = _write(tx, file, period, deployment, actor, now, report or (lambda share: None))
            file.flush()
            os.fsync(file.fileno())
        size = os.path.getsize(partial)
        with store.write(now) as tx:
            body = {"since": period.since.isoformat(), "until": period.until.isoformat(), "records": made.records}
            tx.audit(actor, "evidence.exported", made.digest, body)
        os.replace(partial, path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        Path(partial).unlink(missing_ok=True)
    return Export(path, made.digest, size, made.records, made.events, made.controls)


@dataclass(frozen=True, slots=True)
class _Made:
    digest: str
    records: int
    events: int
    controls: Mapping[str, Mapping[str, int]]


def _write(
    tx: Tx, file: io.BufferedWriter, period: Period, deployment: str, actor: str, now: datetime, tell: Report
) -> _Made:
    files: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    kept: dict[str, list[dict[str, Any]]] = {}
    progress = _Progress(_expected(tx, period), tell)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for one in SETS:
            name, rows = f"{one.name}.jsonl", one.rows(tx, period)
            if one.name in KEPT:
                kept[one.name] = list(rows)
                rows = iter(kept[one.name])
            files[name] = _records(archive, name, one, rows, now, progress)
            counts[one.name] = files[name]["records"]
            counts.update({f"{one.name}/{group}": n for group, n in files[name]["groups"].items()})
        told = stories.tell(kept, chain(tx, period))
        answers = [_answer(framework, counts) for framework in all_frameworks()]
        controls = {framework["name"]: framework["counted"] for framework in answers}
        head = _head(tx, period)
        about = {
            "form": FORM,
            "deployment": deployment,
            "since": period.since.isoformat(),
            "until": period.until.isoformat(),
            "exported_at": now.isoformat(),
            "exported_by": actor,
            "installation": head["installation"],
            "oldest_exchange": head["oldest_exchange"],
            "oldest_event": head["oldest_event"],
            "chain": head["chain"],
        }
        listed = [control for framework in answers for control in framework["controls"]]
        page = pages.page(about, answers, told, {one.name: (one.title, counts[one.name]) for one in SETS})
        for name, text in (
            ("controls.json", json.dumps(listed, ensure_ascii=False, indent=1)),
            ("stories.json", json.dumps([asdict(story) for story in told], ensure_ascii=False, indent=1)),
            ("report.html", page),
            ("verify.py", Path(verify.__file__).read_text(encoding="utf-8")),
        ):
            files[name] = _text(archive, name, text, now)
        manifest = json.dumps({**about, "files": files}, ensure_ascii=False, indent=1)
        _text(archive, verify.MANIFEST, manifest, now)
    records = sum(counts[one.name] for one in SETS)
    return _Made(hashlib.sha256(manifest.encode()).hexdigest(), records, head["chain"]["count"], controls)


def _records(
    archive: zipfile.ZipFile,
    name: str,
    one: RecordSet,
    rows: Iterator[Mapping[str, Any]],
    now: datetime,
    done: _Progress,
) -> dict[str, Any]:
    """Write a set of records; returns what the manifest says of it."""
    sha, size, count, groups = hashlib.sha256(), 0, 0, Counter[str]()
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=datetime.isoformat).encode
    with archive.open(_entry(name, now), "w", force_zip64=True) as file:
        while some := list(islice(rows, AT_ONCE)):
            data = ("\n".join(map(encode, some)) + "\n").encode("utf-8", "surrogatepass")
            file.write(data)
            sha.update(data)
            size += len(data)
            count += len(some)
            if one.group:
                groups.update(str(row[one.group]).split(".")[0] for row in some)
            done.step(len(some))
    told = {"sha256": sha.hexdigest(), "bytes": size, "records": count, "group": one.group, "groups": dict(groups)}
    return {"title": one.title, **told}


def _text(archive: zipfile.ZipFile, name: str, text: str, now: datetime) -> dict[str, Any]:
    data = text.encode()
    with archive.open(_entry(name, now), "w") as file:
        file.write(data)
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _entry(name: str, now: datetime) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, now.timetuple()[:6])
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
    return entry


def _answer(framework: Framework, counts: Mapping[str, int]) -> dict[str, Any]:
    """What the records say of each control of a framework."""
    controls = [
        {
            "framework": framework.name,
            "id": control.id,
            "title": control.title,
            "status": status(control, counts),
            "shows": control.shows,
            "records": {name: counts.get(name, 0) for name in control.records},
        }
        for control in framework.controls
    ]
    counted = dict(Counter(str(control["status"]) for control in controls))
    return {"name": framework.name, "source": framework.source, "controls": controls, "counted": counted}


def _head(tx: Tx, period: Period) -> dict[str, Any]:
    """Where the chain of the period begins and ends, and the oldest that is kept."""
    c = t.audit_events.c
    first, last = chain_ends(tx, period)
    oldest = tx.scalar(sa.select(sa.func.min(t.inferences.c.at)))
    genesis = tx.one(sa.select(c.hash, c.at).order_by(c.id).limit(1))
    return {
        "chain": {
            "after": first - 1,
            "previous": tx.scalar(sa.select(c.hash).where(c.id == first - 1)) or GENESIS,
            "count": last - first + 1,
            "head": tx.scalar(sa.select(c.hash).where(c.id == last)) or "",
        },
        "installation": str(genesis["hash"]) if genesis else "",
        "oldest_event": pages.moment(int(genesis["at"])) if genesis else None,
        "oldest_exchange": oldest.isoformat() if oldest else None,
    }


def _expected(tx: Tx, period: Period) -> int:
    """About how many rows there are: those of the sets that may be long."""
    total = 1
    for column in (t.inferences.c.at, t.measurements.c.at, t.feedback.c.at, t.pairs.c.at):
        total += int(tx.scalar(sa.select(sa.func.count()).where(column >= period.since, column < period.until)) or 0)
    first, last = chain_ends(tx, period)
    return total + last - first + 1


@dataclass(slots=True)
class _Progress:
    expected: int
    tell: Report
    done: int = 0

    def step(self, count: int) -> None:
        self.done += count
        self.tell(min(self.done / self.expected, 0.99))


def _unwritable(path: Path, error: OSError) -> Unavailable:
    why = error.strerror or str(error)
    return Unavailable(f"The export cannot be written to {path}: {why}.", "Free some space or name another folder.")
