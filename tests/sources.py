"""The product's source files and what they import, for the rules that hold over all of them."""

from __future__ import annotations

import ast
import functools
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

parse = functools.cache(ast.parse)  # several rules read the same files


def find_sources() -> list[Path]:
    """Every Python file of the product's packages."""
    return sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


@functools.cache
def find_imports(source: str, typing: bool = False) -> list[tuple[str, int, bool]]:
    """Each import that runs, as (top-level name, line, whether only when a function is called).

    With `typing` also those that only a type checker reads.
    """
    return list(_walk(parse(source), inside=False, typing=typing))


def _walk(node: ast.AST, inside: bool, typing: bool) -> Iterator[tuple[str, int, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name.partition(".")[0], child.lineno, inside) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
            yield child.module.partition(".")[0], child.lineno, inside
        elif isinstance(child, ast.If) and not typing and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        elif not isinstance(child, ast.expr):  # an expression holds no import
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from _walk(child, inside or function, typing)
