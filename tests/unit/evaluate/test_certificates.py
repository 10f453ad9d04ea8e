"""Bounds are bounds: nothing found in a box lies outside them; what is certified does not fall."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hauberk.attack.interval_bounds import intervals, steps_of
from hauberk.attack.pgd import PGD
from hauberk.core.data import Batch, Dataset
from hauberk.core.errors import UserError
from hauberk.core.evidence import Severity, Verdict
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.evaluate import crown
from hauberk.evaluate.certify import box, certify, differences
from hauberk.evaluate.safety import Property, above, always, prove
from hauberk.evaluate.smoothing import Smoothing, at_least
from hauberk.testing.models import ScoresOnly, ToyModel, linear_module

if TYPE_CHECKING:
    from torch import Tensor

    from hauberk.core.threat import Norm
    from hauberk.evaluate.certify import Method

torch.set_num_threads(1)


class Residual(nn.Module):
    """Scaled inputs, a convolution with batch-norm beside a shortcut, a pool and a linear layer."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((1, 1, 1), 0.4))
        self.first, self.second = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.norm, self.pool = nn.BatchNorm2d(3), nn.MaxPool2d(2)
        self.last = nn.Linear(27, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first((x - self.mean) / 0.5))
        x = torch.relu(self.norm(self.second(x)) + x)
        out: Tensor = self.last(torch.flatten(self.pool(x), 1))
        return out


def _module(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    module = Residual()
    module.norm.running_mean = torch.randn(3) / 4
    module.norm.running_var = torch.rand(3) + 0.5
    module.norm.weight.data = torch.randn(3)  # some of them negative
    return module.eval()


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 10**6), st.sampled_from([0.0, 0.02, 0.2]), st.sampled_from(["linf", "l2", "l1"])
)
def test_nothing_in_the_ball_lies_outside_the_bounds(seed: int, eps: float, norm: Norm) -> None:
    module, generator = _module(seed), torch.Generator().manual_seed(seed)
    x = torch.rand(2, 1, 6, 6, generator=generator).double()
    y = torch.tensor([0, 2])
    model = ToyModel(module)
    low, high = box(x, eps, model)
    steps = steps_of(module)
    loose = intervals(steps, low, high)
    tight = crown.tightened(steps, x, low, high, norm=norm, eps=eps)
    rows = differences(y, 3)
    certain = crown.lower(steps, tight, rows, x, norm, eps)
    for name, (a, b) in tight.items():
        assert (a >= loose[name][0] - 1e-9).all()
        assert (b <= loose[name][1] + 1e-9).all()
        assert (a <= b + 1e-9).all()
    out = steps.output
    for _ in range(60):
        delta = torch.rand(x.shape, generator=generator).double() * 2 - 1
        delta = delta.sign() if _ % 2 else delta
        if norm == "l2":
            delta /= delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        elif norm == "l1":
            delta /= delta.flatten(1).abs().sum(1).view(-1, 1, 1, 1)
        points = (x + eps * delta).clamp(0, 1)
        with torch.no_grad():
            said = module.double()(points)
        assert (said >= tight[out][0] - 1e-6).all()
        assert (said <= tight[out][1] + 1e-6).all()
        assert ((rows * said[:, None]).sum(2) >= certain - 1e-6).all()


def _data(module: nn.Module, *, shape: tuple[int, ...] = (1, 6, 6), n: int = 24) -> Dataset:
    x = np.random.default_rng(0).uniform(0.1, 0.9, (n, *shape)).astype(np.float32)
    with torch.no_grad():
        out = module(torch.from_numpy(x))
    y = out.argmax(1).numpy().astype(np.int64)
    y[0] = (y[0] + 1) % out.shape[1]
    return Dataset(name="toy", x=x, y=y, classes=out.shape[1])


def test_what_is_certified_does_not_fall() -> None:
    module = _module(3)
    data, threat = _data(module), ThreatModel(eps=0.01)
    found = {method: certify(ToyModel(module), data, threat, method=method) for method in METHODS}
    batch = Batch(
        x=torch.from_numpy(data.x), y=torch.from_numpy(data.y), index=np.arange(len(data))
    )
    points = PGD(steps=20)(
        ToyModel(module), batch, threat, task=Classification(), rng=np.random.default_rng(0)
    )
    with torch.no_grad():
        standing = (module(points).argmax(1) == batch.y).numpy()
    interval, tight = (found[method].certified for method in METHODS)
    assert not (interval & ~tight).any()
    assert not (tight & ~standing).any()
    assert 0 < tight.sum() < len(data)
    assert not tight[0], "a wrong answer is not certified"


METHODS: tuple[Method, ...] = ("interval", "crown")


def test_a_linear_model_is_certified_exactly() -> None:
    module = linear_module(seed=1)
    data = _data(module, shape=(1, 8, 8), n=60)
    weight = module[1].weight.detach().numpy()  # type: ignore[index]
    with torch.no_grad():
        out = module(torch.from_numpy(data.x)).numpy()
    gap = out[np.arange(60), data.y] - out[np.arange(60), 1 - data.y]
    slope = weight[data.y] - weight[1 - data.y]
    sizes = {"linf": np.abs(slope).sum(1), "l2": np.linalg.norm(slope, axis=1)}
    for norm, size in sizes.items():
        eps = float(np.median(gap[1:] / size[1:]))
        threat = ThreatModel(norm=norm, eps=min(eps, 0.09))  # type: ignore[arg-type]
        certified = certify(ToyModel(module), data, threat).certified
        assert np.array_equal(certified, gap > threat.eps * size), norm
        assert 0 < certified.sum() < 60


