"""Starts the console: `python -m dashboard`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from dashboard.server import main

if __name__ == "__main__":
    sys.exit(main(clock=lambda: datetime.now(UTC)))
