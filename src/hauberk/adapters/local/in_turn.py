"""In turn: a teacher is trained, then a student by it, under one checkpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from safetensors.torch import load, save

from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from hauberk.harden.run import Run

_MARK, _SIZE = b"taught\n", 8


def in_turn(
    teach: Callable[[Run], nn.Module],
    learn: Callable[[nn.Module, Run], nn.Module],
    blank: nn.Module,
    run: Run,
) -> nn.Module:
    """The student of ``learn``, whose teacher ``teach`` trains; killed in either, it goes on there.

    While the student learns, a checkpoint holds the teacher's weights as well; ``blank`` is a
    module that they fit.

    Raises:
        DataError: if the checkpoint is damaged.
    """
    resume, own = run.resume, None
    if resume is not None and resume.startswith(_MARK):
        start = len(_MARK) + _SIZE
        size = int.from_bytes(resume[len(_MARK) : start], "big")
        try:
            blank.load_state_dict(load(resume[start : start + size]))
        except Exception as error:  # of the library: a damaged file has many
            raise DataError(f"damaged: {error}"[:200], where="checkpoint") from None
        teacher, own = blank.eval(), resume[start + size :]
    else:
        teacher = teach(run)
    weights = save({name: one.contiguous() for name, one in teacher.state_dict().items()})
    before = _MARK + len(weights).to_bytes(_SIZE, "big") + weights
    keep = run.checkpoint
    kept = None if keep is None else lambda data: keep(before + data)
    return learn(teacher, replace(run, resume=own, checkpoint=kept))
