"""`trimtab up`: every process of the product in one terminal, supervised."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime

import click

from config.load import export
from core.errors import InvalidInput
from core.settings import Settings
from trimtab import installation, options
from trimtab.output import say
from trimtab.supervisor import Child, Supervisor


@click.command()
@click.option(
    "--demo", "with_demo", is_flag=True, help="Show the product on demo data, apart from a real installation."
)
@click.option("--manual", is_flag=True, help="With --demo: nobody approves but you.")
@click.pass_context
def up(context: click.Context, with_demo: bool, manual: bool) -> None:
    """Start model server, gateway, monitors, retrain worker and dashboard; Ctrl-C ends all of them."""
    settings = options.settings(context)
    if with_demo:
        from trimtab.demo.home import demo_settings

        settings = demo_settings(settings)
    sys.exit(start(settings, demo=with_demo, manual=manual))


def start(settings: Settings, *, demo: bool = False, manual: bool = False) -> int:
    """Prepare the installation and keep its processes running until SIGINT or SIGTERM. Returns the exit code."""
    for name, host, port in _ports(settings):
        _require_free(name, host, port)
    _prepare_models(settings)
    if demo:
        from trimtab.demo.home import clear, mark

        clear(settings)
        mark(settings)
    for name, password in installation.prepare(settings, now=datetime.now(UTC), first_account=not demo):
        say(f"trimtab   first sign-in: {name} / {password}  (shown once)")
    if demo:
        from trimtab.demo.home import furnish

        for name, password, role in furnish(settings, now=datetime.now(UTC)):
            say(f"trimtab   demo sign-in: {name} / {password}  ({role})")
    supervisor = Supervisor(children(settings, demo=demo, manual=manual), _environment(settings), _stamped)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: supervisor.stop())
    threading.Thread(target=_announce, args=(settings, demo), daemon=True).start()
    return supervisor.run()


def children(settings: Settings, *, demo: bool = False, manual: bool = False) -> list[Child]:
    """The processes of an installation, in the order in which they start."""
    python = sys.executable
    local = [Child("models", [python, "-m", "models"])] if settings.gateway.server == "transformers_local" else []
    rest = [Child(name, [python, "-m", name]) for name in ("gateway", "monitors", "retrain", "dashboard")]
    customers = [Child("customers", [python, "-m", "trimtab.demo", *(["--manual"] if manual else [])])] if demo else []
    return [*local, *rest, *customers]


def _environment(settings: Settings) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
    quiet = {"DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**kept, **quiet, **export(settings), "PYTHONUNBUFFERED": "1"}


def _ports(settings: Settings) -> list[tuple[str, str, int]]:
    ports = [
        ("gateway.port", settings.gateway.host, settings.gateway.port),
        ("dashboard.port", settings.dashboard.host, settings.dashboard.port),
    ]
    if settings.gateway.server == "transformers_local":
        ports.append(("models.port", settings.models.host, settings.models.port))
    return ports


def _require_free(name: str, host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InvalidInput(
                f"Port {port} on {host} cannot be used: {(error.strerror or 'unknown error').lower()}.",
                f"End what uses it, or choose another: trimtab --set {name}=PORT up.",
            ) from None


def _prepare_models(settings: Settings) -> None:
    if settings.gateway.server == "transformers_local":
        from trimtab.commands.models import prepare_models

        prepare_models(settings)


def _announce(settings: Settings, demo: bool) -> None:
    while True:
        try:
            with urllib.request.urlopen(f"{settings.dashboard_url}/_stcore/health", timeout=2):
                break
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    label = " (demo data)" if demo else ""
    _stamped(f"trimtab   dashboard{label}: {settings.dashboard_url}")
    _stamped(f"trimtab   chat endpoint: {settings.gateway_url}/v1  model: {settings.deployment}")


def _stamped(line: str) -> None:
    say(f"{datetime.now().astimezone():%H:%M:%S}  {line}")
