"""`trimtab judge`: how far the judge that is set agrees with people, before anything relies on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import click

from core.errors import InvalidInput
from trimtab import options
from trimtab.output import emit


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@options.column_map
@click.option("--limit", default=100, show_default=True, help="Pairs asked about, each in both orders.")
@click.option("--seed", default=0, show_default=True, help="Seed sent to the judge.")
@options.as_json
@click.pass_context
def judge(context: click.Context, file: Path, columns: str, limit: int, seed: int, as_json: bool) -> None:
    """Ask the judge about FILE's preference pairs (JSONL): how often it takes the answer that people chose."""
    from gateway.imports import parse_pairs
    from monitors.judge.client import judge as ask
    from monitors.judge.questions import comparison
    from monitors.judge.verdicts import agreement, consistency, position_bias

    settings = options.settings(context)
    pairs = list(islice(parse_pairs(file, options.parse_map(columns)), limit))
    if not pairs:
        raise InvalidInput(f"{file.name} holds no pairs.", "Name a JSONL file with prompt, chosen and rejected.")
    questions = [
        comparison(str(place), _words(pair.prompt), pair.chosen, pair.rejected) for place, pair in enumerate(pairs)
    ]
    found = ask(questions, settings=settings.judge, seed=seed)
    told = {
        "agreement": agreement(found.verdicts, dict.fromkeys((question.id for question in questions), 1.0)),
        "consistency": consistency(found.verdicts),
        "position_bias": position_bias(found.verdicts),
    }
    errors = Counter(verdict.error for verdict in found.verdicts if verdict.value is None)
    unscored = errors.total()
    why = f" (mostly: {errors.most_common(1)[0][0]})" if errors else ""
    lines = [f"{found.judge}: {len(pairs)} pairs in both orders, {unscored} unscored{why}."]
    for name, estimate in told.items():
        value = (
            f"not enough data: {estimate.needed} more scored pairs needed"
            if estimate.value is None
            else f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}], n = {estimate.n}"
        )
        lines.append(f"{name.replace('_', ' ')}: {value}")
    values = {name: asdict(estimate) for name, estimate in told.items()}
    emit(
        {"judge": found.judge, "pairs": len(pairs), "unscored": dict(errors), **values},
        as_json=as_json,
        text="\n".join(lines),
    )


def _words(prompt: Sequence[Mapping[str, str]]) -> str:
    return "\n".join(f"{message.get('role', 'user')}: {message.get('content', '')}" for message in prompt)
