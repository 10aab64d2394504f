"""Files that a page handed over for another process: under the digest of their content, for a day."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from core.errors import Conflict, InvalidInput, NotFound, Unavailable

KEPT = timedelta(days=1)
_DIGEST = re.compile(r"[0-9a-f]{64}")


def put(home: Path, data: bytes, *, now: datetime) -> str:
    """Keep `data` in the staging folder of `home` and return its SHA-256; what is older than KEPT is taken away.

    The file appears whole or not at all. Raises Unavailable where it cannot be written.
    """
    digest, folder = hashlib.sha256(data).hexdigest(), home / "staging"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(folder, now)
        handle, partial = tempfile.mkstemp(dir=folder, prefix=".partial-")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, folder / digest)
    except OSError as error:
        raise Unavailable(
            f"The file cannot be kept in {folder}: {error.strerror}.", "Free some space or check its permissions."
        ) from None
    return digest


def find(home: Path, digest: str) -> Path:
    """The staged file whose content has this digest. Raises NotFound, or Conflict where it holds something else."""
    if not _DIGEST.fullmatch(digest):
        raise InvalidInput("This names no staged file.", "Choose the file again.")
    path = home / "staging" / digest
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        raise NotFound("The file is no longer kept.", "Choose it again: files are kept for a day.") from None
    if found != digest:
        raise Conflict("The staged file is not what was chosen.", "Choose it again.")
    return path


def _sweep(folder: Path, now: datetime) -> None:
    for path in folder.iterdir():
        with suppress(OSError):  # another page may sweep at the same moment
            if path.stat().st_mtime < (now - KEPT).timestamp():
                path.unlink()
