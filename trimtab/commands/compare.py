"""`trimtab compare`: registered versions side by side, asked the same through the running gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from config.secrets import internal_key
from trimtab import installation, options
from trimtab.output import emit


@click.command()
@click.argument("versions", nargs=-1, required=True)
@options.as_json
@click.pass_context
def compare(context: click.Context, versions: tuple[str, ...], as_json: bool) -> None:
    """Ask VERSIONS (two to six names) the same: quality, speed and cost, and how each differs from the first."""
    from retrain import comparison
    from retrain.asking import Asker
    from retrain.candidate import Bench

    settings = options.settings(context)
    names = comparison.check_names(versions)
    store = installation.open_store(settings)

    async def run() -> dict[str, Any]:
        asker = Asker(settings.gateway_url, internal_key(settings), settings.deployment)
        bench = Bench(store, settings, asker, clock=lambda: datetime.now(UTC))
        try:
            return await comparison.compare(bench, names, tell=tell)
        finally:
            await asker.close()

    async def tell(what: str, done: int, of: int) -> None:
        click.echo(f"{what}: {done} of {of}", err=True)

    found = asyncio.run(run())
    lines = [f"{found['prompts']} prompts each; differences are from {found['baseline']}."]
    for name, measures in found["versions"].items():
        lines += ["", name, *(f"  {measure.replace('_', ' ')}: {say(told)}" for measure, told in measures.items())]
    emit(found, as_json=as_json, text="\n".join(lines))


def say(told: Mapping[str, Any]) -> str:
    """A measure in words: its value, and how it differs from the first version's."""
    value = told["value"]
    if not isinstance(value, Mapping):
        return f"{value:.3g} {told.get('currency', '')}".rstrip()
    money = f" {told['currency']}" if "currency" in told else ""
    return f"{_interval(value, money)}; difference {_interval(told['difference'], money)}"


def _interval(estimate: Mapping[str, Any], unit: str) -> str:
    if estimate["value"] is None:
        return f"not enough data: {estimate['needed']} more needed"
    return f"{estimate['value']:.3g}{unit} [{estimate['low']:.3g}, {estimate['high']:.3g}], n = {estimate['n']}"
