"""No bench asks for a name that is gone: benches take hours, so that nothing else would notice a renamed function."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources import PACKAGES, ROOT, parse

BENCH = ROOT / "bench"
SCRIPTS = sorted(BENCH.glob("*.py"))


def find_file(module: str) -> Path | None:
    """The file of a module of the project or of bench/; None for a library's."""
    home = ROOT if module.partition(".")[0] in PACKAGES else BENCH
    path = home.joinpath(*module.split("."))
    return next((file for file in (path.parent / f"{path.name}.py", path / "__init__.py") if file.is_file()), None)


@functools.cache
def defined(file: Path) -> frozenset[str]:
    """The names that a file defines or imports outside its functions, and the modules beside it in its package."""
    names: set[str] = set()
    for node in ast.walk(parse(file.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    if file.name == "__init__.py":
        names |= {found.stem for found in file.parent.iterdir()}
    return frozenset(names)


def find_missing(source: str) -> Iterator[str]:
    """Each name of the project's or of bench's that the source asks for and that is not there."""
    tree = parse(source)
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            modules |= {name: module for name, module in whole.items() if find_file(module)}
            if file := find_file(node.module):
                wanted = {alias.name for alias in node.names if not find_file(f"{node.module}.{alias.name}")}
                yield from (f"{node.module}.{name}" for name in sorted(wanted - defined(file)))
            elif node.module.partition(".")[0] in PACKAGES:
                yield node.module
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            file = find_file(modules[node.value.id])
            if file and node.attr not in defined(file):
                yield f"{modules[node.value.id]}.{node.attr}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_bench_asks_for_names_that_are_there(script: Path) -> None:
    assert list(find_missing(script.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("from histories import code, gone", ["histories.gone"]),
        ("from core.types import PreferencePair, Gone", ["core.types.Gone"]),
        ("from core.gone import anything", ["core.gone"]),
        ("from retrain import probed\nprobed.gone_for_good()", ["retrain.probed.gone_for_good"]),
        ("import numpy as np\nfrom retrain import probed\nnp.array(probed.PHRASES)", []),
    ],
)
def test_missing_name_is_found(source: str, missing: list[str]) -> None:
    assert list(find_missing(source)) == missing
