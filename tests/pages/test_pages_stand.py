"""Parts of a page that draw themselves anew keep their names from run to run.

Streamlit names a fragment after its place on the page and sends a click in it under that name. A fragment that moves,
for a message above it, say, gets another name, and a click that is on its way meanwhile is lost.
"""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.runtime.fragment import MemoryFragmentStorage

from store import commands
from tests.console_world import World
from tests.pages.conftest import Open

TOLD = {"good": True, "words": "The file is being read."}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The fragments that the last runs drew, by key."""
    found: dict[str, str] = {}
    register = MemoryFragmentStorage.register

    def noted(self: MemoryFragmentStorage, fragment: str, *args: Any, **more: Any) -> None:
        found[str(more.get("target_key"))] = fragment
        register(self, fragment, *args, **more)

    monkeypatch.setattr(MemoryFragmentStorage, "register", noted)
    return found


def ask(world: World, kind: str, **args: str) -> None:
    with world.store.write(world.now) as tx:
        commands.ask(tx, kind, owner="retrain", args=args, actor="otto")


def test_a_message_moves_nothing(filled: World, open_page: Open, names: dict[str, str]) -> None:
    ask(filled, "preview_pairs", digest="a" * 64)
    page = open_page(filled, "pairs", name="otto", show="import", file="a" * 64)
    before = dict(names)
    assert "asked-preview_pairs" in before and "bar" in before
    page.session_state["_told"] = TOLD
    page.run()
    assert any(TOLD["words"] in text.value for text in page.text)
    assert names == before


def test_what_was_asked_before_moves_nothing(filled: World, open_page: Open, names: dict[str, str]) -> None:
    ask(filled, "import_pairs", digest="a" * 64)
    open_page(filled, "pairs", name="otto", show="import", file="a" * 64)
    before = names["asked-import_pairs"]
    ask(filled, "preview_pairs", digest="a" * 64)
    open_page(filled, "pairs", name="otto", show="import", file="a" * 64)
    assert "asked-preview_pairs" in names and names["asked-import_pairs"] == before
