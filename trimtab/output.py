"""How commands speak: plain sentences for people, JSON lines with --json, progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from core.errors import TrimtabError

Report = Callable[[float, str], None]


def say(message: str) -> None:
    """A line for a person, on stderr: stdout is for results."""
    click.echo(printable(message), err=True)


def emit(value: Mapping[str, Any], *, as_json: bool, text: str) -> None:
    """A result on stdout: one JSON line, or `text`."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str) if as_json else printable(text))


def printable(text: str) -> str:
    """`text` with what would steer a terminal, or is not seen, by its code: names may come from a file of others."""
    return "".join(sign if sign.isprintable() or sign == "\n" else f"\\u{ord(sign):04x}" for sign in text)


def fail(error: TrimtabError, *, as_json: bool = False) -> NoReturn:
    """Print the error as one sentence (and as JSON on stdout if asked), then exit with its code."""
    if as_json:
        click.echo(json.dumps({"error": error.message, "remedy": error.remedy}))
    say(f"trimtab: {error}")
    sys.exit(error.exit_code)


@contextmanager
def progress(title: str, *, quiet: bool = False) -> Iterator[Report]:
    """A progress bar on a terminal, a line every ten percent elsewhere. Call the result with (share, note)."""
    if quiet:
        yield lambda share, note: None
        return
    if not sys.stderr.isatty():
        last = -1

        def line(share: float, note: str) -> None:
            nonlocal last
            tenth = int(share * 10)
            if tenth != last:
                last = tenth
                say(f"{title}: {share:.0%} {note}".rstrip())

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=1.0, note="")
        yield lambda share, note: bar.update(task, completed=share, note=note)
