"""The topic map of the Traffic page: drawn by the monitors' process, chosen from by lasso or by topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, maps, show, words
from dashboard.console import Console
from dashboard.views import asked
from store.queries import commands as queries

KIND, ROWS = "topic_map", 1000


@dataclass(frozen=True, slots=True)
class Drawn:
    """The newest map, its topics and points as the monitors' process left them."""

    result: Mapping[str, Any]

    @property
    def topics(self) -> Sequence[Mapping[str, Any]]:
        """The topics, the one that moved most first."""
        topics: Sequence[Mapping[str, Any]] = self.result["topics"]
        return topics

    @property
    def points(self) -> Mapping[str, Sequence[Any]]:
        """The points column by column."""
        points: Mapping[str, Sequence[Any]] = self.result["points"]
        return points

    def place(self, id: int) -> int | None:
        """Where among the points the exchange with this key is, if it is."""
        ids = self.points["id"]
        return ids.index(id) if id in ids else None

    def of_topic(self, topic: int) -> list[int]:
        """The keys of a topic's exchanges: its examples, then what else is asked of it now, the newest first."""
        points = self.points
        now = [
            id
            for id, side, own in zip(points["id"], points["now"], points["topic"], strict=True)
            if side and own == topic
        ]
        return list(dict.fromkeys([*self.topics[topic]["examples"], *reversed(now)]))


def newest(console: Console) -> Drawn | None:
    """The map drawn last, or None."""
    rows = console.load("maps", lambda tx: queries.recent(tx, KIND, {}, limit=20))
    done = next((row for row in rows if row["state"] == "done"), None)
    if done is None:
        return None
    found = console.load(f"map {done['uuid']}", lambda tx: queries.result(tx, done["uuid"]))
    return Drawn(found) if found.get("points") else None


def chosen_topic(drawn: Drawn | None) -> int | None:
    """The topic in the address, if there is such a one."""
    named = st.query_params.get("topic", "")
    topic = int(named) if named.isdigit() and len(named) < 4 else None
    return topic if drawn is not None and topic is not None and topic < len(drawn.topics) else None


def draw(console: Console, drawn: Drawn | None) -> list[int]:
    """The map with its topics, and the button to draw it anew; returns the keys of the exchanges that were lassoed."""
    if drawn is None:
        st.text("No map has been drawn yet. The exchanges stand below.")
        ask(console, "Draw the map")
        return []
    result, topic = drawn.result, chosen_topic(drawn)
    then, now = result["reference"], result["current"]
    against = "the reference of prompt_drift" if result["against"] else "the exchanges before them"
    told = f"{words.count(now['rows'], 'opening exchange')} beside {then['rows']:,} of {against}"
    show.say(
        f"{told}, drawn {str(result['at'])[:16].replace('T', ' ')} UTC. Near points ask alike; distances say little.",
        "quiet",
        "map",
    )
    selected = st.plotly_chart(
        maps.topic_map(drawn.points, chosen=topic),
        key=f"map-{result['at']}",
        alt=f"Topic map: {told}; the topics stand in the table below.",
        on_select="rerun",
        selection_mode=("lasso", "box"),
        config={"displayModeBar": False},
    )
    ask(console, "Draw it anew")
    table(drawn)
    return lassoed(drawn, selected)


def ask(console: Console, label: str) -> None:
    """The button, and what became of the last time that it was pressed."""
    if st.button(label, icon=":material/scatter_plot:", key="map-do", disabled=not console.may(Action.RUN_MONITOR)):
        actions.ask_monitors(console, KIND, {"rows": ROWS}, "Asked. The map shows here when it is drawn.")
        st.rerun()
    last = asked.recent(console, KIND, {})[:1]
    if last and asked.state(last[0], console) != "done":
        asked.draw(console, KIND, {})


def table(drawn: Drawn) -> None:
    """The topics with their shares now against the reference. A row that is chosen goes into the address."""
    if not drawn.topics:
        return
    st.subheader("Topics", anchor=False)
    lines = [
        {
            "name": topic["name"],
            "now": share(topic["share"]),
            "then": share(topic["was"]),
            "moved": f"{words.number(topic['difference']['value'], 'gap', signed=True)} "
            f"({words.interval(topic['difference'], 'gap')})",
            "certain": "significant" if topic["significant"] else "within chance",
        }
        for topic in drawn.topics
    ]
    columns = {
        "name": "Topic", "now": "Now", "then": "Reference", "moved": "Difference", "certain": "Corrected for all",
    }  # fmt: skip
    show.choose(lines, columns, alt="Topics, the one that moved most first", key="topics", chosen=choose)


def choose(place: int | None) -> None:
    """Put the topic into the address, or take it out."""
    if place is None:
        st.query_params.pop("topic", None)
    else:
        st.query_params["topic"] = str(place)


def lassoed(drawn: Drawn, selected: Any) -> list[int]:
    """The keys of the points inside the lasso, what is asked now before the reference."""
    rows = maps.indexes(drawn.points)
    found = [
        (point["curve_number"], point["point_index"])
        for point in (selected or {}).get("selection", {}).get("points", [])
        if point.get("curve_number") in (0, 1)
    ]
    inside = [rows[curve][index] for curve, index in sorted(found, reverse=True) if index < len(rows[curve])]
    return [int(drawn.points["id"][index]) for index in inside]


def share(estimate: Mapping[str, Any]) -> str:
    """A share with its interval and count."""
    return f"{words.number(estimate['value'], 'share_share')} ({words.interval(estimate, 'share_share')})"
