"""The controls of frameworks that an export of evidence answers to, and which records speak for each.

A control names record sets of the export (`alerts`), or a group of one (`measurements/fairness`). One without records
is not covered: Trimtab keeps nothing that speaks for it, and its text says so. Titles and texts are our own words; the
ids are the frameworks'. Records show that something was done and when; whether that is enough is for a person to judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

RECORDED, EMPTY, NOT_COVERED = "records", "none in this period", "not covered"


@dataclass(frozen=True, slots=True)
class Control:
    """One control: its id as the framework writes it, a short title, what the records show, and which they are."""

    id: str
    title: str
    shows: str
    records: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework: a short key for file names, its name with its edition, where it is published, and its controls."""

    key: str
    name: str
    source: str
    controls: tuple[Control, ...]


def all_frameworks() -> tuple[Framework, ...]:
    """Every framework, in the order in which a report shows them."""
    from core.controls import eu_ai_act, iso_42001, nist_ai_600_1, nist_ai_rmf, owasp_llm

    return (
        nist_ai_rmf.FRAMEWORK,
        nist_ai_600_1.FRAMEWORK,
        eu_ai_act.FRAMEWORK,
        iso_42001.FRAMEWORK,
        owasp_llm.EDITION_2025,
        owasp_llm.EDITION_2026,
    )


def status(control: Control, counts: Mapping[str, int]) -> str:
    """What `counts` (records by set and by group) say of a control: RECORDED, EMPTY, or NOT_COVERED."""
    if not control.records:
        return NOT_COVERED
    return RECORDED if any(counts.get(name, 0) for name in control.records) else EMPTY
