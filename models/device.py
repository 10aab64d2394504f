"""Which device and which number format the models run in on this machine."""

import platform
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "bfloat16")
DEVICES = ("auto", "cpu", "cuda")


def has_bfloat16(device: str) -> bool:
    """True when `device` multiplies bf16 in hardware; emulated bf16 is slower than fp32."""
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: dict[str, Any] = dict(torch.cpu.get_capabilities())
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def choose_device(wanted: str = "auto") -> str:
    """`cuda` or `cpu`. Raises InvalidInput for an unknown name or a GPU that is not there."""
    import torch

    if wanted not in DEVICES:
        raise InvalidInput(f"The device {wanted!r} is unknown.", f"Use one of {', '.join(DEVICES)}.")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InvalidInput("The device cuda was asked for, but this machine has no usable GPU.", "Use auto or cpu.")
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def choose_dtype(wanted: str, device: str) -> "torch.dtype":
    """The number format named by `wanted`; `auto` takes bf16 where the hardware has it and fp32 elsewhere."""
    import torch

    if wanted not in DTYPES:
        raise InvalidInput(f"The number format {wanted!r} is unknown.", f"Use one of {', '.join(DTYPES)}.")
    if wanted == "auto":
        wanted = "bfloat16" if has_bfloat16(device) else "float32"
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


@lru_cache
def describe_place(device: str, dtype: "torch.dtype") -> str:
    """What rounds a model's numbers here, in a line: torch and transformers, the processor or GPU, the number format.

    Two machines with the same line compute the same logits to the last digit, as far as libraries promise that at all.
    """
    import torch

    where = torch.cuda.get_device_name() if device == "cuda" else describe_processor()
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    return f"{libraries}, {where}, {str(dtype).removeprefix('torch.')}"[:200]


def describe_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name and model numbers where the system tells them, and what torch uses of it."""
    import torch

    told: dict[str, str] = {}
    try:
        for line in cpuinfo.read_text("utf-8", "replace").splitlines():
            key, _, value = line.partition(":")
            told.setdefault(key.strip(), value.strip())
    except OSError:
        pass
    numbers = "/".join(told[key] for key in ("cpu family", "model", "stepping") if told.get(key))
    name = told.get("model name") or platform.processor() or platform.machine()
    return " ".join(part for part in (name, numbers, torch.backends.cpu.get_cpu_capability()) if part)
