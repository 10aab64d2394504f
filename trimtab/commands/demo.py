"""`trimtab demo`: the demonstration, or any real file replayed as live traffic."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from trimtab import options
from trimtab.output import emit, progress


@click.command()
@click.option("--traffic", type=click.Path(path_type=Path), help="Replay this file's prompts through the gateway.")
@options.column_map
@click.option("--key", envvar="OPENAI_API_KEY", help="API key for the replay (trimtab key add NAME).")
@click.option("--rate", default=2.0, show_default=True, help="Prompts a second.")
@click.option("--limit", default=300, show_default=True, help="Prompts at most.")
@click.option("--max-tokens", default=16, show_default=True, help="Tokens of each answer.")
@click.option("--manual", is_flag=True, help="Nobody approves but you.")
@options.as_json
@click.pass_context
def demo(
    context: click.Context,
    traffic: Path | None,
    columns: str,
    key: str | None,
    rate: float,
    limit: int,
    max_tokens: int,
    manual: bool,
    as_json: bool,
) -> None:
    """Show the product on demo data; with --traffic, replay a file into the installation that is running."""
    if traffic is None:
        from trimtab.commands.up import start
        from trimtab.demo.home import demo_settings

        sys.exit(start(demo_settings(options.settings(context)), demo=True, manual=manual))
    from trimtab.demo.replay import replay

    settings = options.settings(context)
    with progress(f"Replaying {traffic.name}", quiet=as_json) as report:
        result = asyncio.run(
            replay(
                settings,
                traffic,
                options.parse_map(columns),
                key=key,
                rate=rate,
                limit=limit,
                max_tokens=max_tokens,
                progress=report,
            )
        )
    emit(result, as_json=as_json, text=f"{result['answered']} of {result['sent']} prompts were answered.")
    sys.exit(0 if result["answered"] == result["sent"] else 1)
