"""Bars P1 to P4: what the gateway costs, beside a bare proxy with the same capture and beside no proxy at all.

A scripted OpenAI-compatible server answers at once (27 words; streamed: 27 chunks). In one run, by turns: requests
straight to it, through a bare Starlette and aiohttp proxy that queues the same rows for the same capture, and through
the gateway (SQLite, synchronous FULL, one worker; a key checked; a route followed). Who is measured runs on the first
core, the server and the asker on the second. Per turn: requests a second with 32 askers, streams a second, latency
added at a fixed rate, CPU-seconds and memory of the process. Run: python bench/gateway.py [--seconds 6] [--rounds 3].
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from store import keys, schema
from store.unit_of_work import Store

ROOT = Path(__file__).resolve().parent.parent
WORDS = [f"word{number}" for number in range(27)]
ASKERS, RATES, SETTLE = 32, (100, 300), 3.0
QUESTION = [{"role": "user", "content": "Where is my parcel? " + "It was sent on Monday. " * 6}]
UPSTREAM, BARE, GATEWAY = 8811, 8812, 8813
CORES = sorted(os.sched_getaffinity(0))


async def upstream() -> None:
    """The server that answers at once: HTTP by hand, so that it is not what limits."""
    told = {
        "id": "x",
        "object": "chat.completion",
        "model": "m",
        "usage": {"prompt_tokens": 40, "completion_tokens": 27},
    }
    whole = json.dumps(
        {
            **told,
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": " ".join(WORDS)}, "finish_reason": "stop"}
            ],
        }
    ).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(whole)
    chunks = [{"delta": {"content": f"{word} "}, "finish_reason": None} for word in WORDS]
    chunks.append({"delta": {}, "finish_reason": "stop"})
    events = [json.dumps({**told, "choices": [{"index": 0, **chunk}]}) for chunk in chunks]
    parts = [f"data: {event}\n\n".encode() for event in events] + [b"data: [DONE]\n\n"]
    framed = [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (
                        int(line.split(b":")[1])
                        for line in request.lower().split(b"\r\n")
                        if line.startswith(b"content-length")
                    ),
                    0,
                )
                body = await reader.readexactly(length)
                if b'"stream": true' in body or b'"stream":true' in body:
                    writer.write(
                        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                    )
                    for part in framed:
                        writer.write(part)
                        await asyncio.sleep(0)
                    writer.write(b"0\r\n\r\n")
                elif request.startswith(b"GET"):
                    writer.write(
                        b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{"data":[]}'
                    )
                else:
                    writer.write(head + whole)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", UPSTREAM)
    await server.serve_forever()


def run_bare(folder: str) -> None:
    """The bare proxy: reads JSON, asks the server, passes the answer on, and queues the row."""
    import aiohttp
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    from core.types import Inference
    from gateway.capture import Capture
    from gateway.context import Names

    def now() -> datetime:
        return datetime.now(UTC)

    store = Store.open(f"sqlite:///{folder}/bare.db")
    schema.upgrade(store, now=now())
    capture, names = Capture(store, limit=100_000, now=now, tell=print), Names()
    capture.start()
    held: list[aiohttp.ClientSession] = []

    def keep(asked: dict[str, Any], said: str, began: float) -> None:
        messages = asked["messages"]
        took = (time.perf_counter() - began) * 1e3
        capture.keep(
            Inference(
                names.draw(), now(), "assistant", "v1", "live", messages, messages[-1]["content"], said, latency_ms=took
            )
        )

    async def chat(request: Request) -> Response:
        if not held:
            held.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        began, asked = time.perf_counter(), await request.json()
        url = f"http://127.0.0.1:{UPSTREAM}/v1/chat/completions"
        if asked.get("stream"):

            async def passed() -> Any:
                said = []
                async with held[0].post(url, json=asked) as answer:
                    async for line in answer.content:
                        if line.startswith(b"data: {"):
                            said.append(json.loads(line[6:])["choices"][0]["delta"].get("content", ""))
                        yield line
                keep(asked, "".join(said), began)

            return StreamingResponse(passed(), media_type="text/event-stream")
        async with held[0].post(url, json=asked) as answer:
            body = await answer.read()
        keep(asked, json.loads(body)["choices"][0]["message"]["content"], began)
        return Response(body, media_type="application/json")

    app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
    uvicorn.run(app, port=BARE, log_level="error", access_log=False, loop="uvloop", http="httptools")


class Asker:
    """Asks over connections that stay open, by hand."""

    def __init__(self, port: int, key: str, *, stream: bool) -> None:
        body = json.dumps({"model": "assistant", "messages": QUESTION, "stream": stream}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        self.request = f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
        self.port, self.stream = port, stream

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
        """Ask once; returns seconds until the first part of the answer's body."""
        began = time.perf_counter()
        writer.write(self.request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        if b"chunked" in head.lower():
            first = 0.0
            while True:
                size = int((await reader.readuntil(b"\r\n")).strip(), 16)
                first = first or time.perf_counter() - began
                await reader.readexactly(size + 2)
                if not size:
                    return first
        length = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        )
        await reader.readexactly(length)
        return time.perf_counter() - began

    async def flood(self, seconds: float) -> float:
        """Requests a second with ASKERS at once."""
        ends, done = time.perf_counter() + seconds, 0

        async def one() -> None:
            nonlocal done
            reader, writer = await self.connect()
            while time.perf_counter() < ends:
                await self.ask(reader, writer)
                done += 1
            writer.close()

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(ASKERS)))
        return done / (time.perf_counter() - began)

    async def pace(self, rate: int, seconds: float) -> list[float]:
        """Latencies at a fixed rate, each asked when it is due."""
        idle = [await self.connect() for _ in range(ASKERS)]
        took: list[float] = []

        async def one() -> None:
            link = idle.pop() if idle else await self.connect()
            took.append(await self.ask(*link))
            idle.append(link)

        tasks, began = [], time.perf_counter()
        for place in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + place / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(one()))
        await asyncio.gather(*tasks)
        for _, writer in idle:
            writer.close()
        return took


