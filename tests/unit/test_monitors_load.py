"""The load probe: its rule on simulated servers, its bounds, and its mark."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from monitors.load.bend import Bend, Step, bend, levels
from monitors.load.stepping import Bounds, probe, step_up

RUNS = 100


def served(g: np.random.Generator, slots: float, *, failed: int = 0) -> list[Step]:
    """A server of `slots` places: beyond them people queue, so that the median rises in proportion."""
    return [
        Step(c, list(800 * max(1.0, c / slots) * g.lognormal(0, 0.3, 24)), failed if c > slots else 0, 10.0)
        for c in levels(16)
    ]


def judged(slots: float, seed: int = 1) -> list[Bend]:
    g = np.random.default_rng(seed)
    return [bend(served(g, slots), planned=5) for _ in range(RUNS)]


def test_a_server_that_does_not_bend_is_seldom_said_to() -> None:
    """At most 5 % of probes may err at all; false failure under 1 in 100,000. The median only just doubles at 16."""
    assert sum(found.bent_from is not None for found in judged(8.0)) <= binom.ppf(1 - 1e-5, RUNS, 0.05)


def test_a_planted_bend_is_bracketed() -> None:
    found = judged(2.0)  # the median is twice as long at 4, four times at 8
    assert all(b.bent_from is None or b.bent_from > b.flat_to for b in found)
    wrong = sum((b.bent_from is not None and b.bent_from <= 4) or b.flat_to >= 4 for b in found)
    assert wrong <= binom.ppf(1 - 1e-5, RUNS, 0.05)
    assert sum(b.bent_from == 8 for b in found) > 0.9 * RUNS
    assert sum(b.flat_to == 2 for b in found) > 0.8 * RUNS


def test_failures_bend_too_and_few_answers_are_not_judged() -> None:
    steps = served(np.random.default_rng(1), 4.0, failed=5)
    assert bend(steps, planned=5).bent_from == 8
    few = [Step(1, [100.0] * 5, 0, 1.0), Step(2, [900.0] * 5, 0, 1.0)]
    found = bend(few, planned=5)
    assert (found.flat_to, found.bent_from, found.medians[0].needed) == (0, None, 7)
    assert Step(1, [], 0, 0.0).throughput == 0.0


@given(st.integers(1, 64))
def test_levels_double_and_stay_within_the_bound(most: int) -> None:
    found = levels(most)
    assert found[0] == 1 and found[-1] <= most < 2 * found[-1]
    assert all(b == 2 * a for a, b in pairwise(found))


def run(bounds: Bounds, *, slots: int = 100, answered: bool = True, stop_after: int = 99) -> Any:
    """Step up against a server of `slots` places; returns (steps, why it ended, most at a time, requests)."""

    async def go() -> tuple[Sequence[Step], str, int, int]:
        places, here, most, asked, looks = asyncio.Semaphore(slots), 0, 0, 0, 0

        async def send() -> bool:
            nonlocal here, most, asked
            here, asked = here + 1, asked + 1
            most = max(most, here)
            async with places:
                await asyncio.sleep(0.004)
            here -= 1
            return answered

        def may_go_on() -> bool:
            nonlocal looks
            looks += 1
            return looks <= stop_after

        steps, ended = await step_up(send, bounds, may_go_on=may_go_on)
        return steps, ended, most, asked

    return asyncio.run(go())


def test_the_probe_keeps_its_bounds() -> None:
    steps, ended, most, asked = run(Bounds(concurrency=5, requests=12, factor=20.0))
    assert ([step.concurrency for step in steps], ended) == ([1, 2, 4], "every step was made")
    assert most == 4 and asked == 36
    assert run(Bounds(seconds=0.0))[1:] == ("its time was used up", 0, 0)
    assert run(Bounds(requests=12, factor=20.0), stop_after=1)[1:2] == ("an alert on latency fires",)


def test_the_probe_stops_where_it_hurts() -> None:
    steps, ended, _, _ = run(Bounds(concurrency=32, requests=12), answered=False)
    assert (len(steps), steps[0].failed, ended) == (1, 12, "latency bends")
    steps, ended, _, _ = run(Bounds(concurrency=32, requests=12, step_seconds=0.001), slots=1)
    assert steps[0].failed >= 1 and ended == "latency bends"


@pytest.mark.parametrize(("status", "times"), [(200, 24), (503, 0)])
def test_requests_are_marked_as_probes_and_only_answers_are_timed(status: int, times: int) -> None:
    seen: list[Any] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append((request.headers["X-Trimtab-Kind"], request.headers["Authorization"], await request.json()))
        return web.json_response({}, status=status)

    async def go() -> list[Step]:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        bounds = Bounds(concurrency=1, requests=24)
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        steps, _ = await probe(url, "k", "assistant", bounds, may_go_on=lambda: True)
        await runner.cleanup()
        return steps

    (step,) = asyncio.run(go())
    assert (len(step.times), step.failed) == (times, 24 - times)
    kind, key, body = seen[0]
    assert (kind, key, body["model"]) == ("probe", "Bearer k", "assistant") and body["max_tokens"] <= 16
