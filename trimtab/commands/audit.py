"""`trimtab audit`: check the hash-linked chain, or print it for a check elsewhere."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from store import audit as chain
from trimtab import installation, options
from trimtab.output import emit


@click.group()
def audit() -> None:
    """The chain of everything that changed."""


@audit.command()
@options.as_json
@click.pass_context
def verify(context: click.Context, as_json: bool) -> None:
    """Check every link. Exit code 1 names the first bad event."""
    store = installation.open_store(options.settings(context))
    with store.read() as tx:
        found = chain.verify(tx)
    text = (
        f"{found.count} events, every one follows the one before it. Head: {found.head}"
        if found.bad is None
        else f"Event {found.bad} is wrong: {found.reason}. {found.count} events before it are sound."
    )
    emit(asdict(found), as_json=as_json, text=text)
    sys.exit(0 if found.bad is None else 1)


@audit.command()
@click.pass_context
def export(context: click.Context) -> None:
    """Print the chain as JSON lines."""
    store = installation.open_store(options.settings(context))
    with store.read() as tx:
        for event in chain.events(tx):
            emit(asdict(event), as_json=True, text="")
