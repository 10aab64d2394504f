"""Captured text is hostile: 200 payloads wherever a page shows text from outside run nothing and load nothing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.types import ModelVersion
from store import monitors as monitor_rows
from store import versions
from store.tables import measurements
from tests import console_world
from tests.browser.conftest import Served, Visitor, serve
from tests.conftest import find_free_port

pytestmark = pytest.mark.browser
AWAY = "http://off-origin.example"
# Each would count itself in window.hits if it ran, or ask AWAY for something if it were drawn.
SCRIPTS = (
    "<script>{js}</script>",
    "<img src=x onerror={js}>",
    '<img src="{away}/{n}.png">',
    "<svg onload={js}></svg>",
    '<iframe src="{away}/{n}"></iframe>',
    '<a href="javascript:{js}">x</a>',
    "![x]({away}/{n}.png)",
    "[x](javascript:{js})",
    "<style>@import url({away}/{n}.css);</style>",
    '<link rel="stylesheet" href="{away}/{n}.css">',
    '<meta http-equiv="refresh" content="0;url={away}/{n}">',
    '<base href="{away}/">',
    '<form action="{away}/{n}"><button autofocus onfocus={js}>x</button></form>',
    '<video src="{away}/{n}.mp4" autoplay onerror={js}></video>',
    "<details open ontoggle={js}>x</details>",
    '=HYPERLINK("{away}/{n}","x")',
    '@WEBSERVICE("{away}/{n}")',
    "$$\\href{{javascript:{js}}}{{x}}$$ :red[x] :material/home:",
    '{{{{constructor.constructor("{js}")()}}}} ${{{js}}}',
    'javascript:{js}//"><script src={away}/{n}.js></script>',
)
WRAPPED: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    lambda text: text.upper().replace("WINDOW.HITS", "window.hits"),
    lambda text: f"\"'>{text}",
    lambda text: f"</textarea></script>{text}",
    lambda text: f"**{text}**",
    lambda text: f"`{text}",
    lambda text: f"\u202e{text}\u200b",
    lambda text: f"]]>--!>{text}",
    lambda text: f"| a | {text} |\n|---|---|",
    lambda text: f"# {text}\n> {text}",
)
PAYLOADS = [
    f"<p{n}> " + wrap(form.format(n=n, away=AWAY, js="window.hits=(window.hits||0)+1"))
    for n, (form, wrap) in enumerate((form, wrap) for form in SCRIPTS for wrap in WRAPPED)
]
Visit = Callable[..., Visitor]


SAID = itertools.count()


def say(text: str) -> str:
    """The text with every payload around it, each on a line of its own; each time another one comes first."""
    first = next(SAID) * 37 % len(PAYLOADS)
    return "\n".join([*PAYLOADS[first:], text, *PAYLOADS[:first]])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A console whose every text from outside carries every payload; names that have a length carry one."""
    folder: Path = tmp_path_factory.mktemp("hostile")
    port = find_free_port()
    now = datetime.now(UTC)
    world = console_world.build_filled(folder, say=say, now=now, port=port)
    with world.store.write(now) as tx:
        for number, name in enumerate(
            (f'<img src="{AWAY}/m">', f"![m]({AWAY}/m.png)", '"><script>window.hits=1</script>')
        ):
            monitor_rows.ensure(tx, name=name, metric="prompt_drift", title=name, rule={}, params={}, plan={})
            common = {"monitor_id": monitor_rows.get(tx, name)["id"], "at": now, "n": 9, "method": name, "reason": name}
            tx.insert(measurements, **common, metric=name, segment="", status="error", details={"x": name})
            tx.insert(
                measurements, **common, metric=name, segment=name, status="ok", value=1.0, low=0.5, high=2.0, details={}
            )
            version = ModelVersion(
                name, f"{number}a" * 32, "adapter", "assistant-base", "p", now, parent="assistant-v1"
            )
            versions.register(tx, version, actor="system:retrain")
    with serve(world, port) as served:
        yield served
    world.store.close()


def pages(served: Served) -> dict[str, str]:
    """Every page that shows text from outside, by what it is."""
    world = served.world
    name = f'<img src="{AWAY}/m">'
    return {
        "overview": "",
        "monitors": "monitors",
        "a monitor": "monitors?monitor=prompt_drift",
        "a monitor with a hostile name": f"monitors?monitor={name}",
        "alerts": "alerts",
        "fairness": "fairness",
        "an alert": f"alerts?alert={world.alert}",
        "traffic": "traffic",
        "a topic": "traffic?topic=0",
        "an exchange": f"traffic?exchange={world.rows[2]}",
        "the queue": "traffic?show=queue",
        "answers to label": f"traffic?alert={world.alert}",
        "probes": "probes",
        "runs": "runs",
        "a run": f"runs?run={world.run}",
        "a proposal": f"runs?decision={world.retrain}",
        "preference data": "pairs",
        "a pair": f"pairs?pair={world.pair}",
        "a rejected pair": "pairs?state=rejected",
        "a dataset": f"pairs?dataset={world.dataset}",
        "an import": "pairs?show=import",
        "models": "models",
        "a version": "models?version=assistant-v2",
        "a version with a hostile name": f"models?version={name}",
        "audit": "audit",
    }


