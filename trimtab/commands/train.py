"""`trimtab train`: a training run without the dashboard, from a spec file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from core.errors import TrimtabError
from core.settings import Settings
from trimtab import installation, options
from trimtab.output import emit, progress, say

STOPPED = 75


@click.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the run (default: beside the spec).")
@click.option(
    "--forecast",
    "only_forecast",
    is_flag=True,
    help="Only say what the run would take on this machine, and whether it will help.",
)
@options.as_json
@click.pass_context
def train(context: click.Context, spec: Path, output: Path | None, only_forecast: bool, as_json: bool) -> None:
    """Train on the pairs that SPEC (TOML or JSON) names; Ctrl-C keeps a checkpoint to go on from."""
    from retrain import local

    settings = options.settings(context)
    # The encoder only tells topics and the outlook: without it there is none of both, and a reason.
    installation.require_models(settings, encoder=False)
    base = str(settings.chat_path)
    if only_forecast:
        found = local.forecast(spec, base=base, output=output)
        foreseen = _foresee(spec, settings, quiet=as_json)
        emit({**found, **foreseen}, as_json=as_json, text="\n".join(_told({**found, **foreseen})))
        return
    with progress("Training", quiet=as_json) as report:

        def hear(event: Mapping[str, Any]) -> None:
            if event.get("event") == "warning":
                say(f"Warning: {event['message']}")
            elif event.get("event") == "step":
                note = f"loss {event['loss']:.3f} accuracy {event['accuracy']:.2f} eta {event.get('eta_s') or 0:.0f} s"
                report(event["step"] / event["of"], note)

        result = local.train(spec, base=base, encoder=str(settings.encoder_path), output=output, progress=hear)
    product = "model" if "model" in result else "adapter"
    where = f"The {product} is in {result[product]}."
    emit(result, as_json=as_json, text="Stopped; run it again to go on." if result["stopped"] else where)
    sys.exit(STOPPED if result["stopped"] else 0)


def _foresee(spec: Path, settings: Settings, *, quiet: bool) -> dict[str, Any]:
    """Whether the run will help ("outlook"), or why that is not known ("outlook_missing")."""
    from models.encoder import Encoder
    from retrain import local

    try:
        embed = Encoder(settings.encoder_path).embed
    except TrimtabError as error:
        return {"outlook": None, "outlook_missing": str(error)}
    with progress("Will it help?", quiet=quiet) as report:
        return {"outlook": local.outlook(spec, embed, report=lambda share: report(share, "cheap models"))}


def _told(found: Mapping[str, Any]) -> list[str]:
    """What the run takes, whether it will help, and which labels to collect where that is open."""
    outlook = found["outlook"]
    warned = [f"Warning: {warning}" for warning in found["warnings"]]
    takes = f"{found['seconds_low']:.0f} to {found['seconds_high']:.0f} s on {found['device']}, {found['memory_mb']} MB"
    if outlook is None:
        missing = found.get("outlook_missing")
        return [*warned, takes, *([f"Whether it will help is not known: {missing}"] if missing else [])]
    return [*warned, takes, outlook["sentence"], *(f"Label: {line}" for line in outlook["label"])]
