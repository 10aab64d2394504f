"""The record sets of an export: which rows of a period, and what of each leaves the house.

No captured text, no secret, no hash of a password or key: of an exchange its facts, of a pair its provenance, of a
person the name of the account. Users and contributors appear as the hashes under which they are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from core.controls import subjects
from store import tables as t
from store.evidence.period import Period
from store.evidence.reading import Row, by_key, by_time, every, touching, within
from store.unit_of_work import Tx


@dataclass(frozen=True, slots=True)
class RecordSet:
    """A file of the export. `group` is the field whose value (up to its first dot) parts its rows, or empty."""

    name: str
    title: str
    rows: Callable[[Tx, Period], Iterator[Row]]
    group: str = ""


def chain(tx: Tx, period: Period) -> Iterator[Row]:
    """The events of the period, as they are hashed; `at` is in microseconds since 1970.

    All between the first and the last of the period, so that no link is missing where clocks of processes differ.
    """
    c = t.audit_events.c
    first, last = chain_ends(tx, period)
    return map(dict, by_key(tx, sa.select(t.audit_events).where(c.id >= first, c.id <= last), c.id))


def chain_ends(tx: Tx, period: Period) -> tuple[int, int]:
    """The numbers of the period's first and last event; (1, 0) where it has none."""
    c = t.audit_events.c
    since, until = period.micros
    ends = sa.select(sa.func.min(c.id).label("first"), sa.func.max(c.id).label("last"))
    found = tx.all(ends.where(c.at >= since, c.at < until))[0]
    return (1, 0) if found["first"] is None else (int(found["first"]), int(found["last"]))


def exchanges(tx: Tx, period: Period) -> Iterator[Row]:
    """One row for each exchange, without its texts."""
    c = t.inferences.c
    wanted = (
        *(c.uuid, c.at, c.deployment, c.version, c.kind, c.status, c.finish_reason, c.streamed, c.prompt_tokens),
        *(c.completion_tokens, c.latency_ms, c.first_token_ms, c.compute_ms, c.response_chars, c.user_hash),
        c.prompt_digest,
    )
    return by_time(tx, t.inferences, wanted, period)


def feedback(tx: Tx, period: Period) -> Iterator[Row]:
    """What people said of answers, without their words."""
    c = t.feedback.c
    wanted = c.uuid, c.at, c.kind, c.value, c.contributor, c.source, t.inferences.c.uuid.label("exchange")
    joined = t.feedback.outerjoin(t.inferences, c.inference_id == t.inferences.c.id)
    return every(tx, sa.select(*wanted).select_from(joined).where(within(c.at, period)).order_by(c.id))


def measurements(tx: Tx, period: Period) -> Iterator[Row]:
    """Every look with value, interval, count and method; `speaks_for`: what it speaks about, or why it has no value."""
    c, m = t.measurements.c, t.monitors.c
    wanted = (
        *(c.at, m.name.label("monitor"), m.metric.label("speaks_for"), c.metric, c.segment, c.version, c.status),
        *(c.value, c.low, c.high, c.n, c.needed, c.method, c.reason),
    )
    query = sa.select(c.id, *wanted).select_from(t.measurements.join(t.monitors, c.monitor_id == m.id))
    for row in by_key(tx, query.where(within(c.at, period)), c.id):
        told = dict(row)
        del told["id"]
        subject = subjects.METRICS.get(told["speaks_for"], "other")
        yield {**told, "speaks_for": subject if told["value"] is not None else told["status"]}


def monitors(tx: Tx, period: Period) -> Iterator[Row]:
    """The monitors as they are set now."""
    c = t.monitors.c
    wanted = c.name, c.metric, c.title, c.enabled, c.every_seconds, c.weight, c.severity, c.params, c.rule, c.revision
    return every(tx, sa.select(*wanted).where(c.created_at < period.until).order_by(c.name))


