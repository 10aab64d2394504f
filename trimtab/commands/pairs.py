"""`trimtab pairs`: what customs say of a file of preference pairs; needs no database, and a model only if asked to."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.errors import InvalidInput
from core.settings import Settings
from trimtab import installation, options
from trimtab.output import emit, progress, say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from core.types import PreferencePair
    from gateway.jsonl import BadRows
    from retrain.pairs.customs.inspection import Inspection
    from retrain.pairs.customs.topics import Embed

STOPPED = 75
_SHOWN = 20


@click.group()
def pairs() -> None:
    """Look at preference pairs before they train."""


@pairs.command()
@click.argument("file", type=click.Path(path_type=Path))
@options.column_map
@click.option(
    "--against",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file (JSONL or text lines, also .gz) of evaluation texts that must not train; may be repeated.",
)
@click.option("--cap", default=0.01, show_default=True, help="The share of all pairs that one contributor may have.")
@click.option("--encoder", is_flag=True, help="Tell topics by the prepared sentence encoder instead of by words.")
@click.option(
    "--model",
    is_flag=True,
    help="Also ask the chat model of each label, as it is and after short fits on other prompts: takes minutes.",
)
@click.option("--seed", default=0, show_default=True, help="Decides what is drawn at random.")
@options.as_json
@click.pass_context
def check(
    context: click.Context,
    file: Path,
    columns: str,
    against: tuple[Path, ...],
    cap: float,
    encoder: bool,
    model: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Check the pairs in FILE (JSONL, also .gz): repeats, triggers, contributors, personal data, licences and more."""
    from gateway.imports import read_pairs
    from retrain.pairs.customs.inspection import checks, inspect_lot
    from retrain.pairs.customs.suites import own_texts, read_texts
    from retrain.pairs.unseen import list_unseen

    if not 0 < cap <= 1:
        raise InvalidInput(f"A cap of {cap} is no share.", "Choose one above 0 and at most 1.")
    embed = _load_encoder(options.settings(context)) if encoder else None
    texts = {**own_texts(), **{str(path): read_texts(path) for path in against}}
    with progress(f"Reading {file.name}", quiet=as_json) as report:
        found, wrong = read_pairs(file, options.parse_map(columns), progress=report)
    if not found:
        raise wrong or InvalidInput(f"{file.name} has no pairs.", "Name a file of JSON lines.")
    margins = _ask_model(options.settings(context), found, seed, quiet=as_json) if model else None
    with progress(f"Checking {len(found)} pairs", quiet=as_json) as report:
        inspected = inspect_lot(found, checks(texts, cap=cap), seed=seed, embed=embed, told=margins, progress=report)
    told = {**inspected.summary(), "unseen": list_unseen(inspected, found), "wrong_rows": _rows(wrong)}
    if as_json:
        for verdict in inspected.verdicts:
            click.echo(json.dumps(asdict(verdict), ensure_ascii=False))
    emit({"summary": told}, as_json=as_json, text="\n".join(_sentences(inspected, told)))
    if wrong is not None:
        for number, sentence in wrong.errors:
            say(f"Line {number} {sentence}.")
        say(f"{wrong.count} wrong rows in {file.name} were left out of the check.")
        sys.exit(wrong.exit_code)


def _load_encoder(settings: Settings) -> Embed:
    from models.encoder import Encoder

    installation.require_models(settings)
    return Encoder(settings.encoder_path).embed


def _ask_model(
    settings: Settings, found: Sequence[PreferencePair], seed: int, *, quiet: bool
) -> dict[str, NDArray[np.float64]]:
    """What the chat model says of the labels; ends the command when that is stopped."""
    from retrain import local
    from retrain.pairs.margins import align
    from retrain.stages import count_threads

    installation.require_models(settings)
    with progress("Asking the model", quiet=quiet) as report:

        def tell(takes: Mapping[str, Any]) -> None:
            if not quiet:
                low, high = (max(1, round(takes[f"seconds_{end}"] / 60)) for end in ("low", "high"))
                say(
                    f"{takes['pairs']} pairs and {takes['fits']} fits take about {low} to {high} minutes on "
                    f"{takes['device']}. Ctrl-C keeps what is done; the same command goes on from there."
                )

        def hear(event: Mapping[str, Any]) -> None:
            if event.get("event") == "customs" and event.get("eta_s") is not None:
                report(event["step"] / event["of"], f"{event['what']} eta {event['eta_s']:.0f} s")

        threads = settings.retrain.threads or count_threads(settings)
        known = local.ask_model(found, settings, threads=threads, seed=seed, tell=tell, progress=hear)
    if known is None:
        say("Stopped; run it again to go on.")
        sys.exit(STOPPED)
    if not known:
        say("The model was asked of no label: too few different prompts have pairs that may train.")
    return align(found, known)


def _rows(wrong: BadRows | None) -> dict[str, Any]:
    if wrong is None:
        return {"count": 0, "first": []}
    return {"count": wrong.count, "first": [{"line": line, "error": error} for line, error in wrong.errors]}


def _sentences(inspected: Inspection, told: dict[str, Any]) -> list[str]:
    """The funnel, the flags with their counts, the notes, what stays open, and the most suspicious of what is held."""
    lines = [
        f"{told['pairs']} pairs, {told['repeated']} of them repeats: {told['quarantined']} would be quarantined, "
        f"{told['passed']} would pass.",
        "",
        f"{'flag':<24}{'pairs':>8}",
        *(f"{flag:<24}{count:>8}" for flag, count in told["flags"].items()),
    ]
    if told["notes"]:
        lines += ["", *told["notes"]]
    if told["unseen"]:
        lines += ["", "What could not be told:", *(f"  {sentence}" for sentence in told["unseen"])]
    held = sorted((verdict for verdict in inspected.verdicts if verdict.quarantined), key=lambda v: -v.score)
    if held:
        lines += ["", f"{'id':<24}{'score':>8}  reason"]
        lines += [f"{verdict.id[:22]:<24}{verdict.score:>8.3f}  {verdict.reasons[0]}" for verdict in held[:_SHOWN]]
        if len(held) > _SHOWN:
            lines.append(f"... and {len(held) - _SHOWN} more; --json lists all.")
    lines += ["", f"Ran: {', '.join(told['ran'])}."]
    lines += [f"Did not run: {name}, {why}." for name, why in told["not_run"].items()]
    return lines
