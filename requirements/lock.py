"""Makes the hashed lock files from pyproject.toml and the `.in` files beside this one; run by `make lock`.

A version that is already locked stays; `--upgrade` takes the newest that the ranges allow.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
UV = Path(sys.executable).with_name("uv")
HEADER = "# Made by `make lock`: change pyproject.toml or requirements/*.in, never this file.\n"
# One requirement: its first line and the hashes that continue it.
TORCH_ENTRY = re.compile(r"^torch==(?:.*\\\n)*.*\n", re.MULTILINE)
TORCH_OUT = ["--override", "requirements/override.txt", "requirements/torch.in"]


def compile_lock(target: str, sources: list[str], extra: list[str]) -> None:
    """Write the lock file `target`, for every platform from Python 3.11 on, each file with its hash."""
    # The machine's own package sources must leave no trace in a lock that others use.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))}
    command = [str(UV), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-config"]
    subprocess.run([*command, *sources, *extra, "--output-file", target], cwd=ROOT, env=clean, check=True)
    lock = ROOT / target
    text = lock.read_text(encoding="utf-8").removeprefix(HEADER)
    if TORCH_OUT[0] in sources:
        text = TORCH_ENTRY.sub("", text)
    lock.write_text(HEADER + text, encoding="utf-8")
    print(f"{target}: {len(re.findall(r'^[a-z0-9]', text, re.MULTILINE))} packages")


def main() -> None:
    extra = ["--upgrade"] if "--upgrade" in sys.argv[1:] else []
    compile_lock("requirements/bootstrap.txt", ["requirements/bootstrap.in"], extra)
    compile_lock("requirements.lock", ["pyproject.toml", *TORCH_OUT], extra)
    runtime = ["--constraint", "requirements.lock"]
    compile_lock(
        "requirements-dev.lock",
        ["pyproject.toml", "--group", "pyproject.toml:dev", *TORCH_OUT, *runtime],
        extra,
    )
    compile_lock("requirements/torch-index.lock", ["requirements/torch-index.in", *runtime], extra)


if __name__ == "__main__":
    main()
