"""Rules of the source that import contracts cannot say: homes of libraries, the environment, random state, pickles."""

from __future__ import annotations

import ast
import sys
from fnmatch import fnmatch

import pytest

from tests.sources import ROOT, find_imports, find_sources, parse

# Where a library may be imported at all. Elsewhere its work is asked for through our own functions.
HOMES = {
    "torch": ["models/*", "retrain/*", "gateway/servers/*"],
    "transformers": ["models/*", "retrain/*", "gateway/servers/*"],
    "peft": ["models/*", "retrain/*", "gateway/servers/*"],
    "gguf": ["models/*"],
    "huggingface_hub": ["models/*"],
    "evidently": ["monitors/metrics/evidently_*"],
    "apscheduler": ["monitors/schedule.py"],
    "apprise": ["monitors/channels/*"],
    "ray": ["retrain/engines/ray_jobs.py"],
    "sqlalchemy": ["store/*"],
    "alembic": ["store/*"],
    "sqlite3": ["store/*"],
    "pysqlite3": ["store/*"],
    "psycopg": ["store/*"],
    "streamlit": ["dashboard/*"],
    "altair": ["dashboard/*"],
}
# Slow to load: imported inside the function that needs them, so that a process pays only for what it does.
LAZY = {"torch", "transformers", "peft", "gguf", "huggingface_hub", "evidently", "sklearn", "pandas", "ray"}
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


def find_wrong_imports(name: str, source: str) -> list[str]:
    """What is wrong with the imports of the file `name` (its path beneath the root)."""
    wrong = []
    package = name.partition("/")[0]
    for library, line, inside in find_imports(source):
        home = HOMES.get(library)
        if home and not any(fnmatch(name, pattern) for pattern in home):
            wrong.append(f"{name}:{line} imports {library}, whose home is {' '.join(home)}")
        if library in LAZY and not inside:
            wrong.append(f"{name}:{line} imports {library} outside a function")
        if library in PICKLES:
            wrong.append(f"{name}:{line} imports {library}: no pickles anywhere")
        if package == "core" and library not in sys.stdlib_module_names | {"core"}:
            wrong.append(f"{name}:{line} imports {library}: core knows only the standard library")
        if package == "estimates" and library not in sys.stdlib_module_names | {"core", "estimates", "numpy", "scipy"}:
            wrong.append(f"{name}:{line} imports {library}: estimates know only numpy and scipy")
    return wrong


def find_environment_reads(name: str, source: str) -> list[str]:
    """Where the file reads a variable. Handing the whole environment on, or setting a variable, is no reading."""
    if name.startswith("config/") or not ("environ" in source or "getenv" in source):
        return []
    wrong = []
    for node in ast.walk(parse(source)):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            reads = ast.unparse(node).startswith("os.environ[")
        elif isinstance(node, ast.Call):
            reads = ast.unparse(node.func) in {"os.environ.get", "os.getenv"}
        else:
            continue
        if reads:
            wrong.append(f"{name}:{node.lineno} reads {ast.unparse(node)}: settings come from config")
    return wrong


def find_shared_random(name: str, source: str) -> list[str]:
    """Where the file draws from the process's own random state instead of a seeded generator."""
    if "random" not in source:
        return []
    tree = parse(source)
    modules = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name.partition(".")[0] in {"random", "numpy"}
    }
    owners = {"random"} & modules | {f"{module}.random" for module in modules - {"random"}}
    seeded = {"Random", "SystemRandom", "default_rng", "Generator", "SeedSequence", "PCG64", "Philox", "BitGenerator"}
    wrong = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            owner, _, called = ast.unparse(node.func).rpartition(".")
            if owner in owners and called not in seeded:
                wrong.append(f"{name}:{node.lineno} calls {owner}.{called}: draw from a seeded generator")
    return wrong


RULES = [find_wrong_imports, find_environment_reads, find_shared_random]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_source_keeps_the_rule(rule) -> None:  # type: ignore[no-untyped-def]
    sources = find_sources()
    assert sources
    wrong = [line for file in sources for line in rule(file.relative_to(ROOT).as_posix(), file.read_text("utf-8"))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("rule", "name", "source"),
    [
        (find_wrong_imports, "monitors/cycle.py", "def f():\n    import torch"),
        (find_wrong_imports, "models/load.py", "import torch"),
        (find_wrong_imports, "models/load.py", "if True:\n    from transformers import AutoModel"),
        (find_wrong_imports, "dashboard/data.py", "from sqlalchemy.sql import text"),
        (find_wrong_imports, "store/audit.py", "import pickle"),
        (find_wrong_imports, "core/types.py", "import numpy"),
        (find_wrong_imports, "estimates/means.py", "import pandas"),
        (find_wrong_imports, "monitors/metrics/latency.py", "def f():\n    import evidently"),
        (find_environment_reads, "gateway/app.py", "import os\nx = os.environ['HOME']"),
        (find_environment_reads, "gateway/app.py", "import os\nx = os.environ.get('HOME')"),
        (find_environment_reads, "core/types.py", "import os\nx = os.getenv('HOME')"),
        (find_shared_random, "monitors/sampling.py", "import random\nx = random.random()"),
        (find_shared_random, "monitors/sampling.py", "import numpy as np\nx = np.random.normal()"),
    ],
)
def test_rule_can_fail(rule, name: str, source: str) -> None:  # type: ignore[no-untyped-def]
    assert rule(name, source)


@pytest.mark.parametrize(
    ("rule", "name", "source"),
    [
        (find_wrong_imports, "models/load.py", "def f():\n    import torch"),
        (find_wrong_imports, "models/load.py", "if TYPE_CHECKING:\n    import torch"),
        (find_wrong_imports, "monitors/metrics/evidently_report.py", "def f():\n    import evidently"),
        (find_environment_reads, "config/load.py", "import os\nx = os.environ['HOME']"),
        (find_environment_reads, "trimtab/up.py", "import os\nchild = {**os.environ, 'A': 'b'}"),
        (find_environment_reads, "gateway/app.py", "import os\nos.environ.setdefault('A', 'b')"),
        (find_shared_random, "monitors/sampling.py", "import random\nx = random.Random(3).random()"),
        (find_shared_random, "trimtab/demo/corpus.py", "def f(random):\n    return random.choice([1])"),
    ],
)
def test_rule_lets_the_right_thing_pass(rule, name: str, source: str) -> None:  # type: ignore[no-untyped-def]
    assert not rule(name, source)