def test_there_are_two_hundred_payloads() -> None:
    assert len(set(PAYLOADS)) == 200


def test_the_watch_would_notice_a_payload_that_is_drawn(hostile: Served, visit: Visit) -> None:
    me = visit(hostile.url, bypass_csp=True)
    me.sign_in("ann")
    drawn = re.sub("http-equiv", "name", say("drawn"), flags=re.IGNORECASE)  # it would lead the window away
    me.page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", drawn)
    me.page.wait_for_function("window.hits > 20")
    found = look(me.page)
    assert found["foreign"]
    assert found["links"]
    assert found["frames"]
    assert me.foreign


@pytest.mark.parametrize("guarded", [True, False], ids=["as served", "without the content policy"])
def test_no_payload_runs_or_loads_anything(hostile: Served, visit: Visit, guarded: bool) -> None:
    me = visit(hostile.url, bypass_csp=not guarded)
    me.sign_in("ann")
    for what, path in pages(hostile).items():
        me.open(path)
        unfold(me.page)
        found = look(me.page)
        assert not me.foreign, what
        assert not me.dialogs, what
        assert found["hits"] == 0, what
        assert found["foreign"] == [], what
        assert found["links"] == [], what
        assert found["frames"] == 0, what
        if what in ("overview", "an alert", "runs", "a proposal", "models", "alerts", "a topic"):
            assert "<p0> " in me.text(), what
            assert "<p199> " in me.text(), what
        if what == "probes":  # which shortens what it shows
            assert re.search(r"<p\d+> ", me.text())
    assert not me.errors


def test_a_hostile_proposal_is_text_in_the_dialog_too(hostile: Served, visit: Visit) -> None:
    me = visit(hostile.url, bypass_csp=True)
    me.sign_in("ann")
    me.open(f"runs?decision={hostile.world.retrain}")
    me.page.get_by_role("button", name="Approve and start …").click()
    dialog = me.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Approve and start").wait_for()
    assert "<p199> " in dialog.inner_text()
    found = look(me.page)
    assert (found["hits"], found["foreign"], found["links"], me.foreign) == (0, [], [], [])


def test_a_hostile_exchange_is_text_in_the_drawer(hostile: Served, visit: Visit) -> None:
    me = visit(hostile.url, bypass_csp=True)
    me.sign_in("ann")
    me.open(f"traffic?exchange={hostile.world.rows[2]}")
    drawer = me.page.get_by_role("dialog")
    drawer.get_by_role("button", name="Save the better answer").wait_for()
    assert "<p0> " in drawer.inner_text() and "<p199> " in drawer.inner_text()
    found = look(me.page)
    assert (found["hits"], found["foreign"], found["links"], me.foreign) == (0, [], [], [])


def test_a_hostile_pair_is_text_in_the_drawer(hostile: Served, visit: Visit) -> None:
    me = visit(hostile.url, bypass_csp=True)
    me.sign_in("ann")
    me.open(f"pairs?pair={hostile.world.pair}")
    drawer = me.page.get_by_role("dialog")
    drawer.get_by_role("button", name="Release").wait_for()
    assert "<p0> " in drawer.inner_text() and "<p199> " in drawer.inner_text()
    found = look(me.page)
    assert (found["hits"], found["foreign"], found["links"], me.foreign) == (0, [], [], [])


def test_a_payload_in_the_address_is_text(hostile: Served, visit: Visit) -> None:
    me = visit(hostile.url, bypass_csp=True)
    me.sign_in("ann")
    for page in (
        "alerts?alert",
        "monitors?monitor",
        "runs?run",
        "runs?decision",
        "models?version",
        "audit?subject",
        "traffic?exchange",
        "traffic?words",
        "traffic?version",
        "traffic?label",
        "traffic?topic",
        "pairs?pair",
        "pairs?dataset",
        "pairs?state",
        "pairs?flag",
        "pairs?show=import&file",
        "?range",
    ):
        me.page.goto(f"{me.url}/{page}=<img src=x onerror=window.hits=1>![x]({AWAY}/q.png)")
        me.settle()
        found = look(me.page)
        assert (found["hits"], found["foreign"], me.foreign, me.errors) == (0, [], [], [])


def unfold(page: Any) -> None:
    """Open every fold, so that all there is is drawn."""
    page.evaluate("document.querySelectorAll('details:not([open]) > summary').forEach(s => s.click())")
    page.wait_for_timeout(500)
    page.wait_for_selector("[data-testid='stApp'][data-test-script-state='notRunning']", timeout=30_000)


def look(page: Any) -> Any:
    """What ran, and what in the page points elsewhere or would run when clicked."""
    return page.evaluate(
        """() => ({
            hits: window.hits || 0,
            foreign: [...document.querySelectorAll('[src],[href],[data],[action],[poster]')]
                .flatMap(e => ['src', 'href', 'data', 'action', 'poster'].map(n => e.getAttribute(n) || ''))
                .filter(v => URL.canParse(v, location) && new URL(v, location).host.includes('off-origin')),
            links: [...document.querySelectorAll('a[href]')].map(a => a.getAttribute('href'))
                .filter(h => h.trim().toLowerCase().startsWith('javascript:')),
            frames: document.querySelectorAll('iframe,object,embed').length,
        })"""
    )
