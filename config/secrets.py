"""Secrets that an installation makes for itself, in files that only its owner can read."""

from __future__ import annotations

import os
import secrets

from core.errors import Unavailable
from core.settings import Settings


def internal_key(settings: Settings) -> str:
    """The key between Trimtab's own processes; made at the first call. Raises Unavailable when it cannot be kept."""
    path = settings.internal_key_path
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"ti-{secrets.token_urlsafe(32)}")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)  # fails when another process was first: its key stands
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        return path.read_text().strip()
    except OSError as error:
        raise Unavailable(
            f"The key file {path} cannot be written or read: {error.strerror}.",
            "Check the folder's permissions.",
        ) from None
