"""Serves the console over the small installation of the tests, for pictures, browser tests and timing."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> int:
    """Build the installation in a folder and serve it until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8792)
    parser.add_argument("--empty", action="store_true", help="an installation that has seen nothing")
    parser.add_argument("--demo", action="store_true", help="label the pages as a demonstration")
    parser.add_argument("--folder", type=Path, help="where to build it; a temporary folder by default")
    given = parser.parse_args()
    from dashboard.server import main as serve
    from tests import console_world

    folder = given.folder or Path(tempfile.mkdtemp(prefix="trimtab-console-"))
    folder.mkdir(parents=True, exist_ok=True)
    build = console_world.build_empty if given.empty else console_world.build_filled
    world = build(folder, now=datetime.now(UTC), port=given.port, demo=given.demo)
    world.store.close()
    links = {"alerts?alert": world.alert, "runs?run": world.run, "runs?decision": world.retrain}
    print("\n".join(f"/{path}={uuid}" for path, uuid in links.items() if uuid), file=sys.stderr)
    os.environ["TRIMTAB_HOME"] = str(folder)
    os.environ["TRIMTAB_DASHBOARD__PORT"] = str(given.port)
    os.environ["TRIMTAB_DASHBOARD__DEMO"] = str(given.demo).lower()
    print(f"sign in as {', '.join(console_world.PEOPLE)} with: {console_world.PASSWORD}", file=sys.stderr)
    return serve(clock=lambda: datetime.now(UTC))


if __name__ == "__main__":
    sys.exit(main())
