"""What a process loads: nothing heavy by importing a package, and in the console's process never torch or Evidently."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "transformers", "peft", "evidently", "sklearn", "pandas", "ray", "gguf", "huggingface_hub"}

# Imports every module of a package and reports what stands loaded; not what is a script and runs when imported: the
# start scripts, the migrations, and the file that Streamlit runs (dashboard.pages has all that it imports).
PROBE = """
import importlib, json, pkgutil, sys, threading
package = importlib.import_module(sys.argv[1])
names = [package.__name__]
names += [found.name for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
names = [name for name in names if not name.endswith(".__main__") and ".migrations" not in name]
names = [name for name in names if name != "dashboard.app"]
for name in names:
    importlib.import_module(name)
loaded = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"modules": names, "loaded": loaded, "threads": threading.active_count()}))
"""


def probe(package: str) -> dict:  # type: ignore[type-arg]
    outcome = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE, package],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},  # a page must import without any setting
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    assert not outcome.stdout.rpartition("{")[0].strip(), f"importing {package} prints: {outcome.stdout[:500]}"
    return json.loads(outcome.stdout)  # type: ignore[no-any-return]


def test_probe_sees_what_is_loaded() -> None:
    found = probe("estimates")
    assert "numpy" in found["loaded"]
    assert "estimates" in found["modules"]


def test_core_loads_the_standard_library_alone() -> None:
    foreign = set(probe("core")["loaded"]) - sys.stdlib_module_names - {"core"}
    assert {name for name in foreign if not name.startswith(("_", "sitecustomize"))} == set()


@pytest.mark.parametrize(
    "package", ["core", "config", "estimates", "store", "models", "gateway", "monitors", "retrain", "trimtab"]
)
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    found = probe(package)
    assert set(found["loaded"]) & HEAVY == set()
    assert found["threads"] == 1, f"importing {package} starts a thread"


def test_console_loads_neither_models_nor_reports() -> None:
    # Streamlit itself loads pandas; what must stay out is what makes a process heavy or slow.
    found = probe("dashboard")
    assert len(found["modules"]) > 3
    assert set(found["loaded"]) & {"torch", "transformers", "peft", "evidently", "sklearn", "scipy.stats"} == set()
