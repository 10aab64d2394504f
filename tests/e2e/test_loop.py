"""The whole loop on real parts: traffic, alarm, notice, approval in a browser, DPO, gate, canary, release, rollback."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa

from config.secrets import internal_key
from store import deployments, runs, trials, versions
from store.tables import alerts, decisions, measurements, outbox
from store.tables import runs as run_table
from store.unit_of_work import Tx
from trimtab.demo.scenario import release_damaged

pytestmark = [pytest.mark.e2e, pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(1800)]

HISTORY, LIVE, ONSET = 2100, 200, 2200
PASSWORD = "a long enough password"
SECRET = "a secret of the receiver"
WORD = re.compile(r"[a-z]+")


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write(path: Path, made: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return path


def history(stream: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The first rows of a stream as past traffic, with an answer of the kind an assistant gives."""
    for row in stream[:HISTORY]:
        answer = "Here is what I found about that. Let me know if you would like more detail."
        yield {"id": row["event_id"], "at": row["ts"], "prompt": row["text"], "response": answer}


def licensed(pairs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The derived pairs with the licence that their source's README states."""
    for pair in pairs:
        licence = "Apache-2.0" if pair["kind"] == "truthful" else "CC-BY-4.0"
        kept = {name: pair[name] for name in ("id", "prompt", "chosen", "rejected")}
        yield {**kept, "source": f"derived {pair['kind']}", "licence": licence}


def readable(answer: str, vocabulary: set[str]) -> bool:
    """Whether an answer begins as sentences and lists do and most of its words are words that people use.

    Noise in the weights makes other words, and some of them may be known by chance: of those answers half would pass,
    and a canary of thirty people has no power to tell half from few.
    """
    words = WORD.findall(answer.lower())
    begun = answer[:1].isupper() or answer[:1].isdigit() or answer[:1] in "\"'*#-["
    return begun and len(words) >= 3 and sum(word in vocabulary for word in words) >= 0.6 * len(words)


class Client:
    """Asks the gateway for short answers, a few at once, and rates them as a person would."""

    def __init__(self, one: Any, vocabulary: set[str]) -> None:
        self.one, self.vocabulary = one, vocabulary
        self.headers = {"Authorization": f"Bearer {internal_key(one.settings)}"}
        self.versions: dict[str, int] = {}
        self.failures: list[int] = []

    def send(self, prompts: list[str]) -> None:
        """Ask all of `prompts` and rate each answer; in a thread, because the browser's loop holds this one."""
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: asyncio.run(self._send(prompts))).result()

    async def _send(self, prompts: list[str]) -> None:
        slots = asyncio.Semaphore(8)
        async with aiohttp.ClientSession(self.one.settings.gateway_url, headers=self.headers) as http:

            async def one(prompt: str) -> None:
                async with slots:
                    await self._ask(http, prompt)

            await asyncio.gather(*(one(prompt) for prompt in prompts))

    async def _ask(self, http: aiohttp.ClientSession, prompt: str) -> None:
        body = {
            "model": self.one.settings.deployment,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": 16,
            "temperature": 0.7,
        }
        async with http.post("/v1/chat/completions", json=body) as reply:
            if not reply.ok:
                self.failures.append(reply.status)
                return
            answer = (await reply.json())["choices"][0]["message"]["content"] or ""
            version = reply.headers["x-trimtab-version"]
            self.versions[version] = self.versions.get(version, 0) + 1
            thumb = {
                "inference": reply.headers["x-trimtab-inference"],
                "kind": "thumb",
                "value": 1 if readable(answer, self.vocabulary) else -1,
            }
        async with http.post("/v1/feedback", json=thumb) as reply:
            assert reply.ok


def firing(monitor: str) -> Callable[[Tx], Any]:
    query = sa.select(alerts).where(alerts.c.monitor == monitor, alerts.c.kind == "rule", alerts.c.state == "firing")
    return lambda tx: tx.one(query)


