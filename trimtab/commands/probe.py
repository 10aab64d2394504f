"""`trimtab probe`: asks the live gateway on purpose, marked as probe traffic."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import click

from config.secrets import internal_key
from core.errors import Conflict, Unavailable
from store.queries.alerts import listed
from store.unit_of_work import Store
from trimtab import installation, options
from trimtab.output import emit

WATCHED = "latency"


@click.group()
def probe() -> None:
    """Measure the live gateway with requests that no monitor counts."""


@probe.command()
@click.option("--most", default=16, show_default=True, type=click.IntRange(1, 64), help="Requests at a time at most.")
@click.option("--requests", default=24, show_default=True, type=click.IntRange(12, 500), help="Requests a step.")
@click.option("--seconds", default=300.0, show_default=True, type=click.FloatRange(1, 1800), help="Seconds in all.")
@click.option("--factor", default=2.0, show_default=True, type=click.FloatRange(1.1, 20), help="What counts as a bend.")
@options.as_json
@click.pass_context
def load(context: click.Context, most: int, requests: int, seconds: float, factor: float, as_json: bool) -> None:
    """Step up the load until latency bends: 1, 2, 4, ... requests at a time, each step bounded.

    Latency bends where the whole interval of the median is above FACTOR times that of one request at a time, or where
    a tenth of the requests fail; there the probe stops. It neither starts nor goes on while an alert on latency fires.
    """
    from monitors.load.bend import bend, levels
    from monitors.load.stepping import Bounds
    from monitors.load.stepping import probe as run

    settings = options.settings(context)
    store = installation.open_store(settings)
    if alarmed(store):
        raise Conflict("An alert on latency fires.", "Probe again when it is over: more load would make it worse.")
    bounds = Bounds(concurrency=most, requests=requests, seconds=seconds, factor=factor)
    key, deployment = internal_key(settings), settings.deployment
    steps, ended = asyncio.run(run(settings.gateway_url, key, deployment, bounds, may_go_on=lambda: not alarmed(store)))
    if not steps or not any(step.times for step in steps):
        raise Unavailable("The gateway answered no request of the probe.", "Check that it runs: trimtab up.")
    found = bend(steps, planned=len(levels(most)), factor=factor)
    for step, median in zip(steps, found.medians, strict=True):
        value = (
            f"not enough answers ({median.n})"
            if median.value is None
            else f"median {median.value:.0f} ms [{median.low:.0f}, {median.high:.0f}], n = {median.n}"
        )
        told = {"concurrency": step.concurrency, "median_ms": asdict(median), "failed": step.failed}
        emit(
            {**told, "throughput": step.throughput},
            as_json=as_json,
            text=f"{step.concurrency} at a time: {value}, {step.throughput:.2f} answers/s, {step.failed} failed",
        )
    where = (
        f"Latency bends by {found.bent_from} at a time"
        if found.bent_from is not None
        else f"No bend was found up to {steps[-1].concurrency} at a time"
    )
    flat = f"it certainly does not up to {found.flat_to}" if found.flat_to else "nothing is certain below"
    emit(
        {"flat_to": found.flat_to, "bent_from": found.bent_from, "factor": factor, "ended": ended},
        as_json=as_json,
        text=f"{where}; {flat} (factor {factor:g}). The probe ended because {ended}.",
    )


def alarmed(store: Store) -> bool:
    """Whether an alert of the latency monitor is firing."""
    with store.read() as tx:
        return any(row["monitor"] == WATCHED and row["state"] == "firing" for row in listed(tx, firing=True, limit=500))
