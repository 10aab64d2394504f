"""Why an alarm was raised, as JSON for the Alerts page: the value, what carries it, what else changed then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.readings import DIRECTIONS
from core.types import Inference, Measurement
from monitors import rhythm, topics
from monitors.matched import matched
from monitors.metrics import Tracker, Unit, read
from store import changes
from store import inferences as exchanges

if TYPE_CHECKING:
    from monitors.sequence import Run

ROWS = 5
SHOWN = 5
REFERENCE_ROWS = 1000

SUGGESTED = {
    "prompt_drift": "Read the rows and topics below. If these are real users, collect feedback on the new topics and "
    "propose retraining; acknowledge once the traffic since the change may serve as the new reference.",
    "refusal_rate": "Read the refused rows. If a release came just before, propose a rollback.",
    "negative_feedback": "Read the rows rated badly. If a release came just before, propose a rollback.",
    "response_length": "Compare answers before and after. If a release came just before, propose a rollback.",
    "response_drift": "Compare answers before and after. Where prompt_drift alarms too, the questions changed first; "
    "after a release the change may be wanted: acknowledge, and the answers since then become the reference.",
    "response_format": "Read the rows of the form that grew. If a release came just before, propose a rollback; where "
    "answers are broken off, look at max_tokens.",
    "response_language": "Read the rows. If a release came just before, propose a rollback.",
    "response_pii": "Read the rows and find where the data came from. If a release came just before, propose a "
    "rollback.",
    "prompt_language": "Check that the model serves these languages; collect feedback in them before retraining.",
    "response_sentiment": "Read the rows of the sentiment that grew, and look whether refusals rose too. If a release "
    "came just before, propose a rollback.",
    "prompt_sentiment": "Read the rows of the sentiment that grew: where people are upset, find out what about.",
    "prompt_pii": "See which client or page sends these prompts, and tell its people what is kept here.",
}


def build(
    job: Run,
    epoch: Mapping[Any, Any],
    tracker: Tracker,
    measurement: Measurement,
    explained: Mapping[str, Any],
    units: Sequence[Unit],
) -> dict[str, Any]:
    """The why of a sequential alarm. Topics are best effort: without them the rest is still said."""
    from monitors.verdict import as_json, sentence

    effects = job.effects
    since = list(explained.get("since_onset", []))[-REFERENCE_ROWS:]
    with effects.store.read(effects.clock()) as tx:
        current = exchanges.by_ids(tx, since)
        reference = job.reading(epoch).spanning(
            tx,
            epoch["reference_first"],
            epoch["reference_last"],
            version=epoch["details"].get("reference_version", ""),
            wanted=min(epoch["reference_rows"], REFERENCE_ROWS),
        )
        start = current[0].at if current else units[0].at
        end = units[-1].at
        happened = changes.between(tx, start=start, end=max(end, effects.clock()), deployment=job.deployment)
        shown = {row.id: row for row in exchanges.by_ids(tx, [row["inference"] for row in explained.get("rows", [])])}
    if job.rhythm != "none":
        reference, current = _matched(job, reference, current, epoch["seed"])
    topic_shifts, members = _topics(job, reference, current, epoch["seed"])
    by_row = {id: shift.name for shift, ids in zip(topic_shifts, members, strict=True) for id in ids}
    labels = ([u.labels for u in reference], [r.labels for r in current])
    segment_shifts = topics.shifted_segments(*labels, seed=epoch["seed"])
    return {
        **as_json(measurement),
        "monitor": job.monitor["name"],
        "sentence": sentence(job.monitor, measurement),
        "window": {
            "rows": len(since),
            "first_id": since[0] if since else None,
            "last_id": since[-1] if since else None,
            "from": start.isoformat(),
            "to": end.isoformat(),
        },
        "reference": {
            "rows": epoch["reference_rows"],
            "first_id": epoch["reference_first"],
            "last_id": epoch["reference_last"],
            "version": epoch["details"].get("reference_version", ""),
        },
        "limit": {
            "alpha": epoch["alpha"],
            "horizon": epoch["horizon"],
            "words": f"While nothing changes, a false alarm in the epoch has a chance of at most {epoch['alpha']:.2g}.",
        },
        "view": explained.get("view", ""),
        "view_words": measurement.reason if measurement.metric in DIRECTIONS else explained.get("view_words", ""),
        "rows": [
            {**row, "uuid": shown[row["inference"]].uuid, "topic": by_row.get(row["inference"], "")}
            for row in explained.get("rows", [])[:ROWS]
            if row["inference"] in shown
        ],
        "topics": [
            # Which rows: for what would mend a topic that grew (monitors.mending).
            {**shift.as_json(), **({"inferences": ids} if shift.p <= topics.SIGNIFICANT and shift.grew else {})}
            for shift, ids in list(zip(topic_shifts, members, strict=True))[:SHOWN]
        ],
        "segments": [shift.as_json() for shift in segment_shifts[:SHOWN]],
        "changes": happened,
        "suggested": SUGGESTED.get(job.monitor["metric"], "Look at the rows below."),
        "evidence": {},
    }


def _matched(
    job: Run, reference: Sequence[Unit], current: Sequence[Inference], seed: int
) -> tuple[list[Unit], list[Inference]]:
    """The rows of both sides that may be compared: equal shares of each part of the rhythm."""
    parts = [[rhythm.stratum(row.at, job.rhythm) for row in side] for side in (reference, current)]
    then, now = matched(*parts, seed=seed)
    return [reference[index] for index in then], [current[index] for index in now]


def _topics(
    job: Run, reference: Sequence[Unit], current: Sequence[Inference], seed: int
) -> tuple[list[topics.Shift], list[list[int]]]:
    """The topics by their shift, and the keys of each one's rows since the onset."""
    then = [unit.text for unit in reference if unit.text]
    now = [(row.id, read(job.metric, row)) for row in current if read(job.metric, row).strip()]
    if not then or not now:
        return [], []
    said = [text for _, text in now]
    try:
        vectors = job.effects.embed([*then, *said])
    except Exception:  # an alarm must not be lost because its explanation failed
        return [], []
    found = topics.shifted_topics(vectors[: len(then)], then, vectors[len(then) :], said, seed=seed)
    return found, [[now[index][0] for index in shift.rows] for shift in found]
