"""A teacher, then its student, and a kill at any point between."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hauberk.adapters.local.in_turn import in_turn
from hauberk.core.errors import DataError
from hauberk.harden.run import Run


class Killed(Exception):
    """A power cut."""


def run(resume: bytes | None, keep: list[bytes], most: int) -> nn.Module:
    """Each training takes three epochs; it is killed after ``most`` checkpoints."""

    def trained(module: nn.Linear, add: float, run: Run) -> nn.Module:
        done = run.resume[0] if run.resume else 0
        nn.init.constant_(module.weight, add * done)
        for epoch in range(done + 1, 4):
            nn.init.constant_(module.weight, add * epoch)
            assert run.checkpoint is not None
            run.checkpoint(bytes([epoch]))
        return module

    def kept(data: bytes) -> None:
        if len(keep) >= most:
            raise Killed
        keep.append(data)

    def teach(run: Run) -> nn.Module:
        return trained(nn.Linear(2, 1, bias=False), 1.0, run)

    taught = []

    def learn(teacher: nn.Module, run: Run) -> nn.Module:
        taught.append(teacher(torch.ones(1, 2)).item())
        return trained(nn.Linear(1, 1, bias=False), taught[0], run)

    module = in_turn(teach, learn, nn.Linear(2, 1, bias=False), Run(checkpoint=kept, resume=resume))
    assert taught == [6.0], "the teacher is the one that was trained"
    return module


@pytest.mark.parametrize("most", range(6))
def test_killed_anywhere_it_goes_on_and_ends_the_same(most: int) -> None:
    kept: list[bytes] = []
    with pytest.raises(Killed):
        run(None, kept, most)
    again: list[bytes] = []
    module = run(kept[-1] if kept else None, again, 99)
    assert len(kept) + len(again) == 6, "nothing was trained twice"
    assert next(module.parameters()).item() == 18.0


def test_a_damaged_checkpoint_is_refused() -> None:
    kept: list[bytes] = []
    with pytest.raises(Killed):
        run(None, kept, 5)
    for damaged in (kept[-1][:20], kept[-1].replace(b"weight", b"weighs")):
        with pytest.raises(DataError, match="damaged"):
            run(damaged, [], 99)
