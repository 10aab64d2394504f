"""Figures as HTML and one picture: strokes stretch with the width, points and words keep their size.

No chart library is loaded for them, neither here nor in the browser: docs/decisions/0013-figures.md says why.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

Point = tuple[float, float]
MOST_TICKS = 6
STEPS = [
    *(timedelta(minutes=n) for n in (1, 2, 5, 10, 15, 30)),
    *(timedelta(hours=n) for n in (1, 2, 3, 6, 12)),
    *(timedelta(days=n) for n in (1, 2, 4, 7, 14, 28, 91, 182, 364)),
]
STYLE = """<style>
.plot {display: grid; grid-template-columns: minmax(0, max-content) minmax(0, 1fr); column-gap: 8px; font-size: .75rem;
line-height: 1.2; padding-right: 1em}
.plot .names {display: flex; flex-direction: column; max-width: 40cqw; text-align: right}
.plot .names span {flex: 1 1 0; align-content: center; overflow: hidden; text-overflow: ellipsis; white-space: nowrap}
.plot .ticks {position: relative; opacity: .8}
.plot .ticks span {position: absolute; white-space: nowrap}
.plot .area {position: relative}
.plot .area > img {position: absolute; inset: 0; width: 100%; height: 100%}
.plot .area i {position: absolute; font-style: normal}
.plot .area .dot {transform: translate(-50%, -50%); border-radius: 50%}
.plot .area .square {border-radius: 0}
.plot .area .diamond {border-radius: 0; transform: translate(-50%, -50%) rotate(45deg)}
.plot .area .bar {transform: translateY(-50%)}
.plot .area .word {transform: translate(3px, -110%); white-space: nowrap}
.plot .area .word.left {transform: translate(calc(-100% - 3px), -110%)}
.plot .area .word.beside {transform: translate(3px, -50%)}
.plot .area i[data-told]::before {content: ""; position: absolute; inset: -6px}
.plot .area i[data-told]:hover {z-index: 2}
.plot .area i[data-told]:hover::after {content: attr(data-told); position: absolute; left: 50%;
bottom: calc(100% + 6px); z-index: 2; padding: 4px 8px; border-radius: 4px; background: #1d2733; color: #fff;
width: max-content; max-width: 20rem; white-space: pre-line; pointer-events: none}
.plot .area i.left[data-told]:hover::after {left: auto; right: 50%}
.plot .area .diamond[data-told]:hover::after {transform: rotate(-45deg)}
.plot .title {grid-column: 1 / -1; min-height: 1.8em; opacity: .8}
.plot .title.below {grid-column: 2; text-align: center}
.plot .key span {margin-left: .8em; white-space: nowrap}
.plot .key i {display: inline-block; width: .8em; height: .8em; margin-right: .4em}
</style>"""


@dataclass(frozen=True, slots=True)
class Axis:
    """From `low` to `high` (which may be below it), with words at some values."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...] = ()
    title: str = ""
    names: bool = False

    def share(self, value: float) -> float:
        """How far `value` is on the way from low to high, in per cent."""
        return 100.0 * (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Line:
    """Points joined by a stroke, `width` in pixels; with `filled` the area that they go around."""

    points: tuple[Point, ...]
    colour: str
    width: float = 2.0
    dash: str = ""
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of `size` pixels; `told` is what shows while the pointer is on it."""

    x: float
    y: float
    colour: str
    size: int
    told: str = ""
    shape: str = "dot"


@dataclass(frozen=True, slots=True)
class Bar:
    """A level bar from one x to another, `thick` pixels, moved down by `below` pixels from its y."""

    start: float
    end: float
    y: float
    colour: str
    thick: int
    told: str = ""
    below: int = 0
    hatched: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """A word at a point: above it and to the right, or to the left in the last third; or `beside` it, in its row."""

    x: float
    y: float
    text: str
    beside: bool = False


Drawn = Line | Dot | Bar | Word


@dataclass(slots=True)
class Plot:
    """A figure: two axes, a height in pixels, what is drawn, and a key of names with their colours."""

    x: Axis
    y: Axis
    height: int
    marks: list[Drawn] = field(default_factory=list)
    key: tuple[tuple[str, str], ...] = ()

    def upright(self, x: float, colour: str, *, dash: str = "2 3", word: str = "") -> None:
        """A line from bottom to top at `x`."""
        self.marks.append(Line(((x, self.y.low), (x, self.y.high)), colour, 1, dash))
        if word:
            self.marks.append(Word(x, self.y.high, word))

    def level(self, y: float, colour: str, *, dash: str = "2 3", word: str = "") -> None:
        """A line from left to right at `y`."""
        self.marks.append(Line(((self.x.low, y), (self.x.high, y)), colour, 1, dash))
        if word:
            self.marks.append(Word(self.x.high, y, word))

    def html(self) -> str:
        """The figure as HTML in which every text is escaped. A page that shows it needs STYLE once."""
        names = self.y.names
        beside = "".join(
            f'<span title="{html.escape(word)}">{html.escape(word)}</span>'
            if names
            else f'<span style="right:0;top:{100 - self.y.share(at):.2f}%;transform:translateY(-50%)">'
            f"{html.escape(word)}</span>"
            for at, word in self.y.ticks
        )
        wide = "" if names else f";width:{max((len(word) for _, word in self.y.ticks), default=0) + 1}ch"
        key = "".join(
            f'<span><i style="background:{colour}"></i>{html.escape(name)}</span>' for name, colour in self.key
        )
        parts = [
            f'<div class="title key">{html.escape(self.y.title)}{key}</div>',
            f'<div class="{"names" if names else "ticks"}" style="height:{self.height}px{wide}">{beside}</div>',
            f'<div class="area" style="height:{self.height}px">{self._strokes()}',
            *(self._placed(mark) for mark in self.marks),
            f'</div><div></div><div class="ticks" style="height:1.5em">{"".join(self._below())}</div>',
            f'<div></div><div class="title below">{html.escape(self.x.title)}</div>' if self.x.title else "",
        ]
        return f'<div style="container-type:inline-size"><div class="plot">{"".join(parts)}</div></div>'

    def _strokes(self) -> str:
        grid = () if self.y.names else self.y.ticks
        lines = [Line(((self.x.low, at), (self.x.high, at)), "rgba(128,140,150,.25)", 1) for at, _ in grid]
        lines += [mark for mark in self.marks if isinstance(mark, Line)]
        drawn = "".join(self._stroke(line) for line in lines)
        picture = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" preserveAspectRatio="none">{drawn}</svg>'
        )
        return f'<img src="data:image/svg+xml,{quote(picture)}" alt="">'

    def _stroke(self, line: Line) -> str:
        points = " ".join(f"{self.x.share(x):.2f},{100 - self.y.share(y):.2f}" for x, y in line.points)
        if line.filled:
            return f'<polygon points="{points}" fill="{line.colour}"/>'
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        return (
            f'<polyline points="{points}" fill="none" stroke="{line.colour}" stroke-width="{line.width:g}"{dash} '
            'stroke-linejoin="round" vector-effect="non-scaling-stroke"/>'
        )

    def _placed(self, mark: Drawn) -> str:
        if isinstance(mark, Line):
            return ""
        if isinstance(mark, Bar):
            left, right = sorted((self.x.share(mark.start), self.x.share(mark.end)))
            paint = (
                f"repeating-linear-gradient(135deg,{mark.colour} 0 1px,transparent 1px 6px)"
                if mark.hatched
                else mark.colour
            )
            top = f"calc({100 - self.y.share(mark.y):.2f}% + {mark.below}px)"
            size = f"width:{right - left:.2f}%;min-width:2px;height:{mark.thick}px"
            return _element("bar", left, top, f"{size};background:{paint}", mark.told)
        left, top = self.x.share(mark.x), f"{100 - self.y.share(mark.y):.2f}%"
        if isinstance(mark, Word):
            kind = "word beside" if mark.beside else "word"
            return _element(kind, left, top, "", "", html.escape(mark.text))
        size = f"width:{mark.size}px;height:{mark.size}px;background:{mark.colour}"
        return _element(f"dot {mark.shape}", left, top, size, mark.told)

    def _below(self) -> list[str]:
        ends = {True: "0", False: "-50%"}
        return [
            f'<span style="left:{at:.2f}%;transform:translateX({"-100%" if at > 98.5 else ends[at < 1.5]})">'
            f"{html.escape(word)}</span>"
            for at, word in ((self.x.share(value), word) for value, word in self.x.ticks)
        ]


def _element(kind: str, left: float, top: str, style: str, told: str, inside: str = "") -> str:
    side = " left" if left > 60 else ""
    said = f' data-told="{html.escape(told)}"' if told else ""
    return f'<i class="{kind}{side}" style="left:{left:.2f}%;top:{top};{style}"{said}>{inside}</i>'


def numbers(values: Sequence[float], *, unit: str = "", title: str = "", zero: bool = True) -> Axis:
    """An axis over `values`, with 0 if `zero`, from tick to tick; ticks are 1, 2 or 5 times a power of ten apart."""
    covered = [*values, 0.0] if zero or not values else values
    low, high = min(covered), max(covered)
    if high <= low:
        high = low + 1.0
    step = _round_step((high - low) / (MOST_TICKS - 1))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple((place * step, f"{place * step:,.6g}{unit}") for place in range(first, last + 1))
    return Axis(first * step, last * step, ticks, title)


def spanned(low: float, high: float, *, unit: str = "", title: str = "", room: float = 0.0) -> Axis:
    """An axis from `low` to `high` exactly, widened by `room` at either end, with round ticks inside."""
    step = _round_step((high - low) / (MOST_TICKS - 1))
    places = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ticks = tuple((place * step, f"{place * step:,.6g}{unit}") for place in places)
    return Axis(low - room, high + room, ticks, title)


def names(words: Sequence[str]) -> Axis:
    """An axis of names, the first on top; the n-th lies at n + 0.5."""
    ticks = tuple((place + 0.5, word) for place, word in enumerate(words))
    return Axis(float(max(len(words), 1)), 0.0, ticks, names=True)


def moments(since: datetime, until: datetime) -> Axis:
    """An axis of seconds since 1970, at least a minute long; its ticks say the time of day, or the day at midnight."""
    start, end = since.timestamp(), max(until.timestamp(), since.timestamp() + 60)
    step = next((step for step in STEPS if (end - start) / step.total_seconds() <= MOST_TICKS), STEPS[-1])
    seconds = step.total_seconds()
    places = range(math.ceil(start / seconds), math.floor(end / seconds) + 1)
    at = [datetime.fromtimestamp(place * seconds, UTC) for place in places]
    ticks = tuple(
        (moment.timestamp(), f"{moment:{'%H:%M' if moment.hour or moment.minute else '%b %d'}}") for moment in at
    )
    return Axis(start, end, ticks)


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
