"""The page of an export that a person reads: what the records say of each control, and what became of each alarm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

from core.controls import EMPTY, NOT_COVERED, RECORDED
from store.evidence.stories import Story

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; max-width: 72rem; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.25rem; margin-top: 2.2rem } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 } th, td { text-align: left; vertical-align: top;
  padding: .35rem .6rem; border-bottom: 1px solid #d5dae0 } th { font-weight: 600 } .n { text-align: right }
.quiet { color: #57606a } .mark { white-space: nowrap; font-weight: 600 } .records { color: #116329 }
.none { color: #7d4e00 } .not { color: #57606a } code { overflow-wrap: anywhere }
@media print { h2 { break-after: avoid } tr { break-inside: avoid } }
"""
_MARKS = {
    RECORDED: ("records", "✓ records"),
    EMPTY: ("none", "– none in this period"),
    NOT_COVERED: ("not", "○ not covered"),
}
_CHECK = "python verify.py EVIDENCE.zip --digest DIGEST"


def page(
    about: Mapping[str, Any],
    frameworks: Sequence[Mapping[str, Any]],
    stories: Sequence[Story],
    sets: Mapping[str, tuple[str, int]],
) -> str:
    """The whole page as HTML that loads nothing from elsewhere. All that rows say stands in it as text."""
    body = [
        f"<h1>Evidence of {_text(about['deployment'])}</h1>",
        f"<p>From {_time(about['since'])} until {_time(about['until'])}, exported {_time(about['exported_at'])} by "
        f"{_text(about['exported_by'])}. No captured text is in it.</p>",
        _kept(about),
        "<h2>What the records say of each framework</h2>",
        "<p>“Records” says that there are records that speak for a control, not that it is met: that is for a person "
        "to judge. “Not covered” says that Trimtab keeps nothing about it.</p>",
        _summary(frameworks),
        "<h2>From alarm to release</h2>",
        *([_story(story) for story in stories] or ["<p>Nothing was decided in this period.</p>"]),
        *[_framework(framework) for framework in frameworks],
        "<h2>Files</h2>",
        _table(
            ("File", "Holds", "Records"),
            [(f"<code>{name}.jsonl</code>", _text(title), _n(n)) for name, (title, n) in sets.items()],
        ),
        "<h2>How to check it</h2>",
        f"<p>With Python 3 and nothing else: <code>{_CHECK}</code>. The digest is in the installation's chain, in an "
        "event <code>evidence.exported</code>; with it a forged archive shows too.</p>",
    ]
    title = f"Evidence of {_text(about['deployment'])}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n{chr(10).join(body)}\n</body></html>\n"
    )


def moment(micros: int) -> str:
    """Microseconds since 1970 as ISO 8601 in UTC."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat()


def _kept(about: Mapping[str, Any]) -> str:
    chain = about["chain"]
    told = [
        f"The chain of this period: {_count(chain['count'], 'event')} after event {chain['after']:,}"
        + (f", head <code>{_text(chain['head'])}</code>." if chain["head"] else ".")
    ]
    if about["oldest_event"]:
        told.append(f"The oldest event that is kept is of {_time(about['oldest_event'])}.")
    if about["oldest_exchange"]:
        told.append(f"The oldest exchange that is kept is of {_time(about['oldest_exchange'])}.")
    return f"<p class='quiet'>{' '.join(told)}</p>"


def _summary(frameworks: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (_text(one["name"]), *[_n(one["counted"].get(word, 0)) for word in (RECORDED, EMPTY, NOT_COVERED)])
        for one in frameworks
    ]
    return _table(("Framework", "With records", "None in this period", "Not covered"), rows)


def _framework(framework: Mapping[str, Any]) -> str:
    rows = []
    for control in framework["controls"]:
        css, words = _MARKS[control["status"]]
        cited = ", ".join(f"{name} ({number:,})" for name, number in control["records"].items() if number)
        rows.append(
            (
                f"<b>{_text(control['id'])}</b><br>{_text(control['title'])}",
                f"<span class='mark {css}'>{words}</span>",
                f"{_text(control['shows'])}" + (f"<br><span class='quiet'>{_text(cited)}</span>" if cited else ""),
            )
        )
    source = f"<p class='quiet'>{_text(framework['source'])}. Titles are our own words.</p>"
    return f"<h2>{_text(framework['name'])}</h2>{source}{_table(('Control', 'Here', 'What the records show'), rows)}"


def _story(story: Story) -> str:
    rows = [
        (f"{step.event:,}", _time(moment(step.at)), _text(step.kind), _text(step.actor), _text(step.words))
        for step in story.steps
    ]
    title = f"{story.kind.capitalize()} of {story.subject}: {story.state}"
    return (
        f"<h3>{_text(title)}</h3><p>{_text(story.reason)} <span class='quiet'>Decision "
        f"<code>{_text(story.decision)}</code></span></p>{_table(('Event', 'At', 'What', 'Who', 'Said'), rows)}"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already; columns of numbers stand to the right."""
    css = [" class='n'" if all(_number(row[place]) for row in rows) else "" for place in range(len(head))]
    names = "".join(f"<th{kind}>{name}</th>" for name, kind in zip(head, css, strict=True))
    lines = [
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, css, strict=True)) + "</tr>"
        for row in rows
    ]
    return f"<table><thead><tr>{names}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _number(cell: str) -> bool:
    return cell.replace(",", "").isdigit()


def _n(number: int) -> str:
    return f"{number:,}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _time(iso: str) -> str:
    return escape(datetime.fromisoformat(iso).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"))


def _text(value: object) -> str:
    return escape(str(value))
