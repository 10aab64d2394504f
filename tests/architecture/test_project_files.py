"""The files around the code say what is there: README tree, lock files, decision table, compose file, images, sizes."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.sources import PACKAGES, PROJECT, ROOT, find_imports, find_sources

COMPOSE_FILE = ROOT / "docker-compose.yml"
LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements/bootstrap.txt", "requirements/torch-index.lock"]
ENTRY = re.compile(r"^([a-z0-9][a-z0-9.-]*)==([^ ;\\]+)((?:[^\n\\]|\\\n)*)", re.MULTILINE)


def read_lock(name: str) -> dict[str, list[tuple[str, str]]]:
    """The locked packages: name to its (version, rest of the entry), one for each Python range."""
    entries: dict[str, list[tuple[str, str]]] = {}
    for package, version, rest in ENTRY.findall((ROOT / name).read_text("utf-8")):
        entries.setdefault(canonicalize_name(package), []).append((version, rest))
    return entries


def names_of(dependency: str) -> set[str]:
    """The top-level names that an installed distribution brings; none where it is not installed."""
    try:
        found = importlib.metadata.distribution(dependency)
    except importlib.metadata.PackageNotFoundError:
        return set()
    listed = (found.read_text("RECORD") or "").splitlines()
    firsts = {line.partition("/")[0] for line in listed}  # tens of thousands of lines, few of them apart
    files = {re.split(r"[.,]", first, maxsplit=1)[0] for first in firsts}
    return files | set((found.read_text("top_level.txt") or "").split())


def list_tracked() -> list[Path]:
    """The files that git knows, or that it would if they were added."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


# README


def test_readme_tree_is_the_tree() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    named = set(re.findall(r"^    (\.?[\w.-]+/?) {2,}\S", readme, re.MULTILINE))
    top = {path.relative_to(ROOT).parts[0] for path in list_tracked() if len(path.relative_to(ROOT).parts) > 1}
    folders = {name.rstrip("/") for name in named if name.endswith("/")}
    assert sorted(top - folders) == [], "folders that the README's tree does not name"
    assert sorted(folders - top - set(PACKAGES)) == [], "folders that only the README's tree knows"
    files = {name for name in named if not name.endswith("/") and "." in name} | {"Makefile", "LICENSE"}
    assert [name for name in sorted(files) if not (ROOT / name).is_file()] == []


def test_readme_links_and_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text("utf-8")
        links = [link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith("http")]
        assert [link for link in links if not (ROOT / link).exists()] == [], f"broken links in {page}"
        called = {
            word for line in re.findall(r"\bmake ((?:[a-z0-9]+(?:-[a-z0-9]+)* ?)+)`?", text) for word in line.split()
        }
        named = {word for word in called if "-" in word} | ({"run", "test", "setup"} & called)
        assert named <= targets, f"{page} names targets that the Makefile lacks: {sorted(named - targets)}"


# Lock files


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_file_has_its_hash(name: str) -> None:
    entries = read_lock(name)
    text = (ROOT / name).read_text("utf-8")
    assert len(re.findall(r"^[^\s#]", text, re.MULTILINE)) == sum(map(len, entries.values())) > 0
    bare = [package for package, found in entries.items() for _, rest in found if "--hash=sha256:" not in rest]
    assert bare == []
    assert "://" not in text, "a lock names no index"


@pytest.mark.parametrize("name", LOCKS[:2])
def test_lock_leaves_torch_and_cuda_out(name: str) -> None:
    heavy = [package for package in read_lock(name) if re.match(r"torch$|triton|nvidia|cuda", package)]
    assert heavy == []


def test_lock_holds_what_torch_needs() -> None:
    try:
        needs = importlib.metadata.requires("torch") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.fail("torch is not installed: run `make setup`")
    locked = read_lock("requirements.lock")
    wanted = [Requirement(line) for line in needs if "extra ==" not in line and "platform_system" not in line]
    wanted = [need for need in wanted if not re.match(r"triton|nvidia|cuda", need.name)]
    assert wanted
    assert [need.name for need in wanted if canonicalize_name(need.name) not in locked] == []


def test_lock_keeps_the_ranges_of_the_project() -> None:
    groups = {"requirements.lock": [], "requirements-dev.lock": PROJECT["dependency-groups"]["dev"]}
    for name, extra in groups.items():
        locked = read_lock(name)
        for line in [*PROJECT["project"]["dependencies"], *extra]:
            need = Requirement(line)
            if need.name == "torch":
                continue
            versions = [version for version, _ in locked.get(canonicalize_name(need.name), [])]
            assert versions, f"{need.name} is not in {name}: run `make lock`"
            assert all(need.specifier.contains(v) for v in versions), f"{name} is out of date: run `make lock`"


def test_decision_table_names_every_dependency() -> None:
    table = (ROOT / "docs/decisions/0002-dependencies.md").read_text("utf-8")
    named = set(re.findall(r"^\| ([a-z0-9-]+) \|", table, re.MULTILINE))
    direct = {Requirement(line).name for line in PROJECT["project"]["dependencies"]}
    assert named == direct


