"""Half-width arithmetic where the processor has units for it; plain float32 elsewhere."""

from __future__ import annotations

from functools import cache
from typing import Literal, get_args

import torch

from hauberk.core.errors import UserError

Precision = Literal["auto", "float32", "bfloat16"]


@cache
def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 matrices itself (AMX or AVX-512 BF16)."""
    read = getattr(torch.cpu, "get_capabilities", None)
    found = read() if read is not None else {}
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))


def autocast(precision: Precision) -> torch.autocast:
    """A context in which convolutions and products run in that precision.

    The same seed gives the same weights only with the same precision; ``auto`` takes what the
    processor is fast at.

    Raises:
        UserError: if there is no such precision.
    """
    if precision not in get_args(Precision):
        raise UserError(f"unknown precision {precision!r}", hint=", ".join(get_args(Precision)))
    half = precision == "bfloat16" or (precision == "auto" and has_bfloat16())
    return torch.autocast("cpu", torch.bfloat16, enabled=half)
