"""`trimtab import`: traffic and preference pairs from JSONL files, all rows or none."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from core.errors import InvalidInput
from trimtab import installation, options
from trimtab.output import emit, progress

FILE = click.argument("file", type=click.Path(path_type=Path))


@click.group(name="import")
def imports() -> None:
    """Bring in files (JSONL, plain or gzipped)."""


@imports.command()
@FILE
@options.column_map
@options.as_json
@click.pass_context
def traffic(context: click.Context, file: Path, columns: str, as_json: bool) -> None:
    """Import past exchanges: id, at, prompt or messages, response, version, user, conversation, labels."""
    from gateway.imports import import_traffic

    settings = options.settings(context)
    store = installation.open_store(settings)
    with progress(f"Importing {file.name}", quiet=as_json) as report:
        result = import_traffic(
            store,
            file,
            options.parse_map(columns),
            actor="system:command-line",
            now=datetime.now(UTC),
            progress=report,
            deployment=settings.deployment,
        )
    _tell(result, file, as_json)


@imports.command()
@FILE
@options.column_map
@options.as_json
@click.pass_context
def pairs(context: click.Context, file: Path, columns: str, as_json: bool) -> None:
    """Import preference pairs: prompt, chosen, rejected, contributor, session, at, version, source, licence."""
    from gateway.imports import import_pairs

    settings = options.settings(context)
    store = installation.open_store(settings)
    with progress(f"Importing {file.name}", quiet=as_json) as report:
        result = import_pairs(
            store, file, options.parse_map(columns), actor="system:command-line", now=datetime.now(UTC), progress=report
        )
    _tell(result, file, as_json)


@imports.command()
@FILE
@click.option("--version", default="", help="The version that garak asked; by default the one that serves now.")
@click.option(
    "--calibration", type=click.Path(path_type=Path), help="garak's calibration, for z-scores beside the shares."
)
@options.as_json
@click.pass_context
def garak(context: click.Context, file: Path, version: str, calibration: Path | None, as_json: bool) -> None:
    """Import a finished garak run: its report.jsonl."""
    from monitors.garak import import_run, read_calibration
    from store import deployments

    settings = options.settings(context)
    store = installation.open_store(settings)
    known = read_calibration(calibration) if calibration else None
    with store.read() as tx:
        route = deployments.current(tx, settings.deployment)
    named = version or (str(route["version"]) if route is not None else "")
    if not named:
        raise InvalidInput("Nothing serves yet, so the run's version is not known.", "Name it with --version.")
    result = import_run(
        store, file, version=named, actor="system:command-line", now=datetime.now(UTC), calibration=known
    )
    _tell(result, file, as_json)


def _tell(result: Any, file: Path, as_json: bool) -> None:
    emit(asdict(result), as_json=as_json, text=f"{file.name}: {result.rows} rows, {result.new_rows} of them new.")
