"""The tables. States carry CHECK constraints, uniqueness does the locking, texts lie apart from narrow rows."""

from __future__ import annotations

from store.columns import metadata
from store.tables.alerting import alert_comments, alert_transitions, alerts, channels, outbox, silences
from store.tables.monitoring import epochs, measurements, monitors, ticks
from store.tables.people import accounts, api_keys, sessions
from store.tables.processes import audit_events, commands, heartbeats, options
from store.tables.release import deployments, gate_reports, prints, routes, versions
from store.tables.traffic import detector_labels, embeddings, feedback, imports, inference_texts, inferences, marks
from store.tables.training import approvals, dataset_pairs, datasets, decisions, pairs, run_progress, runs

__all__ = [
    "accounts",
    "alert_comments",
    "alert_transitions",
    "alerts",
    "api_keys",
    "approvals",
    "audit_events",
    "channels",
    "commands",
    "dataset_pairs",
    "datasets",
    "decisions",
    "deployments",
    "detector_labels",
    "embeddings",
    "epochs",
    "feedback",
    "gate_reports",
    "heartbeats",
    "imports",
    "inference_texts",
    "inferences",
    "marks",
    "measurements",
    "metadata",
    "monitors",
    "options",
    "outbox",
    "pairs",
    "prints",
    "routes",
    "run_progress",
    "runs",
    "sessions",
    "silences",
    "ticks",
    "versions",
]
