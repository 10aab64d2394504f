"""`trimtab doctor`: looks at the installation and says what is wrong and what to do."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime

import click

from trimtab import installation, options
from trimtab.output import emit


@click.command()
@click.option("--repair", is_flag=True, help="Create or upgrade the database and the keys.")
@options.as_json
@click.pass_context
def doctor(context: click.Context, repair: bool, as_json: bool) -> None:
    """Check Python, disk, models, database and the audit chain. Exit code 1 when something is wrong."""
    settings = options.settings(context)
    if repair:
        installation.require_models(settings)
        for name, password in installation.prepare(settings, now=datetime.now(UTC)):
            emit({"account": name, "password": password}, as_json=as_json, text=f"First sign-in: {name} / {password}")
    findings = installation.examine(settings)
    for finding in findings:
        mark = "ok  " if finding.ok else "FAIL"
        remedy = "" if finding.ok else f" {finding.remedy}"
        emit(asdict(finding), as_json=as_json, text=f"{mark} {finding.name}: {finding.message}.{remedy}")
    sys.exit(0 if all(finding.ok for finding in findings) else 1)
