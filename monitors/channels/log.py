"""Writes the notice to this process's log: for trying things out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.notify import Notice
from monitors.channels import channels

log = logging.getLogger("trimtab.notices")


@channels.register
class Log:
    """Writes the notice to this process's log: for trying things out."""

    def check(self, config: Mapping[str, Any], *, allow_private: bool) -> None:
        """Nothing to configure."""

    async def send(self, notice: Notice, config: Mapping[str, Any], *, now: datetime) -> None:
        """Write the notice's lines."""
        for line in [notice.title, *notice.text.splitlines()]:
            log.warning("%s", line)
