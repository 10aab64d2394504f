"""Real chat for the benches of monitors: messages of the ubuntu-irc years as prompts, answers of hh-rlhf (chosen and
rejected), in a random order, so that nothing changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from clinc import embed, read

from core.types import Inference
from monitors.metrics import Unit, metrics
from monitors.metrics import read as text_of

AT = datetime(2026, 1, 5, tzinfo=UTC)
POOL = 20_000


@dataclass
class Chat:
    """Exchanges of real words, the units that each monitor makes of them, and embeddings by text."""

    rows: list[dict[str, str]]
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    units: dict[str, list[Unit | None]] = field(default_factory=dict)

    def embed(self, texts: Sequence[str], encoder: Path, cache: Path) -> None:
        """Embed the texts, or take them from the cache."""
        distinct = list(dict.fromkeys(texts))
        self.vectors.update(zip(distinct, embed(distinct, encoder, cache), strict=True))


def load(data: Path | None) -> Chat:
    """Return POOL exchanges of a prompt and an answer each, drawn independently of each other."""
    if data is None:
        raise SystemExit("Set TRIMTAB_DATA or --data to the folder of the public data.")
    rng = np.random.default_rng(20261126)
    prompts = [r["text"] for r in read(data / "ubuntu-irc" / "messages_2004_2009.jsonl.gz")]
    answers = [r[side] for r in read(data / "hh-rlhf" / "pairs.jsonl.gz") for side in ("chosen", "rejected")]
    chosen = rng.choice(len(prompts), POOL, replace=False)
    return Chat([{"prompt": prompts[i], "response": answers[rng.integers(len(answers))]} for i in chosen])


def units(name: str, rows: list[dict[str, str]], vectors: dict[str, np.ndarray]) -> list[Unit | None]:
    """Return the unit that the monitor `name` makes of each row as live traffic; None where it leaves the row out."""
    metric = metrics.get(name)
    out: list[Unit | None] = []
    for i, row in enumerate(rows, start=1):
        told = {"finish_reason": "stop", **row}
        inference = Inference(str(i), AT + timedelta(seconds=i), "a", "v", "live", [], **told)
        value, text = metric.value(inference), text_of(metric, inference)
        vector = vectors[text] if metric.embedded else None
        out.append(None if value is None else Unit(i, i, inference.at, text, value, vector))
    return out
