"""`python -m models`: starts the local model server of this installation."""

import argparse
import os
import sys
import time
from pathlib import Path

from config.load import load
from config.secrets import internal_key
from core.errors import InvalidInput, TrimtabError
from core.settings import Settings

DRAIN_SECONDS = 10


def read_flags(arguments: list[str] | None = None) -> argparse.Namespace:
    """The flags of the command; what is not given comes from the settings."""
    parser = argparse.ArgumentParser(prog="python -m models", description="The local model server.")
    parser.add_argument("--host", help="address to listen on (models.host)")
    parser.add_argument("--port", help="port to listen on (models.port)")
    parser.add_argument("--threads", help="processor threads (models.threads); 0: half the cores")
    parser.add_argument("--socket", type=Path, help="Unix socket to listen on instead of host and port")
    parser.add_argument("--model", type=Path, help="prepared base model (default: the installation's chat model)")
    parser.add_argument("--rows", type=int, default=24, help="answers computed at a time")
    parser.add_argument("--queue", type=int, default=64, help="answers that may wait")
    parser.add_argument("--dtype", default="auto", help="auto, float32 or bfloat16")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--root", type=Path, help="load adapters only from below this folder")
    return parser.parse_args(arguments)


def count_threads(settings: Settings) -> int:
    """Processor threads for generation.

    Half the cores by default: a parallel region waits for its slowest thread, so threads that share their cores with
    the gateway and the monitors make every step wait for the scheduler.
    """
    return settings.models.threads or max(1, (os.cpu_count() or 2) // 2)


def check_port(host: str, port: int) -> None:
    """Raises InvalidInput when the address cannot be listened on."""
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise InvalidInput(
                f"The model server cannot listen on {host}:{port} ({error}).", "Choose another --port."
            ) from error


def main(arguments: list[str] | None = None) -> None:
    """Runs the server until SIGTERM or Ctrl-C; running answers may finish for up to ten seconds."""
    import uvicorn

    from models.app import build_app
    from models.engine import Engine
    from models.load import Base, load_base

    flags = read_flags(arguments)
    try:
        settings = load({"models.host": flags.host, "models.port": flags.port, "models.threads": flags.threads})
        path = (flags.model or settings.chat_path).expanduser()
        host, port, threads = settings.models.host, settings.models.port, count_threads(settings)
        if not path.is_dir():
            raise InvalidInput(f"The model folder {path} does not exist.", "Run: trimtab models prepare.")
        if flags.rows < 1 or flags.queue < 1 or threads < 1:
            raise InvalidInput("--rows, --queue and --threads must be positive.", "Correct the flag.")
        if flags.socket is None:
            check_port(host, port)

        def build_base() -> Base:
            import torch

            torch.set_num_threads(threads)
            return load_base(path, device=flags.device, dtype=flags.dtype)

        engine = Engine(build_base, time.perf_counter, effort=time.thread_time, rows=flags.rows, queue=flags.queue)
        app = build_app(engine, internal_key(settings), root=flags.root)
    except TrimtabError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    uvicorn.run(
        app,
        host=host,
        port=port,
        uds=str(flags.socket) if flags.socket else None,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


if __name__ == "__main__":
    main()
