"""`trimtab backtest`: runs a monitor, or all of them, over past traffic, look by look as if live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from core.errors import InvalidInput
from core.settings import RHYTHMS
from trimtab import installation, options
from trimtab.output import emit, progress

ALL = "all"
_STYLE = (
    "<style>body {font-family: system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem}</style>"
)


@click.command()
@click.option("--monitor", required=True, help="Which monitor, e.g. prompt_drift, or all: they share the budget.")
@click.option("--traffic", required=True, type=click.Path(path_type=Path), help="JSONL file, plain or gzipped.")
@options.column_map
@click.option("--reference", default=1000, show_default=True, help="The first rows are the reference.")
@click.option("--every", default=100, show_default=True, help="Rows between two looks.")
@click.option("--budget", default=0.1, show_default=True, help="Probability of any false alarm over the whole file.")
@click.option("--seed", default=0, show_default=True, help="Seed of the monitor's randomness.")
@click.option("--rhythm", type=click.Choice(RHYTHMS), default="none", show_default=True, help="Compare like hours.")
@click.option("--one-in", default=1, show_default=True, help="Read one conversation in so many, as in busy traffic.")
@click.option("--onset", type=int, help="Rows before a change that is known: the summary then tells the delay.")
@click.option("--picture", type=click.Path(path_type=Path), help="Also write the course as an HTML page.")
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
    one_in: int,
    onset: int | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Print one line a look and a summary. The database is not touched.

    With --one-in, rows are those that are read: --reference, --every and the delay count them. --onset is a row of the
    file.
    """
    from gateway.imports import parse_traffic
    from models.encoder import Encoder
    from monitors.backtest import backtest as run
    from monitors.backtest import replayable, share_out, summarise, thinned, unreadable

    settings = options.settings(context)
    whole = list(parse_traffic(traffic, options.parse_map(columns)))
    if not whole:
        raise InvalidInput(f"{traffic.name} holds no rows.", "Name a JSONL file with traffic.")
    kept = thinned(whole, one_in, seed)
    rows = [row for _, row in kept]
    if onset is not None:
        onset = sum(place < onset for place, _ in kept)
    installation.require_models(settings)
    encoder = Encoder(settings.encoder_path)
    together = monitor == ALL
    skipped = {name: why for name in replayable() if (why := unreadable(name, rows, reference))} if together else {}
    if together and len(skipped) == len(replayable()):
        raise InvalidInput("No monitor can read this file.", "Give traffic with prompts and a larger --reference.")
    alphas = (
        share_out(budget, [name for name in replayable() if name not in skipped]) if together else {monitor: budget}
    )
    summaries: dict[str, dict[str, Any]] = {}
    drawn: dict[str, list[dict[str, Any]]] = {}
    for name, alpha in alphas.items():
        looks = []
        how: dict[str, Any] = {"reference": reference, "every": every, "budget": alpha}
        with progress(f"Backtest of {name}", quiet=as_json) as report:
            for look in run(name, rows, encoder=encoder, seed=seed, rhythm=rhythm, **how):
                looks.append(look)
                report(look.seen / len(rows), f"{look.seen} of {len(rows)} rows")
                line = {**({"monitor": name} if together else {}), **look.as_json()}
                emit(line, as_json=as_json, text=_told(line))
        summaries[name] = summarise(name, looks, rows=len(rows), one_in=one_in, onset=onset, **how)
        drawn[name] = [look.as_json() for look in looks]
        if together:
            emit(summaries[name], as_json=as_json, text=_ended(summaries[name]))
    if picture is not None:
        _draw(picture, drawn, reference)
    last = _totalled(summaries, skipped, budget) if together else summaries[monitor]
    emit(last, as_json=as_json, text=_ended(last))


def _totalled(summaries: Mapping[str, Mapping[str, Any]], skipped: Mapping[str, str], budget: float) -> dict[str, Any]:
    """The summary of all monitors together: their alarms, and what of the budget they were granted."""
    firsts = [summary["first_alarm_seen"] for summary in summaries.values() if summary["alarms"]]
    return {
        "summary": True,
        "monitor": ALL,
        "budget": budget,
        "granted": sum(summary["budget"] for summary in summaries.values()),
        "alarms": sum(summary["alarms"] for summary in summaries.values()),
        "alarmed": [name for name, summary in summaries.items() if summary["alarms"]],
        "first_alarm_seen": min(firsts, default=None),
        "skipped": dict(skipped),
    }


def _told(look: Mapping[str, Any]) -> str:
    band = "" if look["low"] is None else f" [{look['low']:.4g}, {look['high']:.4g}]"
    value = "not enough data" if look["value"] is None else f"{look['value']:.4g}{band}"
    mark = "  ALARM" if look["alarm"] else ""
    name = f"{look['monitor']}, " if "monitor" in look else ""
    return f"{name}look {look['look']}: {look['seen']} rows, {value}, n {look['n']}{mark}"


def _ended(summary: Mapping[str, Any]) -> str:
    first = summary["first_alarm_seen"]
    told = f"first alarm after {first} rows" if first is not None else "no alarm"
    if summary["monitor"] == ALL:
        named = f" ({', '.join(summary['alarmed'])})" if summary["alarmed"] else ""
        skipped = "".join(f" Left out: {why}" for why in summary["skipped"].values())
        return f"All monitors at budget {summary['budget']:g}: {told}{named}.{skipped}"
    late = f", {summary['delay']} after the onset" if summary.get("delay") is not None else ""
    read = f"{summary['looks']} looks over {summary['rows']} rows at budget {summary['budget']:.3g}"
    return f"{summary['monitor']}: {read}: {told}{late}."


def _draw(target: Path, drawn: Mapping[str, Sequence[Mapping[str, Any]]], reference: int) -> None:
    """Write one chart a monitor into an HTML page that needs nothing from elsewhere."""
    from html import escape

    from dashboard import charts, plots

    parts = [
        f"<h2>{escape(name)}</h2>{charts.replayed(looks, name, reference).html()}" for name, looks in drawn.items()
    ]
    page = f'<!doctype html><meta charset="utf-8"><title>Backtest</title>{_STYLE}{plots.STYLE}{"".join(parts)}'
    try:
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            f"The picture {target} cannot be written: {error.strerror}.", "Name a file in a folder that exists."
        ) from None
