"""Makes `.venv` from the hashed lock files and installs Trimtab into it; run by `make setup`.

Standard library only: it runs before anything is installed. Usage: environment.py [--dev] [--without-torch]
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
BOOTSTRAP = ROOT / "requirements" / "bootstrap.txt"
TORCH_VERSION = "2.13.0"
TORCH_INDEX_LOCK = ROOT / "requirements" / "torch-index.lock"
# Progress bars for a person, one line a step for a log.
QUIET = [] if sys.stdout.isatty() else ["--quiet"]

# uv does not read pip's settings: a machine with its own index or certificates must hand them over.
PIP_SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
    "trusted-host": "UV_INSECURE_HOST",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}


def say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def stop(problem: str, remedy: str) -> None:
    sys.exit(f"setup: {problem} {remedy}")


def run(command: list[str], doing: str, environment: dict[str, str] | None = None) -> None:
    """Run the command with its output shown; stop with a plain sentence when it fails."""
    began = time.monotonic()
    say(f"{doing} …")
    outcome = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    if outcome.returncode != 0:
        stop(
            f"{doing} failed (exit {outcome.returncode}).",
            "The lines above say why; run `make setup` again after.",
        )
    say(f"{doing}: {time.monotonic() - began:.0f} s")


def check_python() -> None:
    """Stop unless this Python is recent enough and can make environments; root on Debian gets the package."""
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python reads this file to be told so
        found = ".".join(map(str, sys.version_info[:3]))
        stop(f"Python 3.11 or later is needed; this is {found}.", "Name one: `make setup PYTHON=python3.12`.")
    if importlib.util.find_spec("ensurepip") is None:
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            stop(
                "This Python cannot make virtual environments.",
                f"Install its venv package: `apt install {package}`.",
            )
        run(["apt-get", "update", "-qq"], "reading Debian's package list")
        run(["apt-get", "install", "-y", "-qq", package], f"installing {package}")


def make_venv() -> None:
    works = PYTHON.exists() and subprocess.run([PYTHON, "-c", ""], capture_output=True, check=False).returncode == 0
    if not works:
        run([sys.executable, "-m", "venv", "--clear", str(VENV)], "making .venv")


def read_pip_settings() -> dict[str, str]:
    """pip's own settings, from its files and the environment, as uv's environment variables."""
    listed = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    found: dict[str, str] = {}
    # pip's own order: the environment wins over the section of a command, that over the general one.
    for section in (":env:.", "install.", "global."):
        for line in listed.stdout.splitlines():
            key, _, quoted = line.partition("=")
            variable = PIP_SETTINGS.get(key.removeprefix(section))
            words = str(ast.literal_eval(quoted)).split() if variable else []
            if variable and words and variable not in found:  # pip reads an empty value as none
                found[variable] = ("," if variable == "UV_FIND_LINKS" else " ").join(words)
    return found


def compose_uv_environment() -> dict[str, str]:
    """This process's environment with pip's settings for uv added; what the caller set for uv stays."""
    environment = {**read_pip_settings(), **os.environ}
    environment["VIRTUAL_ENV"] = str(VENV)
    # Several indexes may carry a package; the hashes in the lock decide which file is the right one.
    environment.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return environment


def digest_inputs(lock: Path) -> str:
    """A digest of all that decides what the environment holds."""
    digest = hashlib.sha256(sys.version.encode())
    for file in (Path(__file__), lock, BOOTSTRAP, TORCH_INDEX_LOCK, ROOT / "pyproject.toml"):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def find_torch() -> str | None:
    """The version of torch in `.venv`, or None."""
    code = "import importlib.metadata as m; print(m.version('torch'))"
    outcome = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False)
    return outcome.stdout.strip() or None


def install_torch(environment: dict[str, str]) -> None:
    """Put torch into `.venv`: the CPU build where pip's find-links has one, else the package index's build.

    TORCH_BUILD=index skips the look at find-links, for a machine whose GPU is to be used.
    """
    if version := find_torch():
        return say(f"torch {version} is there")
    offline = [str(UV), "pip", "install", *QUIET, "--no-deps", "--no-index", f"torch=={TORCH_VERSION}"]
    if "UV_FIND_LINKS" in environment and environment.get("TORCH_BUILD") != "index":
        say("installing torch from pip's find-links (about 200 MB for the CPU) …")
        if subprocess.run(offline, cwd=ROOT, env=environment, capture_output=True, check=False).returncode == 0:
            return say(f"torch {find_torch()} is there")
        say(f"find-links has no torch {TORCH_VERSION} for this machine")
    size = "several GB with its CUDA packages" if sys.platform == "linux" else "about 100 MB"
    say(f"torch {TORCH_VERSION} comes from the package index: {size} (PIP_FIND_LINKS can name a CPU build)")
    locked = ["--no-deps", "--require-hashes", "-r", str(TORCH_INDEX_LOCK)]
    run([str(UV), "pip", "install", *QUIET, *locked], "installing torch from the package index", environment)
    return None


def main() -> None:
    dev = "--dev" in sys.argv[1:]
    with_torch = "--without-torch" not in sys.argv[1:]
    lock = ROOT / ("requirements-dev.lock" if dev else "requirements.lock")
    stamp = VENV / f"trimtab-{'dev' if dev else 'runtime'}{'' if with_torch else '-without-torch'}.stamp"
    check_python()
    digest = digest_inputs(lock)
    if stamp.exists() and stamp.read_text() == digest and PYTHON.exists():
        return say(f".venv holds {lock.name}")
    make_venv()
    bootstrap = ["install", "-qq", "--disable-pip-version-check", "--require-hashes", "-r", str(BOOTSTRAP)]
    run([str(PYTHON), "-m", "pip", *bootstrap], "installing the installer (uv)")
    environment = compose_uv_environment()
    locked = ["--no-deps", "--require-hashes", "-r", str(lock)]
    run([str(UV), "pip", "install", *QUIET, *locked], f"installing {lock.name}", environment)
    if with_torch:
        install_torch(environment)
    editable = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    run([str(UV), "pip", "install", *QUIET, *editable], "installing trimtab", environment)
    stamp.write_text(digest)
    return say(f".venv holds {lock.name}")


if __name__ == "__main__":
    main()