def epochs(tx: Tx, period: Period) -> Iterator[Row]:
    """Epochs that touch the period: the reference, the share of the false-alarm budget, how it ended."""
    c, m = t.epochs.c, t.monitors.c
    wanted = (
        *(m.name.label("monitor"), c.number, c.started_at, c.ended_at, c.alarmed_at, c.reason, c.alpha, c.horizon),
        *(c.reference_rows, c.seen_rows),
    )
    there = touching(c.started_at, c.ended_at, period)
    joined = t.epochs.join(t.monitors, c.monitor_id == m.id)
    return every(tx, sa.select(*wanted).select_from(joined).where(there).order_by(c.id))


def alerts(tx: Tx, period: Period) -> Iterator[Row]:
    """Alerts that stood in the period, with what was measured when they fired."""
    c = t.alerts.c
    wanted = (
        *(c.uuid, c.severity, c.monitor, c.kind, c.state, c.summary, c.why, c.pending_since, c.fired_at),
        *(c.resolved_at, c.acknowledged_by, c.acknowledged_at),
    )
    there = touching(sa.func.coalesce(c.pending_since, c.fired_at), c.resolved_at, period)
    for row in every(tx, sa.select(*wanted).where(there).order_by(c.id)):
        why = row.pop("why")
        kept = ("metric", "value", "low", "high", "n", "method", "status", "sentence", "limit", "reference", "window")
        yield {**row, "measured": {name: why[name] for name in kept if name in why}}


def alert_transitions(tx: Tx, period: Period) -> Iterator[Row]:
    """Each step of an alert."""
    c, a = t.alert_transitions.c, t.alerts.c
    wanted = c.at, a.uuid.label("alert"), a.monitor, c.old, c.new, c.reason, c.actor
    joined = t.alert_transitions.join(t.alerts, c.alert_id == a.id)
    return every(tx, sa.select(*wanted).select_from(joined).where(within(c.at, period)).order_by(c.id))


def alert_comments(tx: Tx, period: Period) -> Iterator[Row]:
    """What people, and the policy, wrote to alerts."""
    c, a = t.alert_comments.c, t.alerts.c
    wanted = c.at, a.uuid.label("alert"), a.monitor, c.actor, c.body
    joined = t.alert_comments.join(t.alerts, c.alert_id == a.id)
    return every(tx, sa.select(*wanted).select_from(joined).where(within(c.at, period)).order_by(c.id))


def silences(tx: Tx, period: Period) -> Iterator[Row]:
    """When notices were held back, by whom and why."""
    c = t.silences.c
    wanted = c.monitor, c.reason, c.actor, c.starts_at, c.ends_at, c.ended_early_at
    return every(tx, sa.select(*wanted).where(touching(c.starts_at, c.ends_at, period)).order_by(c.id))


def notices(tx: Tx, period: Period) -> Iterator[Row]:
    """Notices with channel and delivery; a channel's address stays here."""
    c, a, ch = t.outbox.c, t.alerts.c, t.channels.c
    wanted = (
        *(c.key, ch.name.label("channel"), ch.kind.label("by"), a.uuid.label("alert"), c.state, c.attempts),
        *(c.created_at, c.sent_at, c.held_because),
    )
    joined = t.outbox.join(t.channels, c.channel_id == ch.id).outerjoin(t.alerts, c.alert_id == a.id)
    return every(tx, sa.select(*wanted).select_from(joined).where(within(c.created_at, period)).order_by(c.id))


def decisions(tx: Tx, period: Period) -> Iterator[Row]:
    """Proposals with what was shown, how they were answered, by whom."""
    c, a, p = t.decisions.c, t.alerts.c, t.approvals.c
    wanted = (
        *(c.uuid, c.state, c.kind, c.subject, c.proposer, c.reason, a.uuid.label("alert"), c.body.label("shown")),
        *(c.digest, c.created_at, c.expires_at, c.decided_at, c.decided_by, c.comment),
        *(p.account.label("approved_by"), p.digest.label("approved_digest"), p.at.label("approved_at")),
    )
    joined = t.decisions.outerjoin(t.alerts, c.alert_id == a.id).outerjoin(t.approvals, p.decision_id == c.id)
    there = touching(c.created_at, c.decided_at, period)
    return every(tx, sa.select(*wanted).select_from(joined).where(there).order_by(c.id))


