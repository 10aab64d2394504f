"""Brings in a finished garak run: what each probe's detectors counted, with intervals and, if given, a z-score."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from core.errors import InvalidInput, NotFound
from core.types import Measurement, Status
from estimates.proportions import proportion
from gateway.jsonl import BadRow, Source
from monitors.probes.groups import bonferroni
from store import imports
from store import monitors as rows
from store.unit_of_work import Store

MONITOR = "garak"
KIND = "garak"


@dataclass(frozen=True, slots=True)
class Line:
    """One evaluation line: a probe's outputs as one detector scored them. Unscored ones are `nones`.

    `tries` says for each number k of tries, where the report tells it, at how many of how many prompts one of k hit.
    """

    probe: str
    detector: str
    passed: int
    fails: int
    nones: int = 0
    tries: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The pair as garak's calibrations name it."""
        return f"{self.probe}/{self.detector}"


@dataclass(frozen=True, slots=True)
class Run:
    """A garak run: who was asked, when, with how many outputs a prompt, and its evaluation lines."""

    target: str
    started: str
    release: str
    generations: int
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Mean and standard deviation of the pass rates of many models, by PROBE/DETECTOR; garak's own reference."""

    name: str
    known: Mapping[str, tuple[float, float]]

    def z(self, line: Line) -> float | None:
        """How many standard deviations the line's pass rate lies above the mean; None where that is not known."""
        mu, sigma = self.known.get(line.name, (0.0, 0.0))
        scored = line.passed + line.fails
        return (line.passed / scored - mu) / sigma if sigma > 0 and scored and math.isfinite(mu) else None


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: evaluation lines in the file, measurements made, and the file's SHA-256."""

    rows: int
    new_rows: int
    digest: str


def parse(path: Path) -> Run:
    """The run in a report.jsonl. Raises BadRows naming wrong lines, InvalidInput for a run that did not end."""
    found: list[tuple[str, Any]] = list(Source(path).rows(_read))
    kinds: dict[str, list[Any]] = {}
    for kind, value in found:
        kinds.setdefault(kind, []).append(value)
    lines: list[Line] = kinds.get("eval", [])
    if not kinds.get("completion"):
        raise InvalidInput(f"The garak run in {path.name} did not end.", "Import the report of a finished run.")
    if not lines:
        raise InvalidInput(f"{path.name} holds no evaluation.", "Name garak's report.jsonl, not its hit log.")
    if len({line.name for line in lines}) < len(lines):
        raise InvalidInput(f"{path.name} evaluates a probe twice.", "Import the report of a single run.")
    setup: Mapping[str, Any] = {key: value for part in kinds.get("start_run setup", []) for key, value in part.items()}
    init: Mapping[str, Any] = (kinds.get("init") or [{}])[0]
    target = setup.get("plugins.target_name") or setup.get("plugins.model_name") or ""
    generations = setup.get("run.generations")
    return Run(
        str(target),
        str(init.get("start_time", "")),
        str(init.get("garak_version", "")),
        generations if isinstance(generations, int) and generations > 0 else 1,
        lines,
    )


def read_calibration(path: Path) -> Calibration:
    """A calibration: garak's own JSON, or JSON lines with calibration, date, probe_detector, mu and sigma.

    Of several editions in one file the newest by date counts. Raises NotFound, InvalidInput.
    """
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw).decode("utf-8")
        # These files hold NaN, which JSON does not know: read as Python writes it, and checked where it counts.
        if path.suffix == ".json":
            loaded = json.loads(text)
            known = {name: (float(own["mu"]), float(own["sigma"])) for name, own in loaded.items() if "/" in name}
            return Calibration(path.stem, known)
        editions: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}
        for row in map(json.loads, text.splitlines()):
            edition, name = editions.setdefault((str(row["date"]), str(row["calibration"])), {}), row["probe_detector"]
            if "/" in name:  # what is no pair is about the calibration itself
                edition[name] = float(row["mu"]), float(row["sigma"])
        date, name = max(editions)
        return Calibration(f"{name} ({date})", editions[date, name])
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.", "Check its name.") from None
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        raise InvalidInput(
            f"{path.name} is no garak calibration.", "Name its calibration.json, or JSON lines with mu and sigma."
        ) from None


