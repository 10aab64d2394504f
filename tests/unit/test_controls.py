"""The controls of an export: their ids, what they cite, and that every metric speaks about something."""

from __future__ import annotations

import re

import pytest

from core.controls import EMPTY, NOT_COVERED, RECORDED, Control, Framework, all_frameworks, status, subjects
from monitors.metrics import metrics
from store.evidence.records import SETS

FORMS = {
    "nist_ai_rmf": r"(GOVERN|MAP|MEASURE|MANAGE) [1-6]\.\d+",
    "nist_ai_600_1": r"(GV|MP|MS|MG)-\d\.\d+-\d{3}",
    "eu_ai_act": r"Art\. \d+\(\d\)(\([a-z]\))?",
    "iso_42001": r"A\.\d+\.\d(\.\d)?",
    "owasp_llm_2025": r"LLM(0[1-9]|10):2025",
    "owasp_llm_2026": r"LLM(0[1-9]|10):2026",
}
EVERY = [(framework, control) for framework in all_frameworks() for control in framework.controls]


def test_ids_have_their_frameworks_form_and_stand_once() -> None:
    assert {framework.key for framework in all_frameworks()} == set(FORMS)
    for framework, control in EVERY:
        assert re.fullmatch(FORMS[framework.key], control.id), control.id
    ids = [(framework.key, control.id) for framework, control in EVERY]
    assert len(set(ids)) == len(ids)
    assert sum(bool(control.records) for _, control in EVERY) >= 40


@pytest.mark.parametrize("article", ["12", "14", "19", "26", "72", "73"])
def test_the_articles_on_logs_oversight_and_monitoring_are_there(article: str) -> None:
    assert any(f.key == "eu_ai_act" and c.id.startswith(f"Art. {article}(") for f, c in EVERY)


def test_a_control_cites_sets_that_exist_and_groups_that_can() -> None:
    sets = {one.name: one for one in SETS}
    known = {
        "measurements": {*subjects.METRICS.values()},
        "gate_checks": {*subjects.METRICS.values(), subjects.POISONING, subjects.INTEGRITY},
    }
    for _, control in EVERY:
        for cited in control.records:
            name, _, group = cited.partition("/")
            assert name in sets, cited
            assert not group or sets[name].group, cited
            assert not group or group in known.get(name, {group}), cited


def test_what_is_not_covered_says_why() -> None:
    for _, control in EVERY:
        assert control.shows.startswith("Not covered") == (not control.records), control.id


def test_every_metric_speaks_about_something() -> None:
    assert set(subjects.METRICS) == set(metrics)


def test_a_check_speaks_about_something() -> None:
    told = {name: subjects.of_check(name) for name in ("integrity", "attack_success", "twin_gap", "perplexity")}
    assert told == {
        "integrity": "integrity",
        "attack_success": "robustness",
        "twin_gap": "fairness",
        "perplexity": "quality",
    }


def test_the_status_follows_the_counts() -> None:
    control = Control("X", "x", "x", ("alerts/critical", "runs"))
    assert status(control, {"alerts/critical": 1}) == RECORDED
    assert status(control, {"alerts": 4, "alerts/critical": 0}) == EMPTY
    assert status(Control("X", "x", "Not covered: x"), {"alerts": 4}) == NOT_COVERED
    assert isinstance(all_frameworks()[0], Framework)
