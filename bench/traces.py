"""Bar P6: OpenTelemetry spans a second through POST /v1/traces, answered when they are on disk, beside a bare loop.

The gateway runs in a process of its own (SQLite, synchronous FULL, one worker); a sender keeps some batches under way
over as many connections. Each span is a chat in the GenAI conventions from 1.37 on, with a prompt and an answer of 40
words.
The floor in the same run: one process that decodes the same bodies and inserts the texts into a table, a commit a
batch. Run: python bench/traces.py [--seconds 10] [--database URL of an empty PostgreSQL database].
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from store import keys, schema
from store.unit_of_work import Store

ROOT = Path(__file__).resolve().parent.parent
SIZES, SENDERS = (50, 500), 4
WORDS = [f"word{number}" for number in range(2000)]


def bodies(size: int, seed: int) -> Iterator[bytes]:
    """Batches of `size` spans without end, each span new."""
    rng, made = np.random.default_rng(seed), 0
    while True:
        request = ExportTraceServiceRequest()
        spans = request.resource_spans.add().scope_spans.add().spans
        for _ in range(size):
            made += 1
            asked, said = (" ".join(WORDS[n] for n in rng.integers(0, len(WORDS), 40)) for _ in range(2))
            began = 1_763_640_000_000_000_000 + made * 1_000_000
            span = spans.add(
                trace_id=seed.to_bytes(8, "big") + made.to_bytes(8, "big"),
                span_id=made.to_bytes(8, "big"),
                name="chat m-1",
                start_time_unix_nano=began,
                end_time_unix_nano=began + 700_000_000,
            )
            told = {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "m-1",
                "gen_ai.conversation.id": f"c{made // 4}",
                "gen_ai.input.messages": f'[{{"role":"user","parts":[{{"type":"text","content":"{asked}"}}]}}]',
                "gen_ai.output.messages": f'[{{"role":"assistant","parts":[{{"type":"text","content":"{said}"}}],'
                '"finish_reason":"stop"}]',
            }
            for name, value in told.items():
                span.attributes.add(key=name).value.string_value = value
            span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 40
            span.attributes.add(key="gen_ai.usage.output_tokens").value.int_value = 40
        yield request.SerializeToString()


def floor(size: int, seconds: float, folder: str) -> float:
    """Spans a second of a bare decode-and-insert loop."""
    ready = [body for body, _ in zip(bodies(size, 1), range(max(4, 3000 // size)), strict=False)]
    base = sqlite3.connect(f"{folder}/floor-{size}.db", isolation_level=None)
    base.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
    base.execute(
        "CREATE TABLE spans (id INTEGER PRIMARY KEY, trace BLOB, span BLOB, at INTEGER, asked TEXT, said TEXT)"
    )
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        request = ExportTraceServiceRequest.FromString(ready[done // size % len(ready)])
        rows = []
        for span in request.resource_spans[0].scope_spans[0].spans:
            told = {pair.key: pair.value.string_value for pair in span.attributes}
            texts = told["gen_ai.input.messages"], told["gen_ai.output.messages"]
            rows.append((span.trace_id, span.span_id, span.start_time_unix_nano, *texts))
        base.execute("BEGIN IMMEDIATE")
        base.executemany("INSERT INTO spans (trace, span, at, asked, said) VALUES (?, ?, ?, ?, ?)", rows)
        base.execute("COMMIT")
        done += size
    base.close()
    return done / (time.perf_counter() - began)


def send(url: str, key: str, size: int, seed: int, seconds: float, took: list[float], failed: list[int]) -> None:
    """Send batches one after another for so long; what is sent is made beforehand."""
    ready = [
        body for body, _ in zip(bodies(size, seed), range(int(seconds * 20_000 / size / SENDERS) + 8), strict=False)
    ]
    START.wait()
    link = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    ends = time.perf_counter() + seconds
    for body in ready:
        if (began := time.perf_counter()) > ends:
            break
        headers = {"Content-Type": "application/x-protobuf", "Authorization": f"Bearer {key}"}
        link.request("POST", "/v1/traces", body, headers)
        reply = link.getresponse()
        reply.read()
        took.append(time.perf_counter() - began)
        if reply.status != 200:
            failed.append(reply.status)
    link.close()


START = threading.Barrier(SENDERS + 1)


def serve(folder: str, database: str, port: int) -> tuple[subprocess.Popen[bytes], str]:
    """A gateway of its own process with the scripted server, and a key for it."""
    url = database or f"sqlite:///{folder}/trimtab.db"
    store = Store.open(url)
    schema.upgrade(store, now=datetime.now(UTC))
    with store.write(datetime.now(UTC)) as tx:
        key = keys.create(tx, "bench", "chat", actor="system:bench")
    store.close()
    environment = {
        **os.environ,
        "TRIMTAB_HOME": folder,
        "TRIMTAB_DATABASE_URL": database,
        "TRIMTAB_GATEWAY__PORT": str(port),
        "TRIMTAB_GATEWAY__SERVER": "scripted",
    }
    process = subprocess.Popen([sys.executable, "-m", "gateway"], cwd=ROOT, env=environment)
    for _ in range(200):
        try:
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            link.request("GET", "/health")
            link.getresponse().read()
            return process, key
        except OSError:
            time.sleep(0.1)
    raise SystemExit("The gateway did not start.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--port", type=int, default=8793)
    parser.add_argument("--database", default="")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, key = serve(folder, args.database, args.port)
        try:
            for size in SIZES:
                bare = floor(size, args.seconds / 2, folder)
                took: list[float] = []
                failed: list[int] = []
                url = f"http://127.0.0.1:{args.port}"
                senders = [
                    threading.Thread(target=send, args=(url, key, size, size * 100 + n, args.seconds, took, failed))
                    for n in range(SENDERS)
                ]
                for sender in senders:
                    sender.start()
                before = sum(os.times()[:2]), cpu_of(process.pid)
                START.wait()
                began = time.perf_counter()
                for sender in senders:
                    sender.join()
                lasted = time.perf_counter() - began
                spent = cpu_of(process.pid) - before[1]
                rate = (len(took) - len(failed)) * size / lasted
                p50, p99 = np.quantile(took, [0.5, 0.99]) * 1e3
                print(
                    f"batches of {size}: {rate:,.0f} spans/s on disk, {rate / bare:.2f} of the bare loop's "
                    f"{bare:,.0f}; {spent / (rate * lasted) * 1e6:.0f} CPU-seconds a million spans; a batch takes "
                    f"{p50:.0f} ms, p99 {p99:.0f} ms; {len(failed)} refused",
                    flush=True,
                )
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=15)
    return 0


def cpu_of(pid: int) -> float:
    """CPU-seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