def measure(run: Run, calibration: Calibration | None = None) -> list[Measurement]:
    """The share of outputs that a detector called a hit, over all lines and for each, which hold together at 95 %."""
    hits, scored = sum(line.fails for line in run.lines), sum(line.passed + line.fails for line in run.lines)
    nones = sum(line.nones for line in run.lines)
    details = {
        "garak": run.release,
        "started": run.started,
        "target": run.target,
        "generations": run.generations,
        "asked": scored + nones,
        "unscored": nones,
        "calibration": calibration.name if calibration else "",
    }
    out = [_measurement("adversarial", hits, scored, run, details=details)]
    level = bonferroni(len(run.lines))
    for line in run.lines:
        z = calibration.z(line) if calibration else None
        found = _measurement(
            "attack_success",
            line.fails,
            line.passed + line.fails,
            run,
            segment=f"garak/{line.name}",
            level=level,
            details={"unscored": line.nones, **({"z": round(z, 3)} if z is not None else {})},
        )
        said = []
        if z is not None and calibration is not None:
            said.append(f"Pass rate {z:+.1f} standard deviations from {calibration.name}.")
        if run.generations > 1 and (counted := line.tries.get(run.generations)):
            said.append(_tell_tries(run.generations, *counted, level))
        out.append(replace(found, reason=" ".join(said)) if found.status == "ok" else found)
    return out


def import_run(
    store: Store, path: Path, *, version: str, actor: str, now: datetime, calibration: Calibration | None = None
) -> Imported:
    """Keep a run's measurements as those of `version`, all in one transaction. The same file again changes nothing."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    run = parse(path)
    with store.write(now) as tx:
        imports.require(tx, actor)
        if any(row["kind"] == KIND for row in imports.by_digest(tx, digest)):
            return Imported(len(run.lines), 0, digest)
        values = {"title": "Imported garak runs", "enabled": False, "weight": 0.0}
        rows.ensure(tx, name=MONITOR, metric=MONITOR, actor=actor, rule={}, params={}, plan={}, **values)
        monitor = rows.get(tx, MONITOR)
        found = measure(run, calibration)
        for measurement in found:
            rows.measure(tx, monitor["id"], measurement, version=version)
        imports.finish(tx, KIND, path.name, digest, rows=len(run.lines), new_rows=len(run.lines), actor=actor)
    return Imported(len(run.lines), len(run.lines), digest)


def _measurement(
    name: str,
    hits: int,
    scored: int,
    run: Run,
    *,
    segment: str = "",
    level: float = 0.95,
    details: Mapping[str, Any],
) -> Measurement:
    estimate = proportion(hits, scored, minimum=1, level=level)
    if run.generations > 1:
        # The report's lines do not say which outputs belong to one prompt.
        estimate = replace(estimate, method=f"{estimate.method}, outputs of one prompt taken as independent")
    status: Status = "ok" if estimate.value is not None else "nodata"
    reason = "" if status == "ok" else "No output could be scored."
    return Measurement(name, estimate, status, segment=segment, reason=reason, details=details)


def _tell_tries(k: int, hit: int, prompts: int, level: float) -> str:
    """hit@k over prompts, which unlike outputs are independent."""
    share = proportion(hit, prompts, minimum=1, level=level)
    assert share.low is not None and share.high is not None
    limits = f"{100 * share.low:.1f} to {100 * share.high:.1f} %"
    return f"One of {k} tries got through at {hit} of {prompts} prompts ({limits})."


def _read(row: Mapping[str, Any], line: int) -> tuple[str, Any]:
    kind = str(row.get("entry_type", ""))
    if kind in ("start_run setup", "init", "completion"):
        return kind, row
    return (kind, _evaluated(row)) if kind == "eval" else (kind, None)


def _evaluated(row: Mapping[str, Any]) -> Line:
    probe, detector = row.get("probe"), row.get("detector")
    if not isinstance(probe, str) or not isinstance(detector, str) or not probe or not detector:
        raise BadRow("names no probe or no detector")
    whole = row.get("total_evaluated", row.get("total"))
    passed, nones = row.get("passed"), row.get("nones", 0)
    counts = (passed, whole, nones)
    if not all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in counts):
        raise BadRow("counts something that is not a whole number")
    assert isinstance(passed, int) and isinstance(whole, int) and isinstance(nones, int)
    if passed > whole or row.get("fails", whole - passed) != whole - passed:
        raise BadRow(f"says that {passed} of {whole} outputs passed and {row.get('fails')} failed")
    probe, detector = probe.removeprefix("probes."), detector.removeprefix("detectors.").removeprefix("detector.")
    return Line(probe[:100], detector[:100], passed, whole - passed, nones, _tries(row.get("hit_at_k")))


def _tries(told: Any) -> dict[int, tuple[int, int]]:
    """The prompts hit within k tries. A share of prompts that is none (not all were tried k times) is left out."""
    found: dict[int, tuple[int, int]] = {}
    for k, own in told.items() if isinstance(told, dict) else ():
        try:
            score, prompts = float(own["score"]), int(own["prompts"])
            hit = round(score * prompts)
            if 0 <= hit <= prompts and prompts and math.isclose(hit / prompts, score, abs_tol=1e-6):
                found[int(k)] = hit, prompts
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
    return found
