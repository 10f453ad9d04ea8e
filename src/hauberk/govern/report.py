"""The report of a closed loop: what was measured, what happened, and the proof.

The nouns only; :mod:`hauberk.govern.page` and :mod:`hauberk.govern.report_text` draw them.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from hauberk.core.errors import DataError
from hauberk.core.interval import wilson
from hauberk.govern.rows import of_decision, row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.govern.decision import Decision

Outcome = Literal["recovered", "halted", "open"]
WORST = "worst case"
_MAX_BYTES = 64 * 2**20


class _Noun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Kept as JSON and read back strictly."""


class Figure(_Noun, frozen=True, kw_only=True):
    """A share in [0, 1] with its 95 % interval, where it has one.

    Raises:
        DataError: if a number is not finite, or outside [0, 1].
    """

    value: float
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        for number in (self.value, self.low, self.high):
            if number is not None and not (isfinite(number) and 0.0 <= number <= 1.0):
                raise DataError(f"not a share in [0, 1]: {number}", where="report")

    @classmethod
    def of(cls, right: int, n: int) -> Figure:
        """``right`` of ``n`` samples with Wilson's interval; ``n`` must be positive."""
        if not 0 <= right <= n or n == 0:
            raise DataError(f"{right} right of {n} samples", where="report")
        low, high = wilson(right, n)
        return cls(value=right / n, low=low, high=high)


class AttackRow(_Noun, frozen=True, kw_only=True):
    """One attack at one eps over ``n`` samples.

    ``before`` is the accuracy of the model then in service without an attack, ``under`` the same
    model's under the attack, ``after`` the promoted model's under the attack made anew against
    it. None is "not run". The row of the worst case over all attacks has ``attack=WORST``.
    """

    attack: str
    eps: float
    n: int
    before: Figure | None
    under: Figure | None
    after: Figure | None


class Point(_Noun, frozen=True, kw_only=True):
    """Accuracy over the window of requests that ends at ``request``, and the loop's phase."""

    request: int
    accuracy: float
    phase: str


class Mark(_Noun, frozen=True, kw_only=True):
    """Something that happened at a request: ``attack starts``, ``alarm``, ``promoted``."""

    request: int
    text: str


class Headline(_Noun, frozen=True, kw_only=True):
    """What the loop achieved; None where it was not measured. Times in seconds."""

    outcome: Outcome = "open"
    attack: str = ""
    eps: float | None = None
    detection_requests: int | None = None
    detection_seconds: float | None = None
    containment_seconds: float | None = None
    recovery_seconds: float | None = None
    training_seconds: float | None = None
    false_alarms: int | None = None
    clean_requests: int | None = None
    clean_before: Figure | None = None
    clean_after: Figure | None = None


class DecisionRow(_Noun, frozen=True, kw_only=True):
    """One line of the gate's decision, in words as :class:`hauberk.govern.rows.Row` has them."""

    rule: str
    claim: str
    measured: str
    limit: str
    verdict: str


class Turn(_Noun, frozen=True, kw_only=True):
    """One turn of the journal, in words; ``at`` in seconds since the epoch."""

    at: float
    phase: str
    event: str
    actions: tuple[str, ...] = ()


class Picture(_Noun, frozen=True, kw_only=True):
    """Pixels, row by row, 8 bits each; 1 or 3 channels.

    Raises:
        DataError: if there are not as many pixels as the shape says.
    """

    height: int
    width: int
    channels: int
    pixels: bytes

    def __post_init__(self) -> None:
        if self.channels not in {1, 3} or min(self.height, self.width) < 1:
            raise DataError("a picture has 1 or 3 channels and some pixels", where="report")
        if len(self.pixels) != self.height * self.width * self.channels:
            raise DataError("a picture of another size than it says", where="report")

    @classmethod
    def of(cls, image: NDArray[np.floating]) -> Picture:
        """From values in [0, 1] of shape ``(height, width)`` or ``(channels, height, width)``."""
        image = image[None] if image.ndim == 2 else image
        if image.ndim != 3:
            raise DataError(f"not a picture: shape {image.shape}", where="report")
        levels = np.rint(np.clip(image, 0.0, 1.0) * 255).astype(np.uint8).transpose(1, 2, 0)
        height, width, channels = levels.shape
        return cls(height=height, width=width, channels=channels, pixels=levels.tobytes())

    def array(self) -> NDArray[np.uint8]:
        """The pixels ``(height, width, channels)``."""
        shape = (self.height, self.width, self.channels)
        return np.frombuffer(self.pixels, dtype=np.uint8).reshape(shape)


class Example(_Noun, frozen=True, kw_only=True):
    """One sample: clean, adversarial, and the difference times ``gain`` on mid-grey."""

    clean: Picture
    adversarial: Picture
    difference: Picture
    gain: float
    label: str
    clean_answer: str
    adversarial_answer: str

    @classmethod
    def of(
        cls,
        clean: NDArray[np.floating],
        adversarial: NDArray[np.floating],
        *,
        label: str,
        clean_answer: str,
        adversarial_answer: str,
    ) -> Example:
        """From two pictures in [0, 1]; the gain makes the largest change as strong as can be."""
        change = np.asarray(adversarial, dtype=np.float64) - clean
        largest = float(np.abs(change).max(initial=0.0))
        gain = 0.5 / largest if largest > 0 else 1.0
        return cls(
            clean=Picture.of(clean),
            adversarial=Picture.of(adversarial),
            difference=Picture.of(0.5 + gain * change),
            gain=gain,
            label=label,
            clean_answer=clean_answer,
            adversarial_answer=adversarial_answer,
        )


class LoopReport(_Noun, frozen=True, kw_only=True):
    """Everything the report shows; ``generated_at`` in seconds since the epoch.

    ``conditions`` are the seed, sizes, budgets and machine; ``provenance`` the digests, the
    signer and the policy. Both keep their order.
    """

    title: str
    generated_at: float
    headline: Headline = Headline()
    rows: tuple[AttackRow, ...] = ()
    stream: tuple[Point, ...] = ()
    marks: tuple[Mark, ...] = ()
    verdict: str = "unknown"
    decision: tuple[DecisionRow, ...] = ()
    turns: tuple[Turn, ...] = ()
    examples: tuple[Example, ...] = ()
    conditions: dict[str, str] = {}
    provenance: dict[str, str] = {}

    def to_json(self) -> bytes:
        """The report as JSON, the same bytes for the same report."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> LoopReport:
        """Read what :meth:`to_json` wrote.

        Raises:
            DataError: if it is too large or not a report.
        """
        if len(data) > _MAX_BYTES:
            raise DataError(f"larger than {_MAX_BYTES} bytes", where="report")
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(f"not a report: {error}", where="report") from None


def decision_rows(decision: Decision) -> tuple[DecisionRow, ...]:
    """A decision as the rows of a report."""
    return tuple(
        DecisionRow(
            rule=shown.rule,
            claim=shown.claim,
            measured=shown.measured,
            limit=shown.limit,
            verdict=shown.status,
        )
        for shown in map(row, of_decision(decision))
    )
