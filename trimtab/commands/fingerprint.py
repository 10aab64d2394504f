"""`trimtab fingerprint`: how a version is told by its answers, and having that taken anew."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime

import click

from core.errors import InvalidInput
from store import prints, versions
from trimtab import installation, options
from trimtab.output import emit


@click.command()
@click.argument("version")
@click.option("--anew", is_flag=True, help="Forget them: what answers next time counts. Needs a reason.")
@click.option("--reason", default="", help="What was exchanged, and why; it goes into the audit chain.")
@options.as_json
@click.pass_context
def fingerprint(context: click.Context, version: str, anew: bool, reason: str, as_json: bool) -> None:
    """The fingerprints of VERSION, one a place; with --anew they are taken again, as after a move to another server."""
    if reason and not anew:
        raise InvalidInput("A reason changes nothing by itself.", "Add --anew.")
    store, now = installation.open_store(options.settings(context)), datetime.now(UTC)
    if anew:
        with store.write(now) as tx:
            prints.forget(tx, version, actor=f"command-line:{getpass.getuser()}", reason=reason)
    with store.read() as tx:
        found = versions.get(tx, version)
        assert found.id is not None
        kept = prints.listed(tx, found.id)
    told = [{"place": one["place"], "digest": one["digest"], "at": one["at"].isoformat()} for one in kept]
    if not told and found.fingerprint:
        told = [{"place": "", "digest": found.fingerprint, "at": ""}]
    lines = [f"{one['digest'][:16]}  {one['place'] or 'place not told'}" for one in told]
    emit(
        {"version": version, "fingerprints": told},
        as_json=as_json,
        text="\n".join(lines) or f"{version} is fingerprinted when it is next loaded or proved.",
    )
