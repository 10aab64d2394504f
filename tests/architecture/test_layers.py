"""Who may import whom: the contracts of pyproject.toml hold, and each of them can fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = [
    ["trimtab"],
    ["dashboard", "retrain"],
    ["monitors"],
    ["gateway"],
    ["models"],
    ["store"],
    ["estimates", "config"],
    ["core"],
]
PACKAGES = [package for layer in LAYERS for package in layer]
IMPORT_LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = [contract["id"] for contract in IMPORT_LINTER["contracts"]]

# One line of code for each contract that it must refuse, by the module that holds it.
VIOLATIONS = {
    "dashboard": {"dashboard.wrong": "import monitors"},
    "console-stays-light": {"dashboard.page": "import store.rows", "store.rows": "import torch"},
    "words-are-pure": {"core.wrong": "import sqlalchemy", "estimates.wrong": "import pandas"},
}


def lint(folder: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert program, "import-linter is not installed beside this Python: run `make dev`"
    chosen = [part for contract in contracts for part in ("--contract", contract)]
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(
        [program, "--no-cache", "--config", str(ROOT / "pyproject.toml"), *chosen],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def build_house(folder: Path, modules: dict[str, str]) -> None:
    """Make every top-level package, empty but for the given modules."""
    for package in PACKAGES:
        (folder / package).mkdir()
        (folder / package / "__init__.py").touch()
    for name, source in modules.items():
        (folder / f"{name.replace('.', '/')}.py").write_text(source + "\n")


def test_contracts_hold() -> None:
    absent = [package for package in PACKAGES if not (ROOT / package / "__init__.py").exists()]
    assert absent == [], "the contracts name packages that do not exist"
    outcome = lint(ROOT)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_contracts_hold_in_an_empty_house(tmp_path: Path) -> None:
    build_house(tmp_path, {})
    outcome = lint(tmp_path)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert f"{len(CONTRACTS)} kept, 0 broken" in outcome.stdout


def test_every_wrong_direction_is_refused(tmp_path: Path) -> None:
    wrong: dict[str, str] = {}
    for height, layer in enumerate(LAYERS):
        forbidden = [package for above in LAYERS[:height] for package in above]
        for package in layer:
            siblings = [sibling for sibling in layer if sibling != package]
            wrong |= {f"{package}.wrong_{target}": f"import {target}" for target in forbidden + siblings}
    build_house(tmp_path, wrong)
    outcome = lint(tmp_path, "layers")
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    unseen = [f"{module}: {line}" for module, line in wrong.items() if module not in outcome.stdout]
    assert not unseen, f"not reported: {unseen}"


@pytest.mark.parametrize("contract", sorted(set(CONTRACTS) - {"layers"}))
def test_contract_can_fail(contract: str, tmp_path: Path) -> None:
    modules = VIOLATIONS[contract]
    build_house(tmp_path, modules)
    outcome = lint(tmp_path, contract)
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    assert "0 kept, 1 broken" in outcome.stdout
