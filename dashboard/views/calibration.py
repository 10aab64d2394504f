"""How far a candidate's preference margins mean what they say: both versions' scores and the reliability diagram."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import charts, show, words

SCORES = {"error": "Calibration error", "brier": "Brier score (a coin scores 0.25)"}


def draw(found: Mapping[str, Any], key: str) -> None:
    """A line a score and version, then stated confidence against what people chose."""
    st.caption(
        "When it is 70 % sure which answer people prefer, is it right 70 % of the time? The Brier score is a check."
    )
    for name, title in SCORES.items():
        for version in ("candidate", "champion"):
            estimate = found["versions"][version][name]
            told = f"{title}, {version}: {words.number(estimate['value'])}; {words.interval(estimate)}"
            show.say(told, "quiet", f"calibration-{key}-{name}-{version}")
    bins = found["versions"]["candidate"]["reliability"]
    enough = [part for part in bins if part["right"]["value"] is not None]
    if enough:
        alt = "; ".join(
            f"stated {part['confidence']:.0%}, right {part['right']['value']:.0%} of {part['n']}" for part in enough
        )
        show.chart(charts.reliability(bins), f"Reliability of the candidate: {alt}.", f"reliability-{key}")
