"""What the gateway says of itself: models, health, metrics, and the proof of who answers."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from core.segments import MARK
from gateway.auth import Caller
from gateway.context import Gateway
from gateway.exposition import Sample, write
from gateway.openai import write_models
from gateway.web import Web

JSON = {"content-type": "application/json"}


async def models(gateway: Gateway, web: Web, caller: Caller) -> None:
    """The deployments that can be asked; for Trimtab's own keys also deployment@version of what is loaded."""
    names = sorted(name for name in gateway.router.served if MARK not in name)
    if caller.internal:
        names += [f"{name}@{version}" for name in names for version in gateway.router.loaded()]
    await web.reply(200, write_models(names, int(gateway.now().timestamp())), JSON)


async def health(gateway: Gateway, web: Web, caller: Caller) -> None:
    """200 while chats can be answered, 503 while not; both say which part is missing."""
    told = info(gateway)
    ready = bool(gateway.router.served) and gateway.router.server_answers
    status = "ok" if ready and gateway.router.store_answers and not gateway.capture.trouble else "degraded"
    shown = {"status": status if ready else "starting", "store": told["store"], "server": told["server"]}
    await web.reply(200 if ready else 503, json.dumps(shown).encode(), JSON)


async def metrics(gateway: Gateway, web: Web, caller: Caller) -> None:
    """Counters in Prometheus' text format."""
    text = write(_families(gateway), _histograms(gateway))
    await web.reply(200, text.encode(), {"content-type": "text/plain; version=0.0.4; charset=utf-8"})


async def fingerprint(gateway: Gateway, web: Web, caller: Caller) -> None:
    """Who answers: computed now on the live version, or on `?version=`, which is loaded first."""
    deployment = web.query("deployment") or gateway.settings.deployment
    served = gateway.router.resolve(deployment)
    version = web.query("version") or served.version
    await gateway.router.ensure(version)
    found = await gateway.server.fingerprint(version)
    told = {
        "deployment": deployment,
        "version": version,
        "generation": served.generation,
        **asdict(found),
    }
    await web.reply(200, json.dumps(told).encode(), JSON)


def info(gateway: Gateway) -> dict[str, Any]:
    """What the heartbeat carries."""
    router, capture = gateway.router, gateway.capture
    served = router.served.get(gateway.settings.deployment)
    return {
        "server_kind": gateway.settings.gateway.server,
        "deployment": gateway.settings.deployment,
        "version": served.version if served else "",
        "generation": served.generation if served else 0,
        "candidate": served.candidate if served else "",
        "loaded": router.loaded(),
        "server": "ready" if router.server_answers else "away",
        "store": "ready" if router.store_answers else "away",
        "answering": gateway.answering,
        "captured": capture.counts.written,
        "waiting": capture.waiting(),
        "dropped": dict(capture.counts.dropped),
        "trouble": router.trouble or capture.trouble or getattr(gateway.server, "trouble", ""),
    }


def _families(gateway: Gateway) -> list[tuple[str, str, str, list[Sample]]]:
    router, counts = gateway.router, gateway.capture.counts
    requests = [({"route": route, "status": str(status)}, n) for (route, status), n in gateway.meters.requests.items()]
    live = [
        ({"deployment": served.deployment, "version": served.version}, served.generation)
        for served in router.served.values()
    ]
    shares = [
        ({"deployment": served.deployment, "candidate": served.candidate, "trial": served.trial}, served.share)
        for served in router.served.values()
        if served.trial
    ]
    copies: list[Sample] = [({"outcome": name}, number) for name, number in asdict(gateway.shadow.counts).items()]
    dropped: list[Sample] = [({"reason": reason}, number) for reason, number in list(counts.dropped.items())]
    return [
        ("trimtab_gateway_requests_total", "counter", "Requests by route and status.", [*requests]),
        ("trimtab_gateway_answering", "gauge", "Chats under way.", [({}, gateway.answering)]),
        ("trimtab_gateway_route_generation", "gauge", "Generation of the live version.", [*live]),
        ("trimtab_gateway_candidate_share", "gauge", "Percent of the traffic asked for a candidate.", [*shares]),
        ("trimtab_gateway_shadow_total", "counter", "Requests to copy, by what became of them.", copies),
        ("trimtab_gateway_server_up", "gauge", "Whether the model server answers.", [({}, router.server_answers)]),
        ("trimtab_gateway_store_up", "gauge", "Whether the store answers.", [({}, router.store_answers)]),
        ("trimtab_capture_written_total", "counter", "Exchanges committed.", [({}, counts.written)]),
        ("trimtab_capture_feedback_total", "counter", "Feedback committed.", [({}, counts.feedback)]),
        ("trimtab_capture_commits_total", "counter", "Commits.", [({}, counts.commits)]),
        ("trimtab_capture_waiting", "gauge", "Captures in memory.", [({}, gateway.capture.waiting())]),
        ("trimtab_capture_dropped_total", "counter", "Captures given up, by reason.", dropped or [({}, 0)]),
    ]


def _histograms(gateway: Gateway) -> dict[str, Any]:
    return {
        "trimtab_gateway_answer_seconds": gateway.meters.answer,
        "trimtab_gateway_first_token_seconds": gateway.meters.first_token,
    }