@dataclass
class Figures:
    """What was measured of one of the three, over the rounds."""

    rates: list[float] = field(default_factory=list)
    streams: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    waits: dict[int, list[float]] = field(default_factory=dict)
    first: list[float] = field(default_factory=list)


async def measure(port: int, key: str, pid: int, seconds: float, told: Figures) -> None:
    """One turn."""
    asker, streamer = Asker(port, key, stream=False), Asker(port, key, stream=True)
    await asker.flood(1.0)
    before, began = cpu_of(pid), time.perf_counter()
    rate = await asker.flood(seconds)
    told.rates.append(rate)
    told.cpu.append((cpu_of(pid) - before) / (rate * (time.perf_counter() - began)) * 1e3)
    told.streams.append(await streamer.flood(seconds))
    await asyncio.sleep(SETTLE)  # what the floods left to be written is not what a paced request meets
    for wanted in RATES:
        told.waits.setdefault(wanted, []).extend(await asker.pace(wanted, seconds / 2))
    told.first.extend(await streamer.pace(RATES[0], seconds / 2))


def cpu_of(pid: int) -> float:
    """CPU-seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> float:
    """Megabytes that a process holds."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1e3


def start(arguments: list[str], core: int, environment: dict[str, str], port: int) -> subprocess.Popen[bytes]:
    """A process on one core, once it listens."""
    process = subprocess.Popen(
        arguments,
        cwd=ROOT,
        env={**os.environ, **environment},
        preexec_fn=_pinned(core),
    )
    for _ in range(300):
        try:
            asyncio.run(_touch(port))
            return process
        except OSError:
            time.sleep(0.1)
    raise SystemExit("A server did not start.")


