"""The attacker's budget: shared by attack, harden, evaluate and report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from hauberk.core.errors import UserError
from hauberk.core.model import Access

if TYPE_CHECKING:
    from hauberk.core.features import Features

Norm = Literal["linf", "l2", "l1", "l0", "patch", "spatial"]


@dataclass(frozen=True, kw_only=True)
class ThreatModel:
    """What an attacker may do to one input.

    ``eps`` is the radius of the ball in the unit of the input (``0.15`` on [0, 1]); in ``l0`` the
    number of values that change; in ``patch`` the share of an image that one square covers; in
    ``spatial`` the degrees of a rotation, with shifts of ``eps`` / 300 of each side. ``queries``
    bounds the calls per sample of attacks without gradients; ``features`` are what a row of a
    table may become; ``atlas`` are MITRE ATLAS ids.

    Raises:
        UserError: if the norm is unknown or a number is out of range.
    """

    norm: Norm = "linf"
    eps: float = 8 / 255
    access: Access = Access.GRADIENTS
    queries: int | None = None
    features: Features | None = None
    atlas: tuple[str, ...] = ("AML.T0043.000",)

    def __post_init__(self) -> None:
        if self.norm not in get_args(Norm):
            raise UserError(
                f"unknown norm {self.norm!r}", hint=f"one of {', '.join(get_args(Norm))}"
            )
        if not 0.0 <= self.eps < float("inf"):
            raise UserError(f"eps must be finite and at least 0, not {self.eps}")
        if self.queries is not None and self.queries < 1:
            raise UserError(f"queries must be at least 1, not {self.queries}")

    @classmethod
    def parse(cls, text: str) -> ThreatModel:
        """Read ``norm:eps``; ``eps`` is a number or a fraction (``linf:8/255``).

        Raises:
            UserError: if the text has another form.
        """
        norm, _, radius = text.partition(":")
        above, _, below = radius.partition("/")
        try:
            eps = float(above) / (float(below) if below else 1.0)
        except (ValueError, ZeroDivisionError):
            raise UserError(
                f"cannot read the threat {text!r}", hint="write it as linf:8/255 or l2:0.5"
            ) from None
        return cls(norm=norm, eps=eps)  # type: ignore[arg-type]  # checked in __post_init__

    def __str__(self) -> str:
        return f"{self.norm}:{self.eps:g}"
