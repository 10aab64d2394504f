"""`trimtab channel`: where notices go."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from store import channels
from trimtab import installation, options
from trimtab.output import emit


@click.group()
def channel() -> None:
    """Channels that notices are sent through."""


@channel.command()
@click.argument("name")
@click.argument("kind")
@click.option("--config", "values", multiple=True, metavar="KEY=VALUE", help="e.g. url=https://..., secret=...")
@options.as_json
@click.pass_context
def add(context: click.Context, name: str, kind: str, values: tuple[str, ...], as_json: bool) -> None:
    """Add a channel: webhook (url, secret), apprise_url (url) or log. Its address is checked first."""
    from monitors.channels import check

    settings = options.settings(context)
    config = options.parse_map(",".join(values))
    check(kind, config, allow_private=settings.monitors.allow_private_webhooks)
    store = installation.open_store(settings)
    with store.write(datetime.now(UTC)) as tx:
        channels.add(tx, name, kind, config, actor="system:command-line")
    emit({"channel": name, "kind": kind}, as_json=as_json, text=f"Notices go to {name} ({kind}).")