def test_evidence_of_a_certificate() -> None:
    module = linear_module(seed=1)
    certificate = certify(
        ToyModel(module), _data(module, shape=(1, 8, 8)), ThreatModel(eps=0.001), method="interval"
    )
    told, held = certificate.evidence("s"), certificate.evidence("s", limit=0.99)
    assert (told.rule, told.verdict, told.severity) == ("HB-E008", Verdict.UNKNOWN, Severity.INFO)
    assert held.verdict is Verdict.FAIL
    assert held.spec["method"] == "interval"


@pytest.mark.parametrize(
    ("hits", "draws", "alpha"), [(1000, 1000, 0.001), (37, 40, 0.05), (1, 9, 0.1)]
)
def test_the_lower_end_is_exact(hits: int, draws: int, alpha: float) -> None:
    p = at_least(hits, draws, alpha)
    tail = sum(comb(draws, k) * p**k * (1 - p) ** (draws - k) for k in range(hits, draws + 1))
    assert tail == pytest.approx(alpha, rel=1e-6)
    assert at_least(0, draws, alpha) == 0.0


def test_smoothing_certifies_no_more_than_holds() -> None:
    module = linear_module(seed=1)
    model, data = ToyModel(module), _data(module, shape=(1, 8, 8), n=12)
    weight = module[1].weight.detach()  # type: ignore[index]
    # Of a linear model with two classes the vote is the answer: the true radius is the distance.
    distance = (module(torch.from_numpy(data.x)) @ torch.tensor([1.0, -1.0])).abs() / (
        weight[0] - weight[1]
    ).norm()
    smoothing = Smoothing(sigma=0.3, draws=400)
    votes = [smoothing.vote(model, torch.from_numpy(x), index=k) for k, x in enumerate(data.x)]
    for (_, radius), true in zip(votes, distance.tolist(), strict=True):
        assert radius <= true + 1e-6
    assert max(radius for _, radius in votes) > 0.05
    again = smoothing.vote(model, torch.from_numpy(data.x[3]), index=3)
    assert again == votes[3]
    certificate = smoothing.certify(model, data, ThreatModel(norm="l2", eps=0.05))
    right = np.array([label for label, _ in votes]) == data.y
    assert np.array_equal(certificate.certified, right & (np.array([r for _, r in votes]) >= 0.05))
    assert smoothing.radius(200) == 0.0


def _corner() -> nn.Module:
    """Class 1 where the larger of two inputs is above a half, by rectifiers."""
    first, last = nn.Linear(2, 2), nn.Linear(2, 2)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, -1.0], [0.0, 1.0]]))
        first.bias.zero_()
        last.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
        last.bias.copy_(torch.tensor([0.5, 0.0]))
    return nn.Sequential(first, nn.ReLU(), last)


def _claim(low: list[float], high: list[float], label: int) -> Property:
    ends = (np.array(end, dtype=np.float32) for end in (low, high))
    return Property(name="corner", low=next(ends), high=next(ends), rows=always(label, 2))


@pytest.mark.parametrize(
    ("low", "high", "label", "verdict"),
    [
        ([0.0, 0.0], [0.45, 0.45], 0, Verdict.PASS),
        ([0.0, 0.0], [0.9, 0.45], 0, Verdict.FAIL),
        ([0.6, 0.0], [1.0, 1.0], 1, Verdict.PASS),
        ([0.0, 0.0], [0.499999, 0.499999], 0, Verdict.UNKNOWN),
    ],
)
def test_a_property_is_proven_refuted_or_open(
    low: list[float], high: list[float], label: int, verdict: Verdict
) -> None:
    model = ToyModel(_corner())
    proof = prove(model, _claim(low, high, label), most=20)
    assert proof.verdict is verdict
    evidence = proof.evidence("s")
    assert (evidence.rule, evidence.verdict) == ("HB-E009", verdict)
    if proof.counterexample is not None:
        with torch.no_grad():
            answer = model(torch.from_numpy(proof.counterexample)[None]).argmax()
        assert answer != label


def test_more_parts_prove_more() -> None:
    model, claim = ToyModel(_corner()), _claim([0.0, 0.0], [0.499, 0.499], 0)
    few, many = (prove(model, claim, most=most) for most in (1, 5000))
    assert few.verdict is Verdict.UNKNOWN
    assert many.verdict is Verdict.PASS


def test_what_cannot_be_bounded_is_refused() -> None:
    data = _data(linear_module(seed=1), shape=(1, 8, 8))
    plain = ToyModel(linear_module(seed=1))
    odd = ToyModel(nn.Sequential(nn.Flatten(), nn.Linear(64, 2), nn.Softmax(1)))
    for model in (ScoresOnly(plain), odd):
        with pytest.raises(UserError, match="bound"):
            certify(model, data, ThreatModel(eps=0.1))
    with pytest.raises(UserError, match="l0"):
        certify(plain, data, ThreatModel(norm="l0", eps=1))
    with pytest.raises(UserError, match="l2"):
        Smoothing().certify(plain, data, ThreatModel(eps=0.1))
    for build in (
        lambda: Smoothing(sigma=0),
        lambda: _claim([0.5, 0.0], [0.1, 1.0], 0),
        lambda: Property(name="p", low=data.x[0], high=data.x[0], rows=above(0, 1, 2)[:0]),
        lambda: prove(ScoresOnly(plain), _claim([0.0, 0.0], [1.0, 1.0], 0)),
    ):
        with pytest.raises(UserError):
            build()
