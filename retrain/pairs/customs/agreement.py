"""How far labels agree: those of different people on the same answers, and each with what the other prompts teach."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from estimates.means import mean
from estimates.proportions import proportion
from retrain.pairs.customs.findings import Result
from retrain.pairs.customs.lot import Lot


class Agreement:
    """Measures agreement over the whole lot; nothing is held. Low agreement is a ceiling for any training."""

    name = "agreement"

    def run(self, lot: Lot) -> Result:
        together = sum(len(set(said.values())) == 1 for said in lot.votes)
        figures = {"people": asdict(proportion(together, len(lot.votes)))}
        if lot.margins is not None:
            agreed = (np.sign(lot.margins.values) + 1) / 2
            figures["model"] = asdict(mean(agreed, low=0, high=1, clusters=lot.groups.tolist()))
        return Result(figures=figures)