def test_every_imported_library_is_a_direct_dependency() -> None:
    direct = [Requirement(line).name for line in PROJECT["project"]["dependencies"]]
    known = sys.stdlib_module_names | set(PACKAGES) | {name for dependency in direct for name in names_of(dependency)}
    undeclared = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in find_sources()
        for name, _, _ in find_imports(file.read_text("utf-8"), typing=True)
        if name not in known
    }
    assert sorted(undeclared) == []


# Names


def test_no_installed_package_takes_our_names() -> None:
    site = Path(sysconfig.get_paths()["purelib"])
    assert [name for name in PACKAGES if list(site.glob(f"{name}/__init__.py")) or (site / f"{name}.py").exists()] == []


def test_test_files_have_unique_names() -> None:
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


# Images and compose


def read_compose() -> dict:  # type: ignore[type-arg]
    return yaml.safe_load(COMPOSE_FILE.read_text("utf-8"))  # type: ignore[no-any-return]


def find_module(command: list[str]) -> Path | None:
    """The file that `python -m module`, or a shell's last `trimtab COMMAND`, runs; or None."""
    if command[:2] == ["sh", "-c"]:
        found = [ROOT / f"trimtab/commands/{name}.py" for name in re.findall(r"\btrimtab (\w+)", command[2])]
        return found[-1] if found and all(file.is_file() for file in found) else None
    if command[:2] != ["python", "-m"]:
        return None
    place = ROOT / command[2].replace(".", "/")
    candidates = [place / "__main__.py", place.with_suffix(".py")]
    return next((file for file in candidates if file.is_file()), None)


def read_images() -> dict[str, list[str]]:
    """Each target of the Dockerfile with the command it starts (its own, or the one of the stage it is made from)."""
    commands: dict[str, list[str]] = {}
    stage = ""
    for line in (ROOT / "deploy/Dockerfile").read_text("utf-8").splitlines():
        if found := re.match(r"FROM (\S+) AS (\S+)", line):
            stage = found[2]
            commands[stage] = commands.get(found[1], [])
        elif line.startswith("CMD "):
            commands[stage] = ast.literal_eval(line.removeprefix("CMD "))
    return commands


def test_images_start_modules_that_exist() -> None:
    images = read_images()
    assert {"gateway", "monitors", "worker", "dashboard", "worker-gpu"} <= set(images)
    started = {name: command for name, command in images.items() if command}
    assert [name for name, command in started.items() if not find_module(command)] == []


def test_images_copy_only_what_exists_and_is_not_ignored() -> None:
    dockerfile = (ROOT / "deploy/Dockerfile").read_text("utf-8")
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE) for word in line.split()
    ]
    assert copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
    let_in = {
        line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"
    }
    assert [name for name in copied if name.rstrip("/") not in let_in] == []


def test_compose_services_run_what_exists() -> None:
    images = read_images()
    services = read_compose()["services"]
    assert {"postgres", "gateway", "monitors", "worker", "dashboard"} <= set(services)
    for name, service in services.items():
        if "build" not in service:
            continue
        target = service["build"]["target"]
        assert (ROOT / service["build"].get("dockerfile", "Dockerfile")).is_file()
        assert target in images, f"{name} is built from {target}, which the Dockerfile lacks"
        command = service.get("command") or images[target]
        assert find_module(command), f"{name} runs {command}, which does not exist"
        for word in service.get("healthcheck", {}).get("test", []):
            assert not word.endswith(".py") or (ROOT / word).is_file(), (
                f"{name} is checked by {word}, which does not exist"
            )


def test_compose_has_no_default_secret() -> None:
    text = COMPOSE_FILE.read_text("utf-8")
    secrets = re.findall(r"\$\{([A-Z_]*(?:PASSWORD|KEY|SECRET|TOKEN)[A-Z_]*)([^}]*)\}", text)
    assert secrets
    assert [name for name, rest in secrets if not rest.startswith(":?")] == [], "an unset secret must stop the start"
    assert not re.search(r"(?i)(password|secret|token|api_key): *[a-z0-9]+$", text, re.MULTILINE)


def test_long_running_services_have_a_health_check() -> None:
    services = read_compose()["services"]
    lasting = {name: service for name, service in services.items() if service.get("restart") != "no"}
    assert [name for name, service in lasting.items() if "healthcheck" not in service] == []


def test_published_ports_stay_on_this_machine() -> None:
    for name, service in read_compose()["services"].items():
        for port in service.get("ports", []):
            assert re.match(r"127\.0\.0\.1:|\$\{[A-Z_]+:-127\.0\.0\.1\}:", port), f"{name} publishes {port} to all"


# Sizes


def test_files_stay_readable() -> None:
    """A file over 400 lines is a question: shorten it, or name it here with the reason why it is one thing."""
    one_thing = {
        "store/migrations/versions/0001_initial.py": "the same tables as the first release made them",
    }
    long = {}
    for path in list_tracked():
        if path.suffix == ".py" and (lines := path.read_text("utf-8").count("\n")) > 400:
            long[path.relative_to(ROOT).as_posix()] = lines
    assert {name: lines for name, lines in long.items() if name not in one_thing} == {}
    assert [name for name in one_thing if name not in long] == []
