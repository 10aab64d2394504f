"""`trimtab rollback`: back to an earlier version at once, also while the database is down."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime

import click

from core.errors import InvalidInput, Unavailable
from core.segments import deployment_of, parse
from store import apart, deployments
from store.unit_of_work import Store
from trimtab import options
from trimtab.output import emit, say

# A database that says nothing at all must leave time for the pointer: the whole is to take no more than five seconds.
PATIENCE_SECONDS = 2


@click.command()
@click.option("--reason", required=True, help="Why; it goes into the audit chain.")
@click.option("--to", default="", metavar="VERSION", help="Version to go back to (default: the one before).")
@click.option("--segment", default="", metavar="LABEL=VALUE", help="Only for this segment (default: for everybody).")
@options.as_json
@click.pass_context
def rollback(context: click.Context, reason: str, to: str, segment: str, as_json: bool) -> None:
    """Serve the earlier version again, to all segments too. With the database down through a file, audited later."""
    settings = options.settings(context)
    now, actor = datetime.now(UTC), f"command-line:{getpass.getuser()}"
    if not reason.strip():
        raise InvalidInput("A rollback needs a reason.", 'Write it like --reason "answers are garbled".')
    only = parse(segment) if segment else None
    name = settings.deployment if only is None else deployment_of(settings.deployment, only)
    store = Store.open(settings.store_url, patience_seconds=PATIENCE_SECONDS)
    try:
        with store.write(now) as tx:
            deployments.roll_back(tx, name, actor=actor, reason=reason, to=to)
            route = deployments.current(tx, name)
            assert route is not None
            if only is None:
                apart.roll_back_all(tx, name, to=route["version"], actor=actor, reason=reason)
        version, through = str(route["version"]), "database"
    except Unavailable as error:
        from gateway.pointer import point

        say(f"trimtab: {error.message} Rolling back through the local pointer.")
        version, through = point(settings, to=to, reason=reason, actor=actor, now=now, segment=only), "pointer"
    finally:
        store.close()
    emit(
        {"deployment": name, "version": version, "through": through},
        as_json=as_json,
        text=f"{name} goes back to {version}.",
    )
