"""Which device and which number format the models run in on this machine."""

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
