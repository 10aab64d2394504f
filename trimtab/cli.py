"""The `trimtab` command: one subcommand a task, each in a file of trimtab/commands under its own name."""

from __future__ import annotations

import importlib
from typing import Any

import click

from core.errors import TrimtabError
from trimtab.output import fail

# name -> (module in trimtab.commands, attribute). Imported when asked for, so that --help is quick.
COMMANDS = {
    "up": ("up", "up"),
    "demo": ("demo", "demo"),
    "doctor": ("doctor", "doctor"),
    "settings": ("settings", "settings"),
    "models": ("models", "models"),
    "user": ("user", "user"),
    "key": ("key", "key"),
    "channel": ("channel", "channel"),
    "import": ("imports", "imports"),
    "pairs": ("pairs", "pairs"),
    "backtest": ("backtest", "backtest"),
    "judge": ("judge", "judge"),
    "probe": ("probe", "probe"),
    "train": ("train", "train"),
    "compare": ("compare", "compare"),
    "rollback": ("rollback", "rollback"),
    "fingerprint": ("fingerprint", "fingerprint"),
    "audit": ("audit", "audit"),
    "evidence": ("evidence", "evidence"),
}


class Commands(click.Group):
    """A group that imports a subcommand only when it is used, and turns our errors into one sentence."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name]
        command: click.Command = getattr(importlib.import_module(f"trimtab.commands.{module}"), attribute)
        return command

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except TrimtabError as error:
            fail(error, as_json=bool(context.obj and context.obj.get("json")))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--home", type=click.Path(file_okay=False), help="Folder of the installation (default ~/.trimtab).")
@click.option(
    "--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Override a setting, e.g. gateway.port=9000."
)
@click.version_option(package_name="trimtab")
@click.pass_context
def main(context: click.Context, home: str | None, assignments: tuple[str, ...]) -> None:
    """Operations console of a preference-tuned language model in production."""
    flags: dict[str, Any] = {"home": home}
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise click.BadParameter(f"{assignment} is not NAME=VALUE", param_hint="--set")
        flags[name] = value
    context.obj = {"flags": flags, "json": False}
