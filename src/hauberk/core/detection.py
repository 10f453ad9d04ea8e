"""What it means for a detector to be right, and the three ways of making it wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Goal = Literal["vanish", "appear", "mislabel"]
NOTHING, IGNORED = -1, -2
_NEAR = 0.6
_FAINT = 0.01
_TINY = 1e-6
_FAR = 1e4


@dataclass(frozen=True, kw_only=True)
class Detection:
    """Boxes with scores, before any of them is suppressed.

    Outputs ``(batch, boxes, 4 + classes)`` are left, top, right and bottom in pixels and a score
    in [0, 1] per class. Targets ``(batch, most, 5)`` are a class and a box each; class -1 fills
    up, -2 is a region that counts neither way; a sixth column may say what share of an object is
    seen. A box is a find if its best score is ``score`` at
    least, and it shows an object if their overlap is ``overlap`` at least.

    An image is wrong by its ``goal``: ``vanish``, when no object is found by its own label any
    more; ``appear``, when one of the ``labels`` (any, without them) is found where nothing is;
    ``mislabel``, when no object is
    found by its own label, and one by another. An image without objects can only be made to
    ``appear``; for the other goals it counts as right. Without ``outranked`` an object is found
    by its own label also where another label's score is higher, as metrics of one class have it.

    Raises:
        UserError: if the goal is unknown or a number is out of range.
    """

    goal: Goal = "vanish"
    score: float = 0.4
    overlap: float = 0.5
    labels: tuple[int, ...] = ()
    outranked: bool = True

    def __post_init__(self) -> None:
        if self.goal not in get_args(Goal):
            raise UserError(f"unknown goal {self.goal!r}", hint="vanish, appear or mislabel")
        if not (0 < self.score < 1 and 0 < self.overlap < 1):
            raise UserError("a detection's score and overlap must lie in (0, 1)")

    def to_the_end(self) -> Detection:
        """What an attack should go for where every score counts, as miss rates have it.

        An object that is just below ``score`` is still found at a lower one, before most false
        finds. So ``vanish`` goes on until it has all but no score of its own label, whatever the
        others have; other goals stay what they are.
        """
        return replace(self, score=_FAINT, outranked=False) if self.goal == "vanish" else self

    def loss(self, out: Tensor, y: Tensor, /) -> Tensor:
        """How near an image ``(batch,)`` is to being wrong, from the log-odds of its boxes.

        Boxes count from a little less overlap on, lest another one takes the place of one that was
        pushed away.
        """
        own, other, shared = self._scores(out, y)
        near = shared >= _NEAR * self.overlap
        if self.goal == "vanish":
            return -_peak(_odds(own), near)
        if self.goal == "appear":
            free = self._any_overlap(out, y) < self.overlap
            return _peak(_odds(self._anything(out)), free)
        return _peak(_odds(other), near) - _peak(_odds(own), near)

    def correct(self, out: Tensor, y: Tensor, /) -> Tensor:
        """Whether each image is right, ``(batch,)`` bool; NaN is wrong."""
        return (self.margin(out, y) >= 0) & out.isfinite().flatten(1).all(1)

    def margin(self, out: Tensor, y: Tensor, /) -> Tensor:
        """By how much of a score each image ``(batch,)`` is right."""
        own, other, shared = self._scores(out, y)
        shows = shared >= self.overlap
        if self.goal == "appear":
            free = self._any_overlap(out, y) < self.overlap
            return self.score - _most(self._anything(out), free)
        # Found by its own label: high enough, and no other label is higher.
        lead = own - other if self.outranked else own.new_full((), 1.0)
        found = _most((own - self.score).minimum(lead), shows)
        if self.goal == "mislabel":
            found = found.maximum(-_most((other - self.score).minimum(other - own), shows))
        empty = (y[..., 0] < 0).all(1)
        return found.where(~empty, out.new_ones(()))

    def _scores(self, out: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Own score, best other score and overlap of each object and box, ``(batch, pairs)``."""
        label = y[..., 0].long()
        real = label >= 0
        scores = out[..., 4:].transpose(1, 2).float()
        places = label.clamp_min(0)[:, :, None].expand(-1, -1, scores.shape[2])
        own = scores.gather(1, places)
        rank = scores.topk(min(2, scores.shape[1]), dim=1).values
        best, second = rank[:, :1], rank[:, -1:]
        other = best.where(own < best, second) if scores.shape[1] > 1 else own * 0
        shared = overlaps(y[..., 1:5], out[..., :4]).where(real[:, :, None], out.new_zeros(()))
        return own.flatten(1), other.flatten(1), shared.flatten(1)

    def _anything(self, out: Tensor) -> Tensor:
        """The best score of each box among the labels that may appear, ``(batch, boxes)``."""
        scores = out[..., 4:].float()
        return (scores[..., list(self.labels)] if self.labels else scores).amax(2)

    @staticmethod
    def _any_overlap(out: Tensor, y: Tensor) -> Tensor:
        """The largest overlap of each box with an object or an ignored region, ``(batch, boxes)``.

        With a region to be ignored it is the share of the box that lies inside.
        """
        kind = y[..., :1]
        whole = overlaps(y[..., 1:5], out[..., :4])
        part = overlaps(y[..., 1:5], out[..., :4], of_second=True)
        shared = part.where(kind == IGNORED, whole).where(kind != NOTHING, out.new_zeros(()))
        return shared.amax(1)


def overlaps(a: Tensor, b: Tensor, *, of_second: bool = False) -> Tensor:
    """Intersection over union ``(batch, n, m)`` of boxes ``(batch, n, 4)`` and ``(batch, m, 4)``.

    ``of_second``: over the area of the second box alone.
    """
    first, second = a[:, :, None, :].float(), b[:, None, :, :].float()
    corner = first[..., :2].maximum(second[..., :2]), first[..., 2:].minimum(second[..., 2:])
    inside = (corner[1] - corner[0]).clamp_min(0.0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).clamp_min(0.0).prod(-1) for box in (first, second)]
    whole = areas[1] + 0 * inside if of_second else areas[0] + areas[1] - inside
    return inside / whole.clamp_min(_TINY)


def _odds(scores: Tensor) -> Tensor:
    inside = scores.float().clamp(_TINY, 1 - _TINY)
    return inside.log() - (-inside).log1p()


def _peak(values: Tensor, among: Tensor) -> Tensor:
    """A smooth largest value ``(batch,)``; far below all where there is none."""
    return values.where(among, values.new_full((), -_FAR)).logsumexp(1)


def _most(values: Tensor, among: Tensor) -> Tensor:
    """The largest value ``(batch,)``, -1 where there is none."""
    return values.where(among, values.new_full((), -1.0)).amax(1)