def runs(tx: Tx, period: Period) -> Iterator[Row]:
    """Retraining runs: settings, data, course and candidate."""
    c, d, s = t.runs.c, t.decisions.c, t.datasets.c
    wanted = (
        *(c.uuid, c.state, c.stage, d.uuid.label("decision"), c.requested_by, c.spec, s.digest.label("dataset")),
        *(c.attempts, c.message, c.candidate, c.created_at, c.started_at, c.ended_at),
    )
    joined = t.runs.outerjoin(t.decisions, c.decision_id == d.id).outerjoin(t.datasets, c.dataset_id == s.id)
    there = touching(c.created_at, c.ended_at, period)
    return every(tx, sa.select(*wanted).select_from(joined).where(there).order_by(c.id))


def datasets(tx: Tx, period: Period) -> Iterator[Row]:
    """Locked versions of the preference data, with their cards."""
    c = t.datasets.c
    wanted = c.uuid, c.digest, c.created_at, c.train_pairs, c.held_out_pairs, c.card
    return every(tx, sa.select(*wanted).where(c.created_at < period.until).order_by(c.id))


def pairs(tx: Tx, period: Period) -> Iterator[Row]:
    """Preference pairs of the period with provenance and what customs found, without their texts."""
    c = t.pairs.c
    wanted = (
        *(c.uuid, c.state, c.at, c.content_digest, c.prompt_digest, c.contributor, c.source, c.licence, c.consent),
        *(c.version, c.weight, c.flags, c.decided_by),
    )
    for row in by_key(tx, sa.select(c.id, *wanted).where(within(c.at, period)), c.id):
        told = dict(row)
        del told["id"]
        yield {**told, "flags": told["flags"].split()}


def pairs_flagged(tx: Tx, period: Period) -> Iterator[Row]:
    """One row for each finding of customs on a pair."""
    c = t.pairs.c
    query = sa.select(c.id, c.uuid, c.state, c.decided_by, c.flags).where(within(c.at, period), c.flags != "")
    for row in by_key(tx, query, c.id):
        for flag in row["flags"].split():
            yield {"flag": flag, "pair": row["uuid"], "state": row["state"], "decided_by": row["decided_by"]}


def imports(tx: Tx, period: Period) -> Iterator[Row]:
    """Files that were brought in, by digest."""
    c = t.imports.c
    wanted = c.uuid, c.kind, c.at, c.name, c.digest, c.rows, c.new_rows, c.actor
    return every(tx, sa.select(*wanted).where(within(c.at, period)).order_by(c.id))


def versions(tx: Tx, period: Period) -> Iterator[Row]:
    """Every version of the model, by content digest, with its card."""
    c, r = t.versions.c, t.runs.c
    wanted = c.name, c.kind, c.digest, c.base, c.parent, r.uuid.label("run"), c.fingerprint, c.card, c.created_at
    joined = t.versions.outerjoin(t.runs, c.run_id == r.id)
    return every(tx, sa.select(*wanted).select_from(joined).where(c.created_at < period.until).order_by(c.id))


def gate_reports(tx: Tx, period: Period) -> Iterator[Row]:
    """The gate's verdicts."""
    return ({name: value for name, value in row.items() if name != "checks"} for row in _reports(tx, period))


def gate_checks(tx: Tx, period: Period) -> Iterator[Row]:
    """Each check of each of the gate's reports."""
    for report in _reports(tx, period):
        for check in report["checks"]:
            yield {
                "about": subjects.of_check(check["name"]),
                "report": report["digest"],
                "version": report["version"],
                **{name: check.get(name) for name in ("name", "verdict", "reason", "estimate", "limit", "required")},
            }


