"""The probes: suites of prompts sent to a version through the gateway, marked as probe traffic."""

from __future__ import annotations

from core.ports import Probe
from core.registry import Registry

probes: Registry[type[Probe]] = Registry("probe", "monitors.probes")
