"""The words, icons and colours of states: each state has all three, so that none depends on colour alone."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Colour = Literal["red", "orange", "blue", "green", "gray", "violet"]


@dataclass(frozen=True, slots=True)
class Mark:
    """How a state is shown."""

    word: str
    icon: str
    colour: Colour


UNKNOWN = Mark("Unknown", "help", "gray")
MONITOR = MappingProxyType(
    {
        "ok": Mark("OK", "check_circle", "green"),
        "breach": Mark("Past its limit", "warning", "red"),
        "nodata": Mark("Not enough data", "hourglass_empty", "gray"),
        "error": Mark("Error", "report", "orange"),
        "none": Mark("No data yet", "pending", "gray"),
        "paused": Mark("Paused", "pause_circle", "gray"),
        "firing": Mark("Firing", "notifications_active", "red"),
    }
)
ALERT = MappingProxyType(
    {
        "firing": Mark("Firing", "notifications_active", "red"),
        "pending": Mark("Pending", "hourglass_top", "orange"),
        "resolved": Mark("Resolved", "check_circle", "green"),
        "inactive": Mark("Withdrawn", "do_not_disturb_on", "gray"),
    }
)
ALERT_KIND = MappingProxyType(
    {
        "rule": Mark("Limit", "rule", "gray"),
        "nodata": Mark("No data", "hourglass_empty", "gray"),
        "error": Mark("Monitor failed", "report", "orange"),
        "system": Mark("Trimtab itself", "settings_alert", "orange"),
    }
)
SEVERITY = MappingProxyType(
    {
        "info": Mark("Info", "info", "blue"),
        "warning": Mark("Warning", "warning", "orange"),
        "critical": Mark("Critical", "emergency_home", "red"),
    }
)
DECISION = MappingProxyType(
    {
        "proposed": Mark("Waits for you", "pending_actions", "orange"),
        "others": Mark("Waits for an approver", "pending_actions", "orange"),
        "approved": Mark("Approved", "thumb_up", "blue"),
        "executed": Mark("Carried out", "task_alt", "green"),
        "rejected": Mark("Rejected", "thumb_down", "gray"),
        "expired": Mark("Expired", "timer_off", "gray"),
        "superseded": Mark("Replaced", "low_priority", "gray"),
        "undone": Mark("Not carried out", "block", "orange"),
    }
)
DECISION_KIND = MappingProxyType(
    {
        "retrain": Mark("Retraining", "model_training", "blue"),
        "promote": Mark("Promotion", "rocket_launch", "blue"),
        "rollback": Mark("Rollback", "undo", "blue"),
        "override": Mark("Override of the gate", "gpp_maybe", "orange"),
    }
)
COMMAND = MappingProxyType(
    {
        "asked": Mark("Asked", "schedule", "gray"),
        "claimed": Mark("Under way", "play_circle", "blue"),
        "done": Mark("Done", "check_circle", "green"),
        "failed": Mark("Not done", "block", "orange"),
        "expired": Mark("Not taken", "timer_off", "orange"),
    }
)
RUN = MappingProxyType(
    {
        "queued": Mark("Queued", "schedule", "gray"),
        "running": Mark("Running", "play_circle", "blue"),
        "succeeded": Mark("Succeeded", "check_circle", "green"),
        "failed": Mark("Failed", "error", "red"),
        "cancelled": Mark("Stopped", "stop_circle", "gray"),
        "crashed": Mark("Crashed", "report", "orange"),
    }
)
PAIR = MappingProxyType(
    {
        "collected": Mark("Not checked yet", "hourglass_empty", "gray"),
        "quarantined": Mark("In quarantine", "front_hand", "orange"),
        "approved": Mark("Approved", "check_circle", "green"),
        "rejected": Mark("Rejected", "block", "gray"),
    }
)
VERDICT = MappingProxyType(
    {
        "pass": Mark("Pass", "check_circle", "green"),
        "fail": Mark("Fail", "cancel", "red"),
        "undecided": Mark("Not enough evidence", "help", "orange"),
        "none": Mark("Not judged", "pending", "gray"),
    }
)
DEPLOYMENT = MappingProxyType(
    {
        "requested": Mark("Requested", "schedule", "blue"),
        "shadow": Mark("Shadow", "visibility", "blue"),
        "canary": Mark("Canary", "science", "blue"),
        "compared": Mark("A/B test", "balance", "blue"),
        "live": Mark("Live", "radio_button_checked", "green"),
        "superseded": Mark("Followed", "history", "gray"),
        "reverted": Mark("Reverted", "undo", "gray"),
    }
)
ROLE = MappingProxyType(
    {
        "champion": Mark("Live", "radio_button_checked", "green"),
        "segment": Mark("Serves a segment", "groups", "green"),
        "previous": Mark("Previous", "history", "gray"),
        "candidate": Mark("Candidate", "science", "blue"),
        "earlier": Mark("Earlier", "inventory_2", "gray"),
    }
)
PULSE = MappingProxyType(
    {
        "alive": Mark("Running", "favorite", "green"),
        "trouble": Mark("Trouble", "warning", "orange"),
        "silent": Mark("Silent", "heart_broken", "red"),
    }
)
LEVEL = MappingProxyType(
    {
        "good": Mark("Healthy", "check_circle", "green"),
        "attention": Mark("Look", "visibility", "orange"),
        "bad": Mark("Act", "notifications_active", "red"),
        "unknown": Mark("Not known", "help", "gray"),
    }
)
