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
# was brought in by it or by one beneath it. The console goes its own way from where it stands on the others.
CONSOLE = "dashboard"
UPWARDS = ["core", "config", "estimates", "store", CONSOLE, "models", "gateway", "monitors", "retrain", "trimtab"]

# Imports every module of each package and reports what stands loaded then; not what is a script and runs when imported:
# the start scripts, the migrations, and the file that Streamlit runs (dashboard.pages has all that it imports).
PROBE = """
import importlib, json, os, pkgutil, sys, threading
for root in sys.argv[1:]:
    alone = root == "dashboard"
    if alone and (branch := os.fork()):
        assert os.waitpid(branch, 0)[1] == 0
        continue
    package = importlib.import_module(root)
    names = [package.__name__]
    names += [found.name for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
    names = [name for name in names if not name.endswith(".__main__") and ".migrations" not in name]
    names = [name for name in names if name != "dashboard.app"]
    for name in names:
        importlib.import_module(name)
    loaded = sorted({name.partition(".")[0] for name in sys.modules})
    print(json.dumps(dict(modules=names, loaded=loaded, threads=threading.active_count())), flush=True)
    if alone:
        os._exit(0)
"""


@functools.cache
def probe() -> dict[str, dict[str, Any]]:
    """What a new process has loaded after each package of UPWARDS, imported in this order."""
    outcome = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE, *UPWARDS],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},  # a page must import without any setting
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    lines = outcome.stdout.splitlines()
    assert len(lines) == len(UPWARDS), f"importing prints: {outcome.stdout[:500]}"
    return {package: json.loads(line) for package, line in zip(UPWARDS, lines, strict=True)}


@pytest.mark.slow
def test_probe_sees_what_is_loaded() -> None:
    found = probe()["estimates"]
    assert "numpy" in found["loaded"]
    assert "estimates" in found["modules"]


def test_core_loads_the_standard_library_alone() -> None:
    foreign = set(probe()["core"]["loaded"]) - sys.stdlib_module_names - {"core"}
    assert {name for name in foreign if not name.startswith(("_", "sitecustomize"))} == set()


@pytest.mark.parametrize("package", [package for package in UPWARDS if package != CONSOLE])
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    found = probe()[package]
    assert set(found["loaded"]) & HEAVY == set()
    assert found["threads"] == 1, f"importing {package} starts a thread"


def test_console_loads_neither_models_nor_reports() -> None:
    # Streamlit itself loads pandas; what must stay out is what makes a process heavy or slow.
    found = probe()[CONSOLE]
    assert len(found["modules"]) > 3
    assert set(found["loaded"]) & {"torch", "transformers", "peft", "evidently", "sklearn", "scipy.stats"} == set()
