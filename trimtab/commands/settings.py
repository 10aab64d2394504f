"""`trimtab settings`: every setting, its value and where it came from; secrets are not shown."""

from __future__ import annotations

from typing import Any

import click

from config.load import names, variable
from trimtab import options
from trimtab.output import emit


@click.command()
@options.as_json
@click.pass_context
def settings(context: click.Context, as_json: bool) -> None:
    """List the settings with their values and origins."""
    read = options.settings(context)
    for name, _, meaning, secret in names():
        value: Any = read
        for part in name.split("."):
            value = getattr(value, part)
        shown = ("set" if value else "not set") if secret else str(value)
        row = {
            "name": name,
            "value": shown,
            "origin": read.origins.get(name, "default"),
            "variable": variable(name),
            "help": meaning,
        }
        emit(row, as_json=as_json, text=f"{name} = {shown or '(empty)'}  [{row['origin']}]  {meaning}")
