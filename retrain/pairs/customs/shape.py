"""The form of a pair: empty or overlong texts, answers that are the same, a prompt without a question."""

from __future__ import annotations

from retrain.pairs.customs.findings import Finding, Result
from retrain.pairs.customs.lot import Lot
from retrain.pairs.form import inspect


class Shape:
    """Holds pairs whose form a run cannot train on."""

    name = "shape"

    def run(self, lot: Lot) -> Result:
        reasons = ((place, reason) for place, pair in enumerate(lot.pairs) for reason in inspect(pair))
        return Result([Finding(place, "form", reason, 0.5) for place, reason in reasons])
