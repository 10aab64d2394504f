"""How far labels agree: of different people on the same answers, and each with what the other prompts teach, a cheap
model or the chat model itself."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from core.types import Estimate
from estimates.means import mean, share
from retrain.pairs.customs.findings import Result
from retrain.pairs.customs.lot import Lot


class Agreement:
    """Measures agreement over the whole lot; nothing is held. Low agreement is a ceiling for any training."""

    name = "agreement"

    def run(self, lot: Lot) -> Result:
        together = [len(set(said.values())) == 1 for said in lot.votes.values()]
        figures = {"people": asdict(share(together, [prompt for prompt, _ in lot.votes]))}
        if lot.margins is not None:
            figures["model"] = asdict(_agreed(lot.margins.values, lot.groups))
        for kind, told in lot.told.items():
            asked = ~np.isnan(told)
            figures[kind] = asdict(_agreed(told[asked], lot.groups[asked]))
        return Result(figures=figures)


def _agreed(margins: NDArray[np.float64], groups: NDArray[np.int64]) -> Estimate:
    """The share of margins above 0, ties one half."""
    return mean((np.sign(margins) + 1) / 2, low=0, high=1, clusters=groups.tolist())
