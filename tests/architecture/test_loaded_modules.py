"""What a process loads: nothing heavy by importing a package, and in the console's process never torch or Evidently."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "transformers", "peft", "evidently", "sklearn", "pandas", "ray", "gguf", "huggingface_hub"}

# From the bottom up, as the layers allow, so that one process can look at them all: what stands loaded after a package
# was brought in by it or by one beneath it.
UPWARDS = ["core", "config", "estimates", "store", "models", "gateway", "monitors", "retrain", "trimtab"]

# Imports every module of each package and reports what stands loaded then; not what is a script and runs when imported:
# the start scripts, the migrations, and the file that Streamlit runs (dashboard.pages has all that it imports).
PROBE = """
import importlib, json, pkgutil, sys, threading
for package in map(importlib.import_module, sys.argv[1:]):
    names = [package.__name__]
    names += [found.name for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
    names = [name for name in names if not name.endswith(".__main__") and ".migrations" not in name]
    names = [name for name in names if name != "dashboard.app"]
    for name in names:
        importlib.import_module(name)
    loaded = sorted({name.partition(".")[0] for name in sys.modules})
    print(json.dumps({"modules": names, "loaded": loaded, "threads": threading.active_count()}))
"""


@functools.cache
def probe(*packages: str) -> dict[str, dict[str, Any]]:
    """What a new process has loaded after each of `packages`, imported in this order."""
    outcome = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE, *packages],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},  # a page must import without any setting
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    lines = outcome.stdout.splitlines()
    assert len(lines) == len(packages), f"importing prints: {outcome.stdout[:500]}"
    return {package: json.loads(line) for package, line in zip(packages, lines, strict=True)}


def test_probe_sees_what_is_loaded() -> None:
    found = probe(*UPWARDS)["estimates"]
    assert "numpy" in found["loaded"]
    assert "estimates" in found["modules"]


def test_core_loads_the_standard_library_alone() -> None:
    foreign = set(probe(*UPWARDS)["core"]["loaded"]) - sys.stdlib_module_names - {"core"}
    assert {name for name in foreign if not name.startswith(("_", "sitecustomize"))} == set()


@pytest.mark.parametrize("package", UPWARDS)
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    found = probe(*UPWARDS)[package]
    assert set(found["loaded"]) & HEAVY == set()
    assert found["threads"] == 1, f"importing {package} starts a thread"


def test_console_loads_neither_models_nor_reports() -> None:
    # Streamlit itself loads pandas; what must stay out is what makes a process heavy or slow.
    found = probe("dashboard")["dashboard"]
    assert len(found["modules"]) > 3
    assert set(found["loaded"]) & {"torch", "transformers", "peft", "evidently", "sklearn", "scipy.stats"} == set()
