"""Options that several commands share, and how a command gets its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from config import load
from core.errors import InvalidInput
from core.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def as_json(command: Command) -> Command:
    """--json: results on stdout as JSON lines; errors too."""

    def remember(context: click.Context, parameter: click.Parameter, value: bool) -> bool:
        (context.find_root().obj or {})["json"] = value
        return value

    return click.option(
        "--json", "as_json", is_flag=True, callback=remember, help="Print JSON lines instead of sentences."
    )(command)


def column_map(command: Command) -> Command:
    """--map: which columns of the file hold what."""
    return click.option(
        "--map",
        "columns",
        default="",
        metavar="FIELD=COLUMN,...",
        help="Names the columns, e.g. id=event_id,at=ts,prompt=text.",
    )(command)


def parse_map(text: str) -> dict[str, str]:
    """`a=b,c=d` as a dictionary. Raises InvalidInput that names the piece that is wrong."""
    mapping: dict[str, str] = {}
    for piece in filter(None, (part.strip() for part in text.split(","))):
        field, separator, column = piece.partition("=")
        if not separator or not field or not column:
            raise InvalidInput(f"In --map, {piece} is not FIELD=COLUMN.", "Write it like --map id=event_id,at=ts.")
        if field in mapping:
            raise InvalidInput(f"In --map, {field} is named twice.", "Name each field once.")
        mapping[field] = column
    return mapping


def settings(context: click.Context, **flags: Any) -> Settings:
    """The settings for this call: the group's flags and the command's own."""
    given = {**(context.find_root().obj or {}).get("flags", {}), **{k: v for k, v in flags.items() if v is not None}}
    return load(given)
