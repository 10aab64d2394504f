"""The console's colours: what must be read can be, in daylight and in the dark."""

from __future__ import annotations

import re

import pytest

from dashboard import show
from dashboard.server import OPTIONS


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_button_and_a_text_have_the_contrast_that_wcag_asks_for(theme: str) -> None:
    colour = {name: OPTIONS[f"theme.{theme}.{name}Color"] for name in ("primary", "background", "text")}
    words = re.search(r'kind\^="primary"].*light-dark\(#fff, (#\w{6})\)', show._STYLE)
    assert words is not None, "Streamlit writes white on any colour"
    assert contrast("#ffffff" if theme == "light" else words[1], colour["primary"]) >= 4.5, "the button that acts"
    assert contrast(colour["primary"], colour["background"]) >= 4.5, "what is chosen"
    for ground in ("background", "secondaryBackground"):
        assert contrast(colour["text"], OPTIONS[f"theme.{theme}.{ground}Color"]) >= 7.0
