"""A private PostgreSQL that can be stopped and started again, for what measures life without a database."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from two_versions import free_port


class Postgres:
    """A cluster in `folder` on a loopback port; made at the first start. Needs initdb and pg_ctl."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        # PostgreSQL refuses to run as root: it runs as the user that Debian's package made.
        self.owner = "postgres" if os.geteuid() == 0 else None
        found = shutil.which("pg_ctl")
        versioned = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
        if found is None and not versioned:
            raise SystemExit("No PostgreSQL server on this machine: apt-get install postgresql")
        self.programs = Path(found).resolve().parent if found else versioned[-1].parent
        self.running = False

    def start(self) -> str:
        """Start and return the URL of its database."""
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            if self.owner:
                self.folder.parent.chmod(0o755)
                shutil.chown(self.folder, self.owner, self.owner)
            self._run("initdb", "--username=trimtab", "--auth=trust", "--encoding=UTF8", "--no-sync", "-D")
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        self._run("pg_ctl", "-w", "-l", str(self.folder / "server.log"), "-o", options, "start", "-D")
        self.running = True
        return f"postgresql+psycopg://trimtab@127.0.0.1:{self.port}/postgres"

    def stop(self) -> None:
        """Stop at once, as a crash would."""
        if self.running:
            self._run("pg_ctl", "-w", "-m", "immediate", "stop", "-D")
            self.running = False

    def _run(self, program: str, *arguments: str) -> None:
        as_owner: dict[str, Any] = {"user": self.owner, "group": self.owner, "extra_groups": []} if self.owner else {}
        argv = [str(self.programs / program), *arguments, str(self.folder)]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, cwd="/", **as_owner)
