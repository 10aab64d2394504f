"""What an import of a file of pairs would bring, before anything is brought: rows, wrong rows, papers, what is held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.errors import InvalidInput
from core.types import PreferencePair
from gateway.imports import read_pairs
from retrain.pairs import checks
from store import pairs
from store.pairs import content_digest
from store.unit_of_work import Tx

# Unpacked; larger files are for the command line, which no lease waits for.
MOST_BYTES = 128 * 1024 * 1024
SHOWN, LONGEST, TOLD = 5, 240, 10
BATCH = 500


def look(
    tx: Tx,
    path: Path,
    name: str,
    mapping: Mapping[str, str],
    papers: Mapping[str, str],
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Any]:
    """Read all of `path` as an import would. `already` counts pairs that are in the store or come twice in the file,
    `held` the pairs that the first checks would quarantine, by flag. Raises InvalidInput for what is no such file.
    """
    found, wrong = read_pairs(path, mapping, name=name, papers=papers, most_bytes=MOST_BYTES, same=False)
    if not found and wrong is None:
        raise InvalidInput(f"{name} has no rows.", "Choose a file of JSON lines.")
    fresh: list[PreferencePair] = []
    met: set[str] = set()
    flags: Counter[str] = Counter()
    held = 0
    for start in range(0, len(found), BATCH):
        part: dict[str, PreferencePair] = {}
        for pair in found[start : start + BATCH]:
            # The first of equal ones is what an import keeps.
            part.setdefault(content_digest(pair.prompt, pair.chosen, pair.rejected), pair)
        known = pairs.by_digests(tx, list(part)).keys() | met
        new = [pair for digest, pair in part.items() if digest not in known]
        met |= part.keys()
        fresh += new
        for findings in checks.inspect(new):
            held += bool(findings)
            flags.update({finding.flag for finding in findings})
        progress((start + BATCH) / (len(found) + BATCH))
    errors, count = (wrong.errors, wrong.count) if wrong else ([], 0)
    return {
        "rows": len(found) + count,
        "new": len(fresh),
        "already": len(found) - len(fresh),
        "wrong": {"count": count, "first": [list(error) for error in errors]},
        "held": held,
        "flags": dict(flags.most_common()),
        "first": [_row(pair) for pair in found[:SHOWN]],
        "sources": _told(pair.source for pair in found),
        "licences": _told(pair.licence or "none" for pair in found),
        "consents": _told(pair.consent or "not said" for pair in found),
        "contributors": len({pair.contributor for pair in found} - {""}),
        "undated": sum(pair.at is None for pair in found),
    }


def _told(values: Any) -> dict[str, int]:
    return dict(Counter(values).most_common(TOLD))


def _row(pair: PreferencePair) -> dict[str, str]:
    asked = pair.prompt[-1]["content"] if pair.prompt else ""
    return {"prompt": asked[:LONGEST], "chosen": pair.chosen[:LONGEST], "rejected": pair.rejected[:LONGEST]}
