"""Detectors: each reads an answer and says whether it shows something; None when it cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from monitors.detectors.canary import follows_override
from monitors.detectors.choice import names_first
from monitors.detectors.injected import obeys
from monitors.detectors.refusal import refuses

Detect = Callable[[str, str], bool | None]

# What a probe prompt's `detector` may name: `True` means that the answer shows it.
DETECTORS: MappingProxyType[str, Detect] = MappingProxyType(
    {"refusal": refuses, "canary": follows_override, "injected": obeys, "choice": names_first}
)
