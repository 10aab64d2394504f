"""`trimtab key`: API keys for programs that chat through the gateway."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from store import keys
from trimtab import installation, options
from trimtab.output import emit


@click.group()
def key() -> None:
    """API keys of the gateway."""


@key.command()
@click.argument("name")
@options.as_json
@click.pass_context
def add(context: click.Context, name: str, as_json: bool) -> None:
    """Make an API key; it is shown once."""
    store = installation.open_store(options.settings(context))
    with store.write(datetime.now(UTC)) as tx:
        made = keys.create(tx, name, "chat", actor="system:command-line")
    emit({"name": name, "key": made}, as_json=as_json, text=f"Key of {name} (shown once): {made}")
