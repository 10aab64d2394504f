"""Secrets that are planted where they belong show up nowhere else: on no page, in no export, notice, error or log."""

from __future__ import annotations

import asyncio
import io
import logging
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from config.secrets import internal_key
from core.errors import TrimtabError
from monitors import delivery
from store import accounts, alerts, channels, keys
from store.unit_of_work import Store
from tests import console_world
from tests.console_world import World
from tests.pages.conftest import Open
from tests.pages.test_pages_draw import PAGES
from trimtab.cli import main

LEAST = 25


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What every logger writes."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    logging.getLogger().addHandler(handler)
    before = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    yield written
    logging.getLogger().removeHandler(handler)
    logging.getLogger().setLevel(before)


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[World, list[str]]]:
    """An installation, and the secrets in it."""
    (tmp_path / "home").mkdir()
    world = console_world.build_filled(tmp_path / "home")
    secrets = [f"planted-{name}-0f8e2c" for name in ("upstream", "judge", "ray", "database")]
    for name, secret in zip(("GATEWAY__UPSTREAM_KEY", "JUDGE__KEY", "RETRAIN__RAY_TOKEN"), secrets, strict=False):
        monkeypatch.setenv(f"TRIMTAB_{name}", secret)
    gateway = replace(world.settings.gateway, upstream_key=secrets[0])
    judge = replace(world.settings.judge, key=secrets[1])
    retrain = replace(world.settings.retrain, ray_token=secrets[2])
    watch = replace(world.settings.monitors, allow_private_webhooks=True)
    world.settings = replace(world.settings, gateway=gateway, judge=judge, retrain=retrain, monitors=watch)
    with world.store.write(world.now) as tx:
        for number in range(6):
            token, secret = f"planted-token-{number}-9b1d", f"planted-secret-{number}-77aa-long-enough"
            address = f"http://127.0.0.1:9/hooks/{token}?key={token}"
            channels.add(tx, f"hook {number}", "webhook", {"url": address, "secret": secret}, actor="root")
            secrets += [token, secret]
        secrets += [keys.create(tx, f"program {number}", "chat", actor="root") for number in range(4)]
        for number in range(3):
            secrets.append(f"planted password {number} 5c3e")
            accounts.create(tx, f"person{number}", secrets[-1], "operator", actor="root")
        finding = alerts.Finding("errors", "rule", True, "Requests fail.", monitor_id=1)
        assert alerts.apply(tx, finding) == "firing"
    secrets += [internal_key(world.settings), world.sign_in("ann"), world.sign_in("otto")]
    yield world, secrets
    world.store.close()


@pytest.mark.slow
def test_no_secret_shows_up_where_it_does_not_belong(
    planted: tuple[World, list[str]],
    open_page: Open,
    log: io.StringIO,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    world, secrets = planted
    assert len(set(secrets)) >= LEAST
    # Notices to addresses where nobody listens, some of them twice: what went wrong is kept for people to read.
    for hour in range(2):
        at = world.now + timedelta(hours=hour)
        asyncio.run(delivery.deliver(world.store, world.settings, lambda at=at: at))
    said = [str(open_page(world, path, name=name)) for path in PAGES for name in ("root", "otto")]
    assert not [page for page in said if "Exception(" in page]
    home = ["--home", str(world.settings.home)]
    export = ["evidence", "export", "--since", "2020-01-01", "--output", str(tmp_path / "e.zip")]
    for command in (["settings"], ["settings", "--json"], ["doctor"], ["audit", "export"], export):
        found = CliRunner().invoke(main, [*home, *command])
        assert found.stdout
        said.append(found.output)
    with zipfile.ZipFile(tmp_path / "e.zip") as archive:
        said += [archive.read(name).decode() for name in archive.namelist()]
    with pytest.raises(TrimtabError) as away, Store.open(f"postgresql+psycopg://u:{secrets[3]}@127.0.0.1:9/x").read():
        pass
    said += [str(away.value), repr(away.value), repr(world.settings.monitors)]
    with world.store.read() as tx:
        notices = [dict(row) for row in tx.all(sa.text("SELECT notice, last_error FROM outbox"))]
    assert sum(bool(row["last_error"]) for row in notices) >= 6
    said.append(str(notices))
    captured = capfd.readouterr()
    said += [captured.out, captured.err, log.getvalue()]
    assert all(any(word in text for text in said) for word in ("hook 0", "program 0", "person0", "evidence.exported"))
    assert {secret for secret in secrets for text in said if secret in text} == set()
