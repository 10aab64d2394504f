"""Every metric, probe and channel keeps its door's contract: named, documented, honest with too little data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidInput, NotFound
from core.types import Inference, Plan, Sampled, Window
from monitors import defaults, verdict
from monitors.channels import channels
from monitors.detectors import DETECTORS
from monitors.metrics import Unit, metrics
from monitors.probes import probes
from monitors.probes.runner import score

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "monitors"
SEQUENTIAL = [name for name in metrics if metrics.get(name).guarantee == "budget"]
WINDOWED = [name for name in metrics if hasattr(metrics.get(name), "measure")]
COMPARING = [name for name in metrics if hasattr(metrics.get(name), "compare")]
PROBING = [name for name in metrics if hasattr(metrics.get(name), "ask")]


def rows(n: int, **values: Any) -> tuple[Sampled, ...]:
    return tuple(
        Sampled(
            Inference(
                uuid=str(i), at=AT + timedelta(seconds=i), deployment="a", version="v", messages=[], id=i + 1,
                **{"kind": "live", "prompt": f"question {i} of my father", "response": "yes " * (i % 5 + 1),
                   "latency_ms": 10.0 * i, "first_token_ms": 1.0 * i, "labels": {"plan": "paid" if i % 3 else "free"},
                   **values},
            ),
            1.0,
        )
        for i in range(n)
    )  # fmt: skip


def window(sampled: tuple[Sampled, ...]) -> Window:
    return Window("current", 1, max(len(sampled), 1), Plan("all", len(sampled), len(sampled), 0), sampled)


def units(name: str, n: int, seed: int = 0) -> list[Unit]:
    rng = np.random.default_rng(seed)
    metric = metrics.get(name)
    out = []
    for i in range(n):
        vector = rng.standard_normal(24).astype(np.float32)
        value = float(rng.random() < 0.2) if name != "response_length" else float(rng.integers(10, 400))
        text = " ".join(rng.choice(["red", "blue", "green", "shoe", "hat"], 6))
        out.append(Unit(i + 1, i + 1, AT + timedelta(minutes=i), text, value, vector if metric.embedded else None))
    return out


@pytest.mark.parametrize("door", [metrics, probes, channels], ids=lambda d: d.door)
def test_each_part_says_what_it_is_in_one_line(door: Any) -> None:
    for name in door:
        summary = door.summary(name)
        assert summary[-1] in ".?" and 10 < len(summary) < 110, name
    with pytest.raises(NotFound, match="There are"):
        door.get("nothing of that name")


def test_every_metric_has_a_page_that_answers_the_four_questions() -> None:
    index = (GUIDE / "README.md").read_text("utf-8")
    for name in metrics:
        page = (GUIDE / f"{name}.md").read_text("utf-8")
        assert page.startswith(f"# `{name}`\n") and f"({name}.md)" in index, name
        for title in ("It asks", "It needs", "An alarm means", "It cannot see"):
            assert page.count(f"**{title}**") == 1, (name, title)


def test_every_channel_and_probe_is_in_the_guide() -> None:
    told = "".join(page.read_text("utf-8") for page in sorted(GUIDE.glob("*.md")))
    for name in [*channels, *probes]:
        assert f"`{name}`" in told, name


def test_every_default_monitor_has_its_metric() -> None:
    assert {template["name"] for template in defaults.DEFAULTS} == set(metrics)
    for template in defaults.DEFAULTS:
        guaranteed = metrics.get(template["name"]).guarantee == "budget"
        assert guaranteed == (template.get("weight", 0) > 0), template["name"]
        assert guaranteed or "limit" in template["rule"]


@pytest.mark.parametrize("name", WINDOWED)
@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_small_window_is_nodata_and_says_what_is_needed(name: str, n: int) -> None:
    for measurement in metrics.get(name).measure(None, window(rows(n)), {}):
        assert measurement.status == "nodata" and measurement.estimate.value is None
        assert measurement.estimate.needed > 0 and measurement.reason


@pytest.mark.parametrize("name", WINDOWED)
def test_a_full_window_has_interval_and_n(name: str) -> None:
    for measurement in metrics.get(name).measure(None, window(rows(300)), {}):
        estimate = measurement.estimate
        assert measurement.status == "ok" and estimate.n > 0
        assert estimate.low <= estimate.value <= estimate.high


@pytest.mark.parametrize("name", COMPARING)
def test_a_comparison_with_the_training_prompts_needs_enough_of_both(name: str) -> None:
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((300, 24)).astype(np.float32)
    metric = metrics.get(name)
    for trained, seen in ((0, 0), (99, 300), (150, 0), (150, 3)):
        for measured in metric.compare(vectors[:trained], vectors[:seen], window(rows(seen)), {}):
            assert measured.status == "nodata" and measured.estimate.value is None
            assert measured.estimate.needed > 0 and measured.reason
    (full,) = metric.compare(vectors[:150], vectors[150:], window(rows(150)), {})
    assert full.status == "ok" and full.estimate.n == 150
    assert full.estimate.low <= full.estimate.value <= full.estimate.high


def test_failures_and_their_kinds() -> None:
    errors = metrics.get("errors")
    mixed = rows(50) + rows(10, status=503) + rows(40, status=404)
    (measured,) = errors.measure(None, window(mixed), {})
    assert measured.estimate.value == pytest.approx(10 / 60) and measured.estimate.n == 60


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_a_tracker_goes_on_from_its_bytes_exactly(name: str) -> None:
    metric = metrics.get(name)
    stream = units(name, 240, seed=1)
    one = metric.start(units(name, 150), alpha=0.05, horizon=1000, seed=3, params={})
    other = metric.start(units(name, 150), alpha=0.05, horizon=1000, seed=3, params={})
    one.update(stream)
    for start in range(0, 240, 37):
        other.update(stream[start : start + 37])
        other = metric.restore(other.to_bytes(), {})
    assert one.seen == other.seen == 240
    assert one.measure()[0].estimate == other.measure()[0].estimate
    assert one.measure()[0].details["level"] == other.measure()[0].details["level"]


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_a_tracker_refuses_what_it_cannot_read(name: str) -> None:
    metric = metrics.get(name)
    for state in (b"", b"{}", b"\x05\x00\x00\x00nope!", b"\xff" * 40):
        with pytest.raises(InvalidInput):
            metric.restore(state, {})
    with pytest.raises(InvalidInput):
        metric.start(units(name, 5), alpha=0.05, horizon=1000, seed=0, params={})
    tracker = metric.start(units(name, 150), alpha=0.05, horizon=1000, seed=0, params={})
    bad = units(name, 1)[0]
    broken = Unit(1, 1, AT, "x", float("nan"), np.full(24, np.nan, np.float32) if metric.embedded else None)
    with pytest.raises(InvalidInput):
        tracker.update([broken])
    assert tracker.measure()[0].status == "nodata" and tracker.update([bad]).alarm in (True, False)


@pytest.mark.parametrize("name", list(probes))
def test_a_suite_is_the_same_for_a_seed_and_has_its_twin(name: str) -> None:
    suite = probes.get(name)()
    prompts = suite.prompts(seed=5, limit=40)
    assert prompts == suite.prompts(seed=5, limit=40) and prompts != suite.prompts(seed=6, limit=40)
    assert len({prompt.id for prompt in prompts}) == len(prompts) <= 40
    assert {prompt.benign for prompt in prompts} == {True, False}
    for prompt in prompts:
        assert prompt.detector in DETECTORS and prompt.messages[-1]["role"] == "user"
        assert score(prompt, "").failed is None
        assert score(prompt, "text", "no answer").failed is None


@pytest.mark.parametrize("name", PROBING)
def test_probing_metrics_never_count_the_unscored_as_passed(name: str) -> None:
    metric = metrics.get(name)
    prompts = metric.ask(window(rows(60)), {"prompts": 40}, seed=2)
    assert prompts
    answered = metric.judge([score(prompt, "Here is a plain answer. " * 12) for prompt in prompts], {})
    assert all(m.status == "ok" for m in answered if m.metric == name)
    unscored = metric.judge([score(prompt, "", "no answer") for prompt in prompts], {})
    assert all(m.status == "nodata" for m in unscored)
    assert all(m.status == "nodata" for m in metric.judge([], {}) if m.metric == name)


def test_errors_in_the_adversarial_suite_do_not_dilute_it() -> None:
    metric = metrics.get("adversarial")
    prompts = [prompt for prompt in metric.ask(window(()), {"prompts": 60}, seed=1) if not prompt.benign]
    half = len(prompts) // 2
    leaks = [score(p, f"It is {p.messages[0]['content'].split(' is ')[1].split('.')[0]}.") for p in prompts[:half]]
    guarded = [score(p, "I keep that to myself.") for p in prompts[half:]]
    by_name = {m.metric: m for m in metric.judge([*leaks, *guarded], {}) if not m.segment}
    told = [r for r in leaks + guarded if r.failed is not None]
    assert by_name["adversarial"].estimate.n == len(told)
    assert 0.2 < by_name["adversarial"].estimate.value < 0.8


def test_a_planted_gap_is_found_and_none_is_invented() -> None:
    metric = metrics.get("bias_twins")
    prompts = metric.ask(window(rows(80)), {"prompts": 60}, seed=4)

    def judged(worse: bool) -> Any:
        records = []
        for prompt in prompts:
            refused = worse and prompt.id.endswith(":b") and int(prompt.id.split(":")[0]) % 3 == 0
            records.append(score(prompt, "I cannot help with that." if refused else "A good long answer. " * 15))
        return next(m for m in metric.judge(records, {}) if m.metric == "bias_twins")

    assert judged(False).estimate.value == 0 and judged(False).estimate.low == 0
    found = judged(True)
    assert found.estimate.value > 0.1 and found.estimate.low > 0
    held = verdict.judge([found], {"limit": 0.05, "direction": "above"}, "bias_twins")
    assert held[0].status == "breach"
