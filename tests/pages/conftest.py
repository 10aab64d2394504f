"""Pages run in this process over a small real store; the session's cookie is put in their hands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from dashboard import console as consoles
from dashboard import installation as installations
from tests import console_world
from tests.console_world import World

APP = Path(__file__).resolve().parents[2] / "dashboard" / "app.py"
Open = Callable[..., AppTest]


@pytest.fixture(scope="session", autouse=True)
def no_foreign_components() -> Iterator[None]:
    """Each AppTest looks through all installed distributions for components of others, most of a test's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", list)
        yield


@pytest.fixture(scope="session")
def filled_once(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A filled installation, built once and never opened again: what the others are copied from."""
    world = console_world.build_filled(tmp_path_factory.mktemp("filled"))
    world.store.close()
    return world


@pytest.fixture(scope="module")
def filled_folder(filled_once: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A filled installation that tests of a file only read."""
    world = filled_once.copy(tmp_path_factory.mktemp("read") / "home")
    yield world
    world.store.close()


@pytest.fixture
def filled(filled_once: World, tmp_path: Path) -> Iterator[World]:
    """A filled installation of this test's own, for tests that change it."""
    world = filled_once.copy(tmp_path / "home")
    yield world
    world.store.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[World]:
    """An installation that has seen nothing."""
    world = console_world.build_empty(tmp_path)
    yield world
    world.store.close()


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """A function that opens a page of a world as somebody and returns it drawn."""
    consoles.forget()

    def page(world: World, path: str = "", *, name: str = "ann", **query: str) -> AppTest:
        installations._Shelf.installation = installations.Installation(world.settings, world.store, lambda: world.now)
        token = world.sign_in(name) if name else ""
        monkeypatch.setattr(consoles, "presented_token", lambda installation: token)
        test = AppTest.from_file(str(APP), default_timeout=30)
        for key, value in query.items():
            test.query_params[key] = value
        if path:
            test._page_hash = calc_hash(path)  # its own switch_page knows only pages that are files
        return test.run()

    yield page
    installations._Shelf.installation = None
    consoles.forget()
