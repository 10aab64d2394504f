"""`trimtab evidence`: what was recorded in a period, for somebody outside, and the check of such a file."""

from __future__ import annotations

import getpass
import hashlib
import sys
import zipfile
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from core.controls import all_frameworks
from core.errors import InvalidInput
from store.evidence import bundle
from store.evidence import verify as checks
from store.evidence.period import Period
from store.queries import audit as queries
from trimtab import installation, options
from trimtab.output import emit, progress

USUAL = timedelta(days=30)


@click.group()
def evidence() -> None:
    """Records of a period by the controls of NIST AI RMF, EU AI Act, ISO 42001 and OWASP."""


@evidence.command()
@click.option("--since", default="", help="First moment, e.g. 2026-11-01 (UTC). By default 30 days before --until.")
@click.option("--until", default="", help="The moment after the last. By default now.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write, a ZIP archive.")
@options.as_json
@click.pass_context
def export(context: click.Context, since: str, until: str, output: Path | None, as_json: bool) -> None:
    """Write one archive: records, controls, a page to read, and the script that checks it. No captured text."""
    settings = options.settings(context)
    store = installation.open_store(settings)
    now = datetime.now(UTC)
    end = _moment("--until", until) if until else now
    period = Period(_moment("--since", since) if since else end - USUAL, end)
    path = output or Path(f"trimtab-evidence-{period.since:%Y%m%d}-{period.until:%Y%m%d}.zip")
    with progress("Exporting", quiet=as_json) as report:
        made = bundle.export(
            store,
            path,
            period,
            deployment=settings.deployment,
            actor=f"command-line:{getpass.getuser()}",
            now=now,
            report=lambda share: report(share, ""),
        )
        report(1.0, "")
    counted = {word: sum(one.get(word, 0) for one in made.controls.values()) for word in ("records", "not covered")}
    emit(
        {**asdict(made), "path": str(made.path)},
        as_json=as_json,
        text=f"{made.path}: {made.records:,} records, {made.events:,} of them events of the chain. "
        f"{counted['records']} controls have records, {counted['not covered']} are not covered. Digest: {made.digest}",
    )


@evidence.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--offline", is_flag=True, help="Check the file by itself, without this installation's chain.")
@options.as_json
@click.pass_context
def verify(context: click.Context, file: Path, offline: bool, as_json: bool) -> None:
    """Check an export, also against the chain of the installation that made it. Exit code 1 says what is wrong."""
    if not zipfile.is_zipfile(file):
        raise InvalidInput(f"{file.name} is no export of evidence.", "Name the ZIP archive that the export wrote.")
    problems = checks.check_export(file)
    if not offline and not problems:
        with zipfile.ZipFile(file) as archive:
            digest = hashlib.sha256(archive.read(checks.MANIFEST)).hexdigest()
        with installation.open_store(options.settings(context)).read() as tx:
            if not any(row["kind"] == "evidence.exported" for row in queries.newest(tx, subject=digest)):
                problems.append("this installation's chain knows no export of this digest")
    sound = "Sound: every file, every record and every link of the chain is as it was written."
    text = "\n".join(f"WRONG: {problem}" for problem in problems) or sound
    emit({"sound": not problems, "problems": problems}, as_json=as_json, text=text)
    sys.exit(1 if problems else 0)


@evidence.command()
@options.as_json
def controls(as_json: bool) -> None:
    """List the controls, and which records speak for each."""
    for framework in all_frameworks():
        for control in framework.controls:
            emit(
                {"framework": framework.name, **asdict(control)},
                as_json=as_json,
                text=f"{framework.name}, {control.id} {control.title}: {control.shows} "
                f"{', '.join(control.records)}".rstrip(),
            )


def _moment(option: str, text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{option} {text} is no time.", "Write it like 2026-11-01 or 2026-11-01T08:00.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
