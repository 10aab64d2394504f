"""From measurements to findings: the rule's breach, and the NoData and Error alerts of a monitor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

from core.readings import compared, incident, interval, limit, number, title
from core.rules import hold, limits, thresholds
from core.types import Estimate, Measurement, Status
from store.alerts import Finding

NODATA_AFTER = 600.0
# Details by which a monitor remembers earlier looks: long, and no part of what triggered a transition.
MEMORY = frozenset({"outcomes", "order", "margins"})
# What to do about an alert that comes without a window of traffic (the others: monitors.why).
SUGGESTED = {
    "adversarial": "Read below what failed. Where the detector is wrong, say so on the Probes page. If a release came "
    "just before, propose a rollback. The alert ends once the live version was asked all of it anew and nothing fails.",
}


def checked(measurement: Measurement) -> Measurement:
    """The measurement, or an error in its place when it holds a number that is not finite."""
    estimate = measurement.estimate
    if all(number is None or math.isfinite(number) for number in (estimate.value, estimate.low, estimate.high)):
        return measurement
    reason = f"{measurement.metric} came out as a value that is not a number."
    return replace(
        measurement,
        estimate=Estimate.missing(estimate.n, estimate.method),
        status="error",
        reason=reason,
        details={},
    )


def failed(name: str, reason: str) -> Measurement:
    """The measurement of a run that failed."""
    return Measurement(name, Estimate.missing(0, "none"), "error", reason=reason)


def judge(measurements: Sequence[Measurement], rule: Mapping[str, Any], metric: str) -> list[Measurement]:
    """Measurements held to the rule's limits. Those without a limit keep the status their metric gave them."""
    held = thresholds(rule, metric)
    out = []
    for measurement in map(checked, measurements):
        threshold = held.get(measurement.metric)
        if threshold is None or measurement.status in ("error", "nodata"):
            out.append(measurement)
            continue
        breach = threshold.breached(measurement.estimate)
        status: Status = "nodata" if breach is None else "breach" if breach else "ok"
        details = {**measurement.details, "limit": threshold.limit, "direction": threshold.direction}
        out.append(replace(measurement, status=status, details=details))
    return out


def findings(
    monitor: Mapping[Any, Any],
    measurements: Sequence[Measurement],
    *,
    why: Mapping[str, Any] | None = None,
    summary: str = "",
) -> list[Finding]:
    """What the measurements say of the monitor's alerts. Missing data and errors move no rule alert."""
    rule = monitor["rule"]
    ruled = [m for m in measurements if m.metric in ruled_metrics(monitor)] or list(measurements)
    name, id = monitor["name"], monitor["id"]
    out = []
    for measurement in ruled:
        if measurement.status in ("nodata", "error"):
            continue
        out.append(
            Finding(
                name,
                "rule",
                measurement.status == "breach",
                summary if summary and measurement.status == "breach" else sentence(monitor, measurement),
                severity=monitor["severity"],
                hold=hold(rule),
                monitor_id=id,
                segment=_segment(monitor, measurement),
                why=(why or plain_why(monitor, measurement)) if measurement.status == "breach" else {},
                measurement=as_json(measurement),
            )
        )
    errors = [m for m in measurements if m.status == "error"]
    missing = [m for m in ruled if m.status == "nodata"]
    first = (errors or missing or ruled)[0]
    out.append(
        Finding(
            name,
            "error",
            bool(errors),
            first.reason if errors else "It runs again.",
            severity="warning",
            hold=timedelta(seconds=float(rule.get("error_after_seconds", 0.0))),
            monitor_id=id,
            why=plain_why(monitor, first) if errors else {},
            measurement=as_json(first),
        )
    )
    out.append(
        Finding(
            name,
            "nodata",
            None if errors else bool(missing),
            first.reason or sentence(monitor, first) if missing else "There is enough data again.",
            severity="info",
            hold=timedelta(seconds=float(rule.get("nodata_after_seconds", NODATA_AFTER))),
            monitor_id=id,
            why=plain_why(monitor, first) if missing else {},
            measurement=as_json(first),
        )
    )
    return out


def ruled_metrics(monitor: Mapping[Any, Any]) -> set[str]:
    """The names of the measurements that can alarm: those with a limit, and the monitor's own metric."""
    return {limit["metric"] for limit in limits(monitor["rule"], monitor["metric"])} | {monitor["metric"]}


def sentence(monitor: Mapping[Any, Any], measurement: Measurement) -> str:
    """The measurement in words, without any captured text."""
    estimate = measurement.estimate
    if estimate.value is None:
        more = f" {estimate.needed} more needed." if estimate.needed else ""
        return f"Not enough data ({estimate.n} rows).{more} {measurement.reason}".strip()
    if counted := incident(as_json(measurement)):
        verb = "got through" if measurement.details["failures"] else "no longer gets through"
        enough = " One is enough for an alert." if measurement.details["failures"] else ""
        return f"{measurement.segment or 'An attack'} {verb}: {counted}.{enough}"
    name = measurement.metric
    about = f" ({measurement.segment})" if measurement.segment else ""
    change = measurement.details.get("change")
    if change and measurement.status == "breach":
        now = f"{number(change['now']['value'], name)} ({interval(change['now'], name)})"
        told = f"{title(name)}{about} since the change is {now}, {compared(change, name)}."
        return f"{measurement.reason} {told}".strip()
    words = f"{title(name)}{about} is {number(estimate.value, name)} ({interval(asdict(estimate), name)})"
    if held := limit(measurement.details, name):
        words += f"; it should be {held}"
    return f"{words}. {measurement.reason}".strip()


def plain_why(monitor: Mapping[Any, Any], measurement: Measurement) -> dict[str, Any]:
    """The why of an alert that has no more to say than its measurement."""
    told = SUGGESTED.get(monitor["metric"], "")
    said = {"monitor": monitor["name"], "rule": dict(monitor["rule"]), **({"suggested": told} if told else {})}
    return {**as_json(measurement), **said}


def as_json(measurement: Measurement) -> dict[str, Any]:
    """The measurement as JSON: what triggered a transition."""
    estimate = measurement.estimate
    return {
        "metric": measurement.metric,
        "segment": measurement.segment,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "needed": estimate.needed,
        "method": estimate.method,
        "status": measurement.status,
        "limit": measurement.details.get("limit"),
        "details": {name: value for name, value in measurement.details.items() if name not in MEMORY},
    }


def _segment(monitor: Mapping[Any, Any], measurement: Measurement) -> str:
    own = "" if measurement.metric == monitor["metric"] else measurement.metric
    return "/".join(part for part in (own, measurement.segment) if part)
