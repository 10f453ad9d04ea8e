"""Detectors: that the losses lead the right way, and that tuning finds more under attack."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hauberk.core.detection import IGNORED, NOTHING
from hauberk.core.errors import UserError
from hauberk.core.samples import Samples
from hauberk.core.threat import ThreatModel
from hauberk.harden.detector import DetectorTuning, finds, generalised, losses
from hauberk.harden.perturb import Perturb
from hauberk.harden.run import Run

THREAT = ThreatModel(eps=0.1)
SIDE, CELL = 16, 4


class Cells(nn.Module):
    """A box of one cell's size for each cell of 4 x 4 pixels, and a score for two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, CELL, stride=CELL), nn.ReLU(), nn.Conv2d(8, 4, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        rows, columns = out.shape[-2:]
        down, across = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        middle = torch.stack([across, down])[None] * float(CELL) + CELL / 2
        half = CELL / 2 * (1 + 0.2 * out[:, :2].tanh())
        box = torch.cat([middle - half, middle + half], 1)
        return torch.cat([box, out[:, 2:].sigmoid()], 1).flatten(2).transpose(1, 2)


def scenes(n: int, seed: int) -> Samples:
    """One bright cell in each image is an object of class 0; class 1 never occurs."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.2, 0.5, (n, 3, SIDE, SIDE)).astype(np.float32)
    y = np.full((n, 2, 5), NOTHING, dtype=np.float32)
    for image, (row, column) in enumerate(rng.integers(0, SIDE // CELL, (n, 2))):
        top, left = row * CELL, column * CELL
        x[image, :, top : top + CELL, left : left + CELL] += 0.35
        y[image, 0] = [0, left, top, left + CELL, top + CELL]
    return Samples(name="scenes", x=x, y=y)


@pytest.fixture(scope="module")
def tuned() -> tuple[nn.Module, nn.Module, list[bytes]]:
    torch.manual_seed(0)
    plain = tuning(steps=1, epochs=40).fit(
        Cells(), scenes(64, 0), scenes(32, 1), ThreatModel(eps=1e-6), seed=0
    )
    kept: list[bytes] = []
    hard = tuning(clean_drop=0.2).fit(
        plain, scenes(64, 0), scenes(32, 1), THREAT, seed=0, run=Run(checkpoint=kept.append)
    )
    return plain, hard, kept


def tuning(**more: Any) -> DetectorTuning:
    return DetectorTuning(**{"epochs": 15, "learning_rate": 2e-2, "nearest": 1, **more})


def found(module: nn.Module, eps: float) -> float:
    """Share of objects found, clean or under ten steps against what it is trained for."""
    held = scenes(64, 2)
    x, y = torch.from_numpy(held.x), torch.from_numpy(held.y)
    if eps:
        attack = Perturb(
            threat=ThreatModel(eps=eps),
            bounds=held.bounds,
            steps=10,
            step_size=eps / 4,
            precision="float32",
        )
        noise = torch.Generator().manual_seed(0)
        x = attack.ascend(module, x, lambda out: losses(out, y, [0], nearest=1).sum(), noise)
    with torch.no_grad():
        return float(finds(module(x), y).mean())


def test_tuning_finds_more_under_attack(tuned: tuple[nn.Module, nn.Module, list[bytes]]) -> None:
    plain, hard, _ = tuned
    assert found(plain, 0.0) > 0.9
    assert found(hard, 0.0) > 0.8
    assert found(hard, 0.1) > found(plain, 0.1) + 0.1


def test_it_resumes_to_the_same_bits(tuned: tuple[nn.Module, nn.Module, list[bytes]]) -> None:
    plain, hard, kept = tuned
    again = tuning(clean_drop=0.2).fit(
        plain, scenes(64, 0), scenes(32, 1), THREAT, seed=0, run=Run(resume=kept[3])
    )
    for name, value in hard.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def one_box(score: float, box: tuple[float, ...] = (0, 0, 4, 4)) -> Tensor:
    return torch.tensor([[[*box, score, 0.5], [8, 8, 12, 12, 0.2, 0.5]]])


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (lambda: one_box(0.9), lambda: one_box(0.3)),
        (lambda: one_box(0.5), lambda: one_box(0.5, (1, 1, 5, 5))),
        (lambda: one_box(0.5, (2, 2, 6, 6)), lambda: one_box(0.5, (6, 6, 10, 10))),
    ],
    ids=["sure", "near", "apart"],
)
def test_losses_grow_with_what_is_wrong(
    better: Callable[[], Tensor], worse: Callable[[], Tensor]
) -> None:
    y = torch.tensor([[[0.0, 0, 0, 4, 4], [NOTHING] * 5]])
    less, more = (losses(one(), y, [0], nearest=1) for one in (better, worse))
    assert more > less + 0.01


def test_ignored_regions_and_other_labels_teach_nothing() -> None:
    y = torch.tensor([[[0.0, 0, 0, 4, 4], [IGNORED, 7, 7, 13, 13]]])
    open_, shut = one_box(0.9), one_box(0.9)
    shut[0, 1, 4], shut[0, :, 5] = 0.95, 0.99
    assert torch.equal(losses(open_, y, [0], nearest=1), losses(shut, y, [0], nearest=1))
    without = torch.tensor([[[0.0, 0, 0, 4, 4], [NOTHING] * 5]])
    assert losses(shut, without, [0], nearest=1) > losses(open_, without, [0], nearest=1)


def test_generalised_overlap_of_known_boxes() -> None:
    a = torch.tensor([[[0.0, 0, 2, 2]]])
    b = torch.tensor([[[0.0, 0, 2, 2], [1, 0, 3, 2], [4, 0, 6, 2]]])
    expected = torch.tensor([[[1.0, 1 / 3, -1 / 3]]])
    torch.testing.assert_close(generalised(a, b), expected)


def test_finds_counts_objects_not_boxes() -> None:
    y = torch.tensor([[[0.0, 0, 0, 4, 4], [0, 8, 8, 12, 12]], [[NOTHING] * 5] * 2])
    out = torch.cat([one_box(0.9), one_box(0.9)])
    assert finds(out, y).tolist() == [0.5, 1.0]


@pytest.mark.parametrize("change", [{"steps": 0}, {"nearest": 0}, {"clean_share": 1.0}])
def test_wrong_numbers_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        DetectorTuning(**change)


def test_data_without_an_object_is_refused() -> None:
    empty = Samples(
        name="empty",
        x=np.zeros((2, 3, SIDE, SIDE), np.float32),
        y=np.full((2, 1, 5), NOTHING, dtype=np.float32),
    )
    with pytest.raises(UserError, match="no object"):
        tuning().fit(Cells(), empty, scenes(4, 0), THREAT, seed=0)
