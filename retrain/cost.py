"""What a run will take before it is approved: from the last run's speed here, or from what such machines usually do."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from core.types import PreferencePair
from models.artefacts import read_header

# Tokens a second of shared-prefix DPO on the 135M default model, measured on two cores (fp32 to bf16) and one H200.
USUAL = {"cpu": (220.0, 700.0), "cuda": (20_000.0, 80_000.0)}
# MiB of that model with an adapter, and of each token that goes through at once: peaks measured on a CPU with 256,
# 1,024 and 2,048 of them, within a tenth. A GPU is taken to need about 3,000 with the default settings.
MEMORY_MB = {"bf16": (870, 1.05), "fp32": (1_300, 1.6)}
MORE_MEMORY_MB = {"cpu": 0, "cuda": 1_100}
# What shares a row is at least so long (`RunSpec.row_tokens`).
LEAST_TOKENS = 256
# Reading the model, scoring the reference once, and judging the candidate afterwards.
AROUND_SECONDS = {"cpu": (60.0, 240.0), "cuda": (40.0, 120.0)}
CHARACTERS_PER_TOKEN = 3.5
NATIVE_BF16 = ("avx512_bf16", "amx_tile")
# Where all weights train each takes a third product; it is kept in fp32, with a gradient and two moments.
FULL_TIMES, FULL_BYTES = 1.5, 14


def estimate(
    *,
    pairs: int,
    tokens_per_pair: int,
    throughput: float | None,
    device: str,
    tokens_at_once: int,
    precision: str,
    parameters: int = 0,
    around: float | None = None,
) -> dict[str, Any]:
    """Seconds from low to high, memory in MiB, and what that rests on, for `pairs` trained in all steps together.

    `tokens_at_once` go through the model together, in bf16 or fp32 (`precision`): its memory follows from both.
    `throughput` (tokens a second) and `around` (seconds before and after training) are those of the last run here.
    `parameters` are those of the model where all of them train, otherwise 0. How many trained in the last run is not
    known: a whole model is taken to be slower than it.
    """
    kind = "cuda" if device.startswith("cuda") else "cpu"
    slow, fast = (0.7 * throughput, 1.3 * throughput) if throughput else USUAL[kind]
    if parameters:
        slow /= FULL_TIMES
    low, high = AROUND_SECONDS[kind] if around is None else (0.7 * around, 1.3 * around)
    tokens = pairs * tokens_per_pair
    itself, each = MEMORY_MB[precision]
    memory = itself + MORE_MEMORY_MB[kind] + each * max(LEAST_TOKENS, tokens_per_pair, tokens_at_once)
    return {
        "device": kind,
        "tokens": tokens,
        "seconds_low": round(tokens / fast + low),
        "seconds_high": round(tokens / slow + high),
        "memory_mb": round(memory) + parameters * FULL_BYTES // 2**20,
        "basis": _basis(throughput, around),
    }


def _basis(throughput: float | None, around: float | None) -> str:
    if not throughput:
        return "usual speed of such a machine"
    beside = "" if around is None else f", and {max(around / 60, 1):.0f} min beside training"
    return f"{throughput:.0f} tokens/s{beside} in the last run here"


def count_tokens(pairs: list[PreferencePair]) -> int:
    """About the tokens of a pair, its prompt once; 200 when there is none to look at."""
    lengths = [
        sum(len(str(message.get("content", ""))) for message in pair.prompt) + len(pair.chosen) + len(pair.rejected)
        for pair in pairs
    ]
    return round(sum(lengths) / len(lengths) / CHARACTERS_PER_TOKEN) if lengths else 200


def count_parameters(model: Path) -> int:
    """How many weights the model in a folder has, from its files' headers; 0 when it is not there."""
    return sum(prod(shape) for path in model.glob("*.safetensors") for _, shape in read_header(path).values())


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA device, without loading torch to ask."""
    return Path("/dev/nvidiactl").exists()


def choose_precision(precision: str, device: str, *, processor: Path = Path("/proc/cpuinfo")) -> str:
    """What a run that is told `precision` computes in on `device`; for auto, bf16 on a GPU and on processors whose
    description names instructions for it, as the trainer finds by asking torch."""
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        return "bf16"
    try:
        flags = processor.read_text("utf-8", "replace")
    except OSError:
        return "fp32"
    return "bf16" if any(name in flags for name in NATIVE_BF16) else "fp32"
