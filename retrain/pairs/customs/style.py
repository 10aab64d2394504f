"""What the chosen answers have in common beside being better: length, form. Said of the whole lot; nothing is held."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from estimates.means import share
from monitors.descriptors.form import form
from retrain.pairs.customs.findings import Result
from retrain.pairs.customs.lot import Lot

# A bias is told once the whole interval lies past these shares.
LIMITS = (0.4, 0.6)
_MEASURES: dict[str, Callable[[str], float]] = {
    "longer": lambda text: len(text),
    "more lines": lambda text: text.count("\n"),
    "more exclamation marks": lambda text: text.count("!"),
    "a list, code or other markup": lambda text: form(text) in ("markdown", "list", "code", "json"),
}
_FEWEST_PROMPTS = 0.2


class Style:
    """Measures how often the chosen answer is the longer or the more decorated one, and how varied the prompts are."""

    name = "style"

    def run(self, lot: Lot) -> Result:
        notes, figures = [], {}
        for name, measure in _MEASURES.items():
            gaps = np.sign([measure(pair.chosen) - measure(pair.rejected) for pair in lot.pairs])
            differ = np.flatnonzero(gaps)
            found = share(gaps[differ] > 0, lot.groups[differ].tolist())
            figures[name] = {
                "share": found.value, "low": found.low, "high": found.high, "n": found.n, "needed": found.needed,
            }  # fmt: skip
            if found.low is None or found.high is None or found.value is None:
                continue
            if found.low > LIMITS[1] or found.high < LIMITS[0]:
                what = (
                    "The chosen answer is the longer one"
                    if name == "longer"
                    else f"Where they differ, the chosen answer has {name}"
                )
                notes.append(
                    f"{what} in {found.value:.0%} [{found.low:.0%}, {found.high:.0%}] of {found.n} pairs: a model may "
                    "learn just that."
                )
        sizes = np.bincount(lot.groups) if len(lot.pairs) else np.zeros(1)
        # Inverse Simpson index: so many equally frequent prompts would be as varied.
        variety = float(len(lot.pairs) ** 2 / max(1, (sizes.astype(float) ** 2).sum()))
        figures["prompts"] = {"different": len(sizes), "as_varied_as": round(variety, 1), "n": len(lot.pairs)}
        if variety < _FEWEST_PROMPTS * len(lot.pairs):
            notes.append(f"Its {len(lot.pairs)} pairs are only as varied as {variety:.0f} different prompts.")
        return Result(notes=notes, figures=figures)