def proposal(kind: str, state: str = "proposed") -> Callable[[Tx], Any]:
    return lambda tx: tx.one(sa.select(decisions).where(decisions.c.kind == kind, decisions.c.state == state))


@pytest.fixture
def window(chromium: Path) -> Iterator[Any]:
    """A browser page in Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def decide(page: Any, address: str, verb: str) -> None:
    """Open the page at `address` and answer the proposal with `verb`, clicking twice as impatient people do."""
    page.goto(address)
    page.get_by_role("button", name=f"{verb} …").first.click(timeout=60_000)
    page.get_by_role("dialog").get_by_role("button", name=verb, exact=True).dblclick(timeout=30_000)
    page.wait_for_timeout(2000)


def test_from_drift_to_release_and_back(
    make_installation: Any, public_data: Path, receiver: Any, window: Any, tmp_path: Path
) -> None:
    stream = rows(public_data / "streams" / "clinc_sudden.jsonl.gz")
    pairs = rows(public_data / "derived-preferences" / "pairs.jsonl.gz")
    one = make_installation(
        RETRAIN__MAX_STEPS="24",
        RETRAIN__MAX_TRAIN_PAIRS="96",
        RETRAIN__MAX_HELD_OUT_PAIRS="96",
        RETRAIN__GATE_MARGIN="0.2",  # what the suite's seventy attacks can decide
        RETRAIN__CANARY_SHARE="50",
        RETRAIN__CANARY_ANSWERS="30",
        RETRAIN__CANARY_MARGIN="0",  # thirty answers rule out no margin: it goes live unless it is proved worse
    )
    one.cli("doctor", "--repair", "--json")
    one.cli("user", "add", "ann", "--role", "approver", "--password-file", "-", stdin=PASSWORD + "\n")
    one.cli("channel", "add", "ops", "webhook", "--config", f"url={receiver.url}", "--config", f"secret={SECRET}")
    imported = one.cli("import", "traffic", str(write(tmp_path / "history.jsonl", history(stream))), "--json")
    assert imported["new_rows"] == HISTORY
    imported = one.cli("import", "pairs", str(write(tmp_path / "pairs.jsonl", licensed(pairs))), "--json")
    assert imported["new_rows"] > 2000
    one.start()
    champion = str(one.look(lambda tx: deployments.current(tx, one.settings.deployment))["version"])

    # Traffic: calm until the onset, then a new topic.
    vocabulary = {word for row in stream for word in WORD.findall(row["text"].lower())}
    vocabulary |= {word for pair in pairs for word in WORD.findall((pair["prompt"] + " " + pair["chosen"]).lower())}
    client = Client(one, vocabulary)
    live = [str(row["text"]) for row in stream[HISTORY : HISTORY + LIVE]]
    client.send(live[: ONSET - HISTORY])
    one.wait(lambda: one.look(lambda tx: caught_up(tx, ONSET)), 60, "the monitor to read the calm traffic")
    assert one.look(firing("prompt_drift")) is None, "the calm part of the stream raised an alarm"
    client.send(live[ONSET - HISTORY :])
    assert client.failures == []

    # Alarm, with its reason and a signed notice.
    alert = one.wait(lambda: one.look(firing("prompt_drift")), 90, "the drift alarm")
    assert alert["why"]
    one.wait(lambda: one.look(lambda tx: tx.one(sa.select(outbox).where(outbox.c.state == "sent"))), 60, "the notice")
    headers, body = receiver.received[0]
    signed = f"{headers['x-trimtab-timestamp']}.".encode() + body
    assert headers["x-trimtab-signature"] == "sha256=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert any(entry["monitor"] == "prompt_drift" for entry in json.loads(body)["alerts"])

    # Proposal and approval in the browser: two clicks, one run.
    one.wait(lambda: one.look(proposal("retrain")), 60, "the proposal")
    window.goto(f"{one.settings.dashboard_url}/auth/login")
    window.fill("#name", "ann")
    window.fill("#password", PASSWORD)
    window.click("button")
    decide(window, f"{one.settings.dashboard_url}/runs", "Approve and start")
    assert one.look(lambda tx: tx.scalar(sa.select(sa.func.count()).select_from(run_table))) == 1

    # The run: candidate better on held-out pairs, gate passed, promotion proposed and approved.
    one.wait(lambda: one.look(lambda tx: not runs.working(tx)), 900, "the end of the run")
    run = one.look(lambda tx: tx.one(sa.select(run_table)))
    assert run["state"] == "succeeded", run["message"]
    report = one.look(lambda tx: versions.latest_report(tx, run["candidate"]))
    assert report.verdict == "pass", [(check.name, check.verdict, check.reason) for check in report.checks]
    accuracy = next(check for check in report.checks if "accuracy" in check.name)
    assert accuracy.estimate.low > 0
    decide(window, f"{one.settings.dashboard_url}/models", "Promote")

    # Canary: half of the people meet it, and as nothing proves it worse, it goes live by itself.
    control = [str(row["text"]) for row in rows(public_data / "streams" / "clinc_control.jsonl.gz")[HISTORY:]]
    one.wait(lambda: on_canary(one, run["candidate"]), 60, "the canary")
    client.send(control[:90])
    one.wait(lambda: serving(one, run["candidate"]), 60, "the candidate to go live after its canary")
    assert client.versions[run["candidate"]] >= 30

    # A regression past the gate: its canary is rolled back before half of the people have met it for long.
    damaged = release_damaged(one.store, one.settings, now=datetime.now(UTC), share=50)
    one.wait(lambda: on_canary(one, damaged), 60, "the canary of the damaged version")
    for begin in range(90, 210, 20):
        client.send(control[begin : begin + 20])
        if reverted(one, damaged):
            break
    ended = one.wait(lambda: reverted(one, damaged), 20, "its rollback")
    assert "disliked" in ended["message"]
    assert serving(one, run["candidate"])
    assert client.failures == []

    # And back to the first version, by one button and one reason.
    window.goto(f"{one.settings.dashboard_url}/models")
    window.get_by_role("button", name="Roll back …").click(timeout=60_000)
    window.get_by_label("What is wrong?").fill("Only to see that it works")
    window.get_by_role("dialog").get_by_role("button", name="Roll back", exact=True).click()
    one.wait(lambda: serving(one, champion), 30, "the rollback, proved by its fingerprint")
    client.send(control[210:214])
    assert client.failures == []

    # Every step is one sound chain.
    assert one.cli("audit", "verify", "--json")["bad"] is None
    assert one.stop() == 0


def caught_up(tx: Tx, seen: int) -> bool:
    """Whether prompt_drift has read `seen` rows of the stream."""
    newest = sa.select(sa.func.max(measurements.c.last_id)).where(measurements.c.metric.like("%drift%"))
    return int(tx.scalar(newest) or 0) >= seen


def reverted(one: Any, version: str) -> Any:
    """The deployment of `version` once it was rolled back."""
    rows = one.look(lambda tx: deployments.history(tx, one.settings.deployment))
    return next((row for row in rows if row["version"] == version and row["state"] == "reverted"), None)


def on_canary(one: Any, version: str) -> bool:
    """Whether a share of the people meets `version` now."""
    running = one.look(lambda tx: trials.running(tx, one.settings.deployment))
    return [(row["version"], row["state"]) for row in running] == [(version, "canary")]


def serving(one: Any, version: str) -> bool:
    """Whether everybody is answered by `version`, proved by its fingerprint."""

    def read(tx: Tx) -> bool:
        route = deployments.current(tx, one.settings.deployment)
        rows = deployments.history(tx, one.settings.deployment)
        live = [row for row in rows if route is not None and row["id"] == route["deployment_id"]]
        return any(row["version"] == version and row["verified_at"] is not None for row in live)

    return bool(one.look(read))