def prepare(folder: str, settings: dict[str, str]) -> str:
    """An installation whose base version is live; returns a key for it."""
    environment = {**os.environ, **settings}
    repair = [sys.executable, "-m", "trimtab", "doctor", "--repair"]
    subprocess.run(repair, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=False)
    store = Store.open(f"sqlite:///{folder}/trimtab.db")
    with store.write(datetime.now(UTC)) as tx:
        key = keys.create(tx, "bench", "chat", actor="system:bench")
    store.close()
    return key


def core_of(place: int) -> int:
    """The number of the first or the second core that may be used."""
    return CORES[place % len(CORES)]


def _pinned(core: int) -> Callable[[], None]:
    return lambda: os.sched_setaffinity(0, {core_of(core)})


async def _touch(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", choices=("upstream", "bare"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    import uvloop

    if args.part == "upstream":
        uvloop.run(upstream())
    if args.part == "bare":
        run_bare(args.folder)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        own = [sys.executable, __file__, "--folder", folder, "--part"]
        settings = {
            "TRIMTAB_HOME": folder,
            "TRIMTAB_GATEWAY__PORT": str(GATEWAY),
            "TRIMTAB_GATEWAY__SERVER": "openai_compatible",
            "TRIMTAB_GATEWAY__UPSTREAM_URL": f"http://127.0.0.1:{UPSTREAM}/v1",
            "TRIMTAB_GATEWAY__UPSTREAM_MODEL": "m",
        }
        key = prepare(folder, settings)
        running = [
            start([*own, "upstream"], 1, {}, UPSTREAM),
            start([*own, "bare"], 0, {}, BARE),
            start([sys.executable, "-m", "gateway"], 0, settings, GATEWAY),
        ]
        os.sched_setaffinity(0, {core_of(1)})
        time.sleep(3)
        ways = {
            "nobody": (UPSTREAM, running[0].pid),
            "bare": (BARE, running[1].pid),
            "gateway": (GATEWAY, running[2].pid),
        }
        found = {name: Figures() for name in ways}
        try:
            for _ in range(args.rounds):
                for name, (port, pid) in ways.items():
                    uvloop.run(measure(port, key, pid, args.seconds, found[name]))
            report(found, {name: memory_of(pid) for name, (_, pid) in ways.items()})
        finally:
            for process in reversed(running):
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=20)
    return 0


def report(found: dict[str, Figures], memory: dict[str, float]) -> None:
    """The figures, and their ratios to the bare proxy."""
    for name, told in found.items():
        waits = {rate: np.quantile(took, [0.5, 0.99]) * 1e3 for rate, took in told.waits.items()}
        first = np.quantile(told.first, [0.5, 0.99]) * 1e3
        print(
            f"{name}: {np.median(told.rates):,.0f} requests/s, {np.median(told.streams):,.0f} streams/s, "
            f"{np.median(told.cpu):.2f} CPU-seconds a 1,000 requests, {memory[name]:.0f} MB; latency p50 / p99 "
            + ", ".join(f"at {rate}/s {low:.1f} / {high:.1f} ms" for rate, (low, high) in waits.items())
            + f", first chunk {first[0]:.1f} / {first[1]:.1f} ms"
        )
    bare, ours, nobody = found["bare"], found["gateway"], found["nobody"]
    rates = [a / b for a, b in zip(ours.rates, bare.rates, strict=True)]
    streams = [a / b for a, b in zip(ours.streams, bare.streams, strict=True)]
    added = {rate: np.median(took) * 1e3 - np.median(nobody.waits[rate]) * 1e3 for rate, took in ours.waits.items()}
    print(
        f"gateway against the bare proxy: {np.median(rates):.2f} of its requests "
        f"({min(rates):.2f} to {max(rates):.2f}), "
        f"{np.median(streams):.2f} of its streams ({min(streams):.2f} to {max(streams):.2f}); adds "
        + ", ".join(f"{ms:.1f} ms at {rate}/s" for rate, ms in added.items())
        + f", {(np.median(ours.first) - np.median(nobody.first)) * 1e3:.1f} ms to the first chunk"
    )


if __name__ == "__main__":
    sys.exit(main())
