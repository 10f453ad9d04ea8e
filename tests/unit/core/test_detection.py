"""Detectors by hand-made boxes: what is found, what may appear, what is called otherwise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hauberk.core.detection import Detection, Goal, overlaps
from hauberk.core.errors import UserError

PERSON, CAR = 0, 1
OBJECT = [float(PERSON), 10.0, 10.0, 30.0, 50.0]
NONE = [-1.0, 0.0, 0.0, 0.0, 0.0]
IGNORE = [-2.0, 60.0, 0.0, 100.0, 40.0]


def _out(*boxes: tuple[list[float], float, float]) -> Tensor:
    """One image: each box with the scores of a person and of a car."""
    return torch.tensor([[[*box, person, car] for box, person, car in boxes]])


HERE, FAR, INSIDE = [11.0, 11.0, 31.0, 51.0], [120.0, 10.0, 140.0, 50.0], [65.0, 5.0, 80.0, 30.0]


@pytest.mark.parametrize(
    ("goal", "out", "right"),
    [
        ("vanish", _out((HERE, 0.9, 0.1)), True),
        ("vanish", _out((HERE, 0.3, 0.1)), False),
        ("vanish", _out((FAR, 0.9, 0.1)), False),
        ("vanish", _out((HERE, 0.6, 0.7)), False),
        ("appear", _out((HERE, 0.9, 0.1)), True),
        ("appear", _out((HERE, 0.9, 0.1), (FAR, 0.1, 0.8)), False),
        ("appear", _out((INSIDE, 0.9, 0.1)), True),
        ("mislabel", _out((HERE, 0.9, 0.1)), True),
        ("mislabel", _out((HERE, 0.3, 0.1)), True),
        ("mislabel", _out((HERE, 0.3, 0.9)), False),
        ("mislabel", _out((HERE, 0.3, 0.9), (HERE, 0.8, 0.1)), True),
    ],
)
def test_what_is_right(goal: Goal, out: Tensor, right: bool) -> None:
    y = torch.tensor([[OBJECT, IGNORE, NONE]])
    task = Detection(goal=goal)
    assert task.correct(out, y).tolist() == [right]
    assert task.loss(out, y).isfinite().all()


def test_only_the_labels_asked_about_appear() -> None:
    y, out = torch.tensor([[OBJECT]]), _out((FAR, 0.1, 0.8))
    assert not bool(Detection(goal="appear").correct(out, y))
    assert bool(Detection(goal="appear", labels=(PERSON,)).correct(out, y))


def test_an_empty_image_can_only_be_made_to_show_something() -> None:
    y, out = torch.tensor([[NONE]]), _out((FAR, 0.9, 0.8))
    right = [bool(Detection(goal=goal).correct(out, y)) for goal in ("vanish", "mislabel")]
    assert right == [True, True]
    assert not bool(Detection(goal="appear").correct(out, y))


@pytest.mark.parametrize("goal", ["vanish", "appear", "mislabel"])
def test_the_loss_leads_to_the_goal(goal: Goal) -> None:
    y = torch.tensor([[OBJECT, NONE]])
    out = _out((HERE, 0.9, 0.1), (FAR, 0.2, 0.3))
    scores = out[..., 4:].clone()
    task = Detection(goal=goal)
    for _ in range(200):
        leaf = scores.clone().requires_grad_()
        (slope,) = torch.autograd.grad(task.loss(torch.cat([out[..., :4], leaf], 2), y).sum(), leaf)
        scores = (scores + 0.01 * slope.sign()).clamp(0.01, 0.99)
    assert not bool(task.correct(torch.cat([out[..., :4], scores], 2), y))


def test_an_answer_that_is_no_number_is_wrong() -> None:
    out = _out((HERE, float("nan"), 0.1))
    assert not bool(Detection().correct(out, torch.tensor([[OBJECT]])))


def test_overlaps() -> None:
    a = torch.tensor([[[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0]]])
    b = torch.tensor([[[1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0]]])
    assert torch.allclose(overlaps(a, b), torch.tensor([[[1 / 3, 0.0], [0.0, 0.0]]]))
    assert torch.allclose(overlaps(a, b, of_second=True)[0, 0], torch.tensor([0.5, 0.0]))


@pytest.mark.parametrize("change", [{"goal": "dance"}, {"score": 0.0}, {"overlap": 1.0}])
def test_no_such_detection(change: dict[str, object]) -> None:
    with pytest.raises(UserError):
        Detection(**change)  # type: ignore[arg-type]
