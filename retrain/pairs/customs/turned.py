"""Which labels look turned round on their own: what follows no pattern, but contradicts what all other pairs teach."""

from __future__ import annotations

import numpy as np

from retrain.pairs.customs.findings import Finding, Result
from retrain.pairs.customs.labels import weight
from retrain.pairs.customs.lot import HELD_OUT, Lot

FLAG = "turned_label"
_PAIRS, _MODEL = "The other pairs teach", "The other pairs, and the model itself, teach"


class Turned:
    """Holds pairs whose label is more probably wrong than right; the others weigh less the more doubtful they are."""

    name = "turned"

    def run(self, lot: Lot) -> Result:
        labels = lot.labels
        if labels is None:
            return Result(skipped="there are too few different prompts to learn from")
        figures = {"share": labels.share, "least": labels.least, "n": len(lot.pairs)}
        told = lot.told.get(HELD_OUT, np.full(len(lot.pairs), np.nan))
        asked = int((~np.isnan(told)).sum())
        notes = [f"The chat model was asked about the labels of {asked} pairs."] * bool(asked)
        if not labels.least:
            return Result((), notes, figures)
        findings = [
            Finding(
                place,
                FLAG,
                f"{_MODEL if told[place] < 0 else _PAIRS} the opposite of its label: {1 - right:.0%} that it is the "
                f"wrong way round, as at least {labels.least:.0%} of all labels look so.",
                1 - float(right),
            )
            for place, right in enumerate(labels.right)
            if right < 0.5
        ]
        left = [weight(right) for right in labels.right if right >= 0.5]
        mean = sum(left) / max(len(left), 1)
        notes.append(
            f"About {labels.share:.0%} of {len(lot.pairs)} labels look turned round, at least {labels.least:.0%}: "
            f"{len(findings)} pairs are held, and on average one of the others weighs {mean:.2f} in training."
        )
        return Result(findings, notes, figures)
