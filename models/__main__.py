"""`python -m models`: starts the local model server."""

import argparse
import os
import sys
import time
from pathlib import Path

from core.errors import InvalidInput, TrimtabError

DRAIN_SECONDS = 20


def read_flags(arguments: list[str] | None = None) -> argparse.Namespace:
    """The flags of the command, each with its default."""
    home = Path(os.environ.get("TRIMTAB_HOME", "~/.trimtab")).expanduser()
    parser = argparse.ArgumentParser(prog="python -m models", description="The local model server.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8010)
    parser.add_argument("--socket", type=Path, help="Unix socket to listen on instead of host and port")
    parser.add_argument("--model", type=Path, default=home / "models" / "chat", help="prepared base model")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all cores)")
    parser.add_argument("--rows", type=int, default=16, help="answers computed at a time")
    parser.add_argument("--queue", type=int, default=64, help="answers that may wait")
    parser.add_argument("--dtype", default="auto", help="auto, float32 or bfloat16")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--root", type=Path, help="load adapters only from below this folder")
    return parser.parse_args(arguments)


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
    """Runs the server until SIGTERM or Ctrl-C; running answers may finish for up to 20 seconds."""
    import uvicorn

    from models.app import build_app
    from models.engine import Engine
    from models.load import Base, load_base

    flags = read_flags(arguments)

    def load() -> Base:
        import torch

        if flags.threads > 0:
            torch.set_num_threads(flags.threads)
        return load_base(flags.model, device=flags.device, dtype=flags.dtype)

    try:
        if not flags.model.expanduser().is_dir():
            raise InvalidInput(
                f"The model folder {flags.model} does not exist.", "Run `python -m models.prepare`, or set --model."
            )
        if flags.rows < 1 or flags.queue < 1 or flags.threads < 0:
            raise InvalidInput("--rows, --queue and --threads must be positive.", "Correct the flag.")
        engine = Engine(load, time.perf_counter, rows=flags.rows, queue=flags.queue)
        app = build_app(engine, os.environ.get("TRIMTAB_MODEL_SERVER_TOKEN", ""), root=flags.root)
        if flags.socket is None:
            check_port(flags.host, flags.port)
    except TrimtabError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    uvicorn.run(
        app,
        host=flags.host,
        port=flags.port,
        uds=str(flags.socket) if flags.socket else None,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


if __name__ == "__main__":
    main()
