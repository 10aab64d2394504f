"""Attaches the evidence page to a drift alert: the reference's prompts beside those since the change."""

from __future__ import annotations

from monitors.effects import Effects
from store import alerts
from store import inferences as exchanges

ROWS = 1000
WITH_REPORT = frozenset({"prompt_drift", "response_drift", "response_length"})


def attach(alert: str, effects: Effects) -> str:
    """Write the page for `alert` and name it in the alert's evidence; returns the file's name, empty when not due."""
    with effects.store.read(effects.clock()) as tx:
        row = alerts.get(tx, alert)
        if row["monitor"] not in WITH_REPORT or "window" not in row["why"]:
            return ""
        window, reference = row["why"]["window"], row["why"]["reference"]
        deployment = effects.settings.deployment
        now = exchanges.after(tx, max(int(window["first_id"] or 1) - 1, 0), deployment=deployment, limit=ROWS)
        then = exchanges.after(
            tx, max(int(reference["first_id"]) - 1, 0), deployment=deployment, limit=min(ROWS, reference["rows"])
        )
    answers = row["monitor"] != "prompt_drift"
    texts = [[r.response if answers else r.prompt for r in rows] for rows in (then, now)]
    name = effects.report(alert, texts[0], texts[1])
    if name:
        with effects.store.write(effects.clock()) as tx:
            alerts.attach(tx, alert, {"report": name})
    return name