def deployments(tx: Tx, period: Period) -> Iterator[Row]:
    """Which version answered from when until when, why, and when that was proved."""
    c, v, d = t.deployments.c, t.versions.c, t.decisions.c
    wanted = (
        *(c.uuid, c.kind, c.state, c.deployment, v.name.label("version"), d.uuid.label("decision"), c.generation),
        *(c.actor, c.reason, c.share, c.shadow, c.requested_at, c.trial_at, c.live_at, c.verified_at, c.ended_at),
        *(c.fingerprint, c.held_by, c.message),
    )
    joined = t.deployments.join(t.versions, c.version_id == v.id).outerjoin(t.decisions, c.decision_id == d.id)
    there = touching(c.requested_at, c.ended_at, period)
    return every(tx, sa.select(*wanted).select_from(joined).where(there).order_by(c.id))


def accounts(tx: Tx, period: Period) -> Iterator[Row]:
    """Accounts with their roles as they are now."""
    c = t.accounts.c
    wanted = c.name, c.role, c.active, c.demo, c.created_at
    return every(tx, sa.select(*wanted).where(c.created_at < period.until).order_by(c.name))


def detector_labels(tx: Tx, period: Period) -> Iterator[Row]:
    """What people say of answers that a detector judged."""
    c, i = t.detector_labels.c, t.inferences.c
    wanted = c.at, c.detector, i.uuid.label("exchange"), c.told, c.truth, c.drawn, c.actor
    joined = t.detector_labels.join(t.inferences, c.inference_id == i.id)
    return every(tx, sa.select(*wanted).select_from(joined).where(within(c.at, period)).order_by(c.id))


SETS = (
    RecordSet("chain", "The audit chain", chain, "kind"),
    RecordSet("exchanges", "Exchanges, without their texts", exchanges, "kind"),
    RecordSet("feedback", "What people said of answers", feedback, "kind"),
    RecordSet("measurements", "What monitors measured", measurements, "speaks_for"),
    RecordSet("monitors", "The monitors as set", monitors),
    RecordSet("epochs", "Epochs and the false-alarm budget", epochs),
    RecordSet("alerts", "Alerts", alerts, "severity"),
    RecordSet("alert_transitions", "Each step of an alert", alert_transitions, "new"),
    RecordSet("alert_comments", "Comments on alerts", alert_comments),
    RecordSet("silences", "Silences", silences),
    RecordSet("notices", "Notices and their delivery", notices, "state"),
    RecordSet("decisions", "Proposals and how they were answered", decisions, "state"),
    RecordSet("runs", "Retraining runs", runs, "state"),
    RecordSet("datasets", "Locked preference data", datasets),
    RecordSet("pairs", "Preference pairs, without their texts", pairs, "state"),
    RecordSet("pairs_flagged", "What customs found", pairs_flagged, "flag"),
    RecordSet("imports", "Imported files", imports, "kind"),
    RecordSet("versions", "Versions of the model", versions, "kind"),
    RecordSet("gate_reports", "The gate's verdicts", gate_reports, "verdict"),
    RecordSet("gate_checks", "The gate's checks", gate_checks, "about"),
    RecordSet("deployments", "Releases and rollbacks", deployments, "kind"),
    RecordSet("accounts", "Accounts and roles", accounts, "role"),
    RecordSet("detector_labels", "Detectors beside people", detector_labels, "detector"),
)


def _reports(tx: Tx, period: Period) -> Iterator[Row]:
    c, v, r = t.gate_reports.c, t.versions.c, t.runs.c
    wanted = c.digest, c.verdict, v.name.label("version"), c.champion, r.uuid.label("run"), c.at, c.checks
    joined = t.gate_reports.join(t.versions, c.version_id == v.id).outerjoin(t.runs, c.run_id == r.id)
    return every(tx, sa.select(*wanted).select_from(joined).where(within(c.at, period)).order_by(c.id))
