"""`trimtab backtest`: runs a monitor over past traffic, look by look as if live."""

from __future__ import annotations

from pathlib import Path

import click

from core.errors import InvalidInput
from core.settings import RHYTHMS
from trimtab import installation, options
from trimtab.output import emit, progress


@click.command()
@click.option("--monitor", required=True, help="Which monitor, e.g. prompt_drift.")
@click.option("--traffic", required=True, type=click.Path(path_type=Path), help="JSONL file, plain or gzipped.")
@options.column_map
@click.option("--reference", default=1000, show_default=True, help="The first rows are the reference.")
@click.option("--every", default=100, show_default=True, help="Rows between two looks.")
@click.option("--budget", default=0.1, show_default=True, help="Probability of any false alarm over the whole file.")
@click.option("--seed", default=0, show_default=True, help="Seed of the monitor's randomness.")
@click.option(
    "--rhythm", type=click.Choice(RHYTHMS), default="none", show_default=True, help="Compare like hours only."
)
@options.as_json
@click.pass_context
def backtest(
    context: click.Context,
    monitor: str,
    traffic: Path,
    columns: str,
    reference: int,
    every: int,
    budget: float,
    seed: int,
    rhythm: str,
    as_json: bool,
) -> None:
    """Print one line a look and a summary. The database is not touched."""
    from gateway.imports import parse_traffic
    from models.encoder import Encoder
    from monitors.backtest import backtest as run
    from monitors.backtest import summarise

    settings = options.settings(context)
    rows = list(parse_traffic(traffic, options.parse_map(columns)))
    if not rows:
        raise InvalidInput(f"{traffic.name} holds no rows.", "Name a JSONL file with traffic.")
    installation.require_models(settings)
    encoder = Encoder(settings.encoder_path)
    looks = []
    with progress("Backtest", quiet=as_json) as report:
        for look in run(
            monitor,
            rows,
            reference=reference,
            every=every,
            budget=budget,
            encoder=encoder,
            seed=seed,
            rhythm=rhythm,
        ):
            looks.append(look)
            report(look.seen / len(rows), f"{look.seen} of {len(rows)} rows")
            band = "" if look.low is None else f" [{look.low:.4g}, {look.high:.4g}]"
            value = "not enough data" if look.value is None else f"{look.value:.4g}{band}"
            mark = "  ALARM" if look.alarm else ""
            emit(
                look.as_json(),
                as_json=as_json,
                text=f"look {look.look}: {look.seen} rows, {value}, n {look.n}{mark}",
            )
    summary = dict(summarise(monitor, looks, rows=len(rows), reference=reference, every=every, budget=budget))
    first = summary["first_alarm_seen"]
    told = f"first alarm after {first} rows" if first is not None else "no alarm"
    emit(summary, as_json=as_json, text=f"{len(looks)} looks over {len(rows)} rows at budget {budget:g}: {told}.")
