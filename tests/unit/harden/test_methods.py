"""Every way of hardening: that it learns, that it resumes, and what each alone promises."""

import math
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hauberk.adapters.data.digits import load as load_digits
from hauberk.adapters.models.architectures import build
from hauberk.core.data import Dataset
from hauberk.core.errors import UnknownNameError, UserError
from hauberk.core.features import Features
from hauberk.core.threat import ThreatModel
from hauberk.harden.adversarial import Adversarial
from hauberk.harden.atta import Atta
from hauberk.harden.average import Average, StochasticWeights
from hauberk.harden.awp import AWP
from hauberk.harden.collapse import Collapse
from hauberk.harden.composition import compose, suited
from hauberk.harden.cutmix import CutMix
from hauberk.harden.distil import Distil
from hauberk.harden.distributed import Team
from hauberk.harden.early_stop import EarlyStop
from hauberk.harden.fast import Fast, NoisyFast
from hauberk.harden.layout import arranged
from hauberk.harden.moment import Moment
from hauberk.harden.recipe import Given
from hauberk.harden.run import Run
from hauberk.harden.selection import Score, accuracy
from hauberk.harden.training import Objective, Schedule
from hauberk.harden.training import train as run_training

if TYPE_CHECKING:
    from hauberk.harden.progress import Progress

THREAT = ThreatModel(eps=0.08)
METHODS = [
    "adversarial",
    "atta",
    "defensive",
    "fast",
    "free",
    "generated",
    "mart",
    "n-fgsm",
    "noise",
    "robust-distil",
    "trades",
]
JOINED = ["ema,adversarial", "fast,swa", "awp,trades", "early-stop,adversarial,cutmix,distil"]


def module(seed: int = 0) -> nn.Module:
    return build("mlp", {"in_shape": [1, 6, 6], "classes": 2, "widths": [16]}, seed=seed)


@pytest.fixture(scope="session")
def taught(train: Dataset, validation: Dataset) -> nn.Module:
    """A module that knows the data: some methods learn from it."""
    made = compose(["clean"], {"epochs": 20, "learning_rate": 1e-2, "batch_size": 16})
    return made.fit(module(), train, validation, THREAT, seed=0)


@pytest.mark.parametrize("names", [*METHODS, *JOINED])
def test_each_learns_and_resumes_to_the_same_bits(
    names: str, taught: nn.Module, train: Dataset, validation: Dataset
) -> None:
    recipe = compose(names.split(","), {"epochs": 12, "learning_rate": 1e-2, "batch_size": 32})
    recipe = replace(recipe, clean_drop=0.2)
    kept: list[bytes] = []
    whole = recipe.fit(taught, train, validation, THREAT, seed=3, run=Run(checkpoint=kept.append))
    assert accuracy(whole, validation) > 0.8
    again = recipe.fit(taught, train, validation, THREAT, seed=3, run=Run(resume=kept[4]))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_a_composition_has_one_method_and_no_name_twice() -> None:
    made = compose(["early-stop", "adversarial", "cutmix", "distil"], {"steps": 2, "replays": 9})
    assert isinstance(made, Adversarial)
    assert made.steps == 2
    assert [type(part) for part in made.parts] == [EarlyStop, CutMix, Distil]
    assert compose(["cutmix"]).name == "clean"
    with pytest.raises(UserError, match="more than one method: fast, trades"):
        compose(["fast", "trades"])
    with pytest.raises(UserError, match="twice"):
        compose(["ema", "fast", "ema"])
    with pytest.raises(UnknownNameError):
        compose(["adversarial", "cutmx"])


def test_what_was_asked_for_reaches_the_method_or_is_refused() -> None:
    for names in ("adversarial", "ema,atta", "trades", "mart", "generated", "robust-distil"):
        made: Any = compose(names.split(","), {"steps": 5}, asked={"steps": 7, "step_size": None})
        assert made.steps == 7
    for names in ("fast", "ema,n-fgsm", "free", "noise", "ibp", "defensive"):
        method = names.rpartition(",")[2]
        with pytest.raises(UserError, match=f"harden.steps: {method} has no such setting"):
            compose(names.split(","), asked={"steps": 7})


def test_few_samples_are_attacked_with_more_steps_and_atta_keeps_its_one() -> None:
    assert suited(["adversarial"], 1000) == {"batch_size": 64, "steps": 5}
    assert suited(["ema", "trades"], 60_000) == {"batch_size": 128, "steps": 3}
    assert suited(["ema", "atta"], 1000) == {"batch_size": 64}


def trained(data: Dataset, objective: Objective, epochs: int = 6, run: Run | None = None) -> Any:
    schedule = Schedule(epochs=epochs, batch_size=32, learning_rate=1e-2, measure_every=1)
    return run_training(module(), data, schedule, objective, seed=0, run=run or Run())


def entropy(module: nn.Module, x: Tensor, y: Tensor, _: Moment) -> Tensor:
    return nn.functional.cross_entropy(module(x), y)


def test_a_collapse_is_undone_to_the_last_sound_weights(train: Dataset) -> None:
    scores = iter([0.3, 0.6, 0.2, 0.5, 0.1, 0.55])
    levels: list[int] = []
    at_start: list[Tensor] = []
    measured: list[Tensor] = []
    seen: list[Progress] = []

    def perturb(module: nn.Module, x: Tensor, _: Tensor, now: Moment) -> Tensor:
        if len(levels) <= now.epoch:
            levels.append(now.level)
            at_start.append(flat(module))
        return x

    def measure(module: nn.Module) -> Score:
        measured.append(flat(module))
        return Score(clean=1.0, robust=next(scores))

    objective = Objective(loss=entropy, perturb=perturb, measure=measure, collapse=Collapse())
    best = trained(train, objective, run=Run(progress=seen.append))
    assert levels == [0, 0, 0, 1, 1, 2]
    assert [now.undone for now in seen] == [0, 0, 1, 1, 2, 2]
    assert torch.equal(at_start[3], measured[1])  # 0.2 was undone to where 0.6 was measured
    assert torch.equal(at_start[5], measured[3])
    assert torch.equal(flat(best), measured[1])


def test_catastrophic_overfitting_is_provoked_noticed_and_undone() -> None:
    """One step without a random start, at a large radius: the network learns to fool that step."""
    data = load_digits()
    net = build("cnn", {"in_shape": [1, 28, 28], "classes": 10, "widths": [8, 16], "hidden": 32})
    seen: list[Progress] = []
    Fast(
        step=1.0,
        noise=0.0,
        epochs=12,
        learning_rate=5e-3,
        ramp=0.2,
        clean_drop=1.0,
        batch_size=32,
        precision="float32",
    ).fit(
        net,
        data.split("train"),
        data.split("validation"),
        ThreatModel(eps=0.2),
        seed=0,
        run=Run(progress=seen.append),
    )
    first = next(number for number, now in enumerate(seen) if now.undone)
    fallen, robust = seen[first], [now.robust or 0.0 for now in seen]
    assert fallen.loss < seen[first - 1].loss, "against its one step it does better and better"
    assert robust[first] < 0.7 * max(robust[:first]), "against several it has fallen"
    assert robust[-1] > max(robust[:first]), "and undone, it goes on to more"
    assert Collapse().noticed(0.2, 0.3)
    assert not Collapse().noticed(0.25, 0.3)
    assert not Collapse().noticed(0.0, 0.03)


def flat(module: nn.Module) -> Tensor:
    return torch.cat([one.detach().flatten() for one in module.parameters()])


def test_one_step_becomes_two_and_four_after_collapses(train: Dataset) -> None:
    for method in (Fast(), NoisyFast()):
        given: Any = type("G", (), {"threat": THREAT, "train": train})
        once = replace(
            method.inner(given, steps=1, step_size=0.1), noise=method.noise, clip=method.clip
        )
        assert method._at(once, 0) is once
        assert [method._at(once, level).steps for level in (1, 2, 3)] == [2, 4, 8]
        assert method._at(once, 1).clip
        assert method._at(once, 2).step_size == pytest.approx(2.5 * THREAT.eps / 4)


def test_training_ends_after_so_many_epochs_without_a_gain(train: Dataset) -> None:
    scores = iter([0.1, 0.5, 0.4, 0.4, 0.4, 0.4, 0.9])
    seen: list[Progress] = []
    kept: list[bytes] = []
    objective = Objective(
        loss=entropy,
        measure=lambda _: Score(clean=1.0, robust=next(scores)),
        early_stop=EarlyStop(patience=2, after=0.3),
    )
    run = Run(progress=seen.append, checkpoint=kept.append)
    first = trained(train, objective, epochs=10, run=run)
    assert [now.epoch for now in seen] == [1, 2, 3, 4, 5]
    assert seen[-1].eta == 0
    again = trained(train, objective, epochs=10, run=Run(resume=kept[-1], progress=seen.append))
    assert len(seen) == 5, "a run that was over is over"
    assert torch.equal(flat(first), flat(again))


def test_what_is_measured_and_kept_is_the_average(train: Dataset) -> None:
    for average in (Average(decay=0.9), StochasticWeights(start=0.5)):
        steps: list[Tensor] = []
        measured: list[Tensor] = []

        def measure(module: nn.Module, into: list[Tensor] = measured) -> Score:
            into.append(flat(module))
            return Score(clean=len(into) / 10)

        def perturb(
            module: nn.Module, x: Tensor, _: Tensor, __: Moment, into: list[Tensor] = steps
        ) -> Tensor:
            into.append(flat(module))  # the weights after the step before
            return x

        objective = Objective(loss=entropy, perturb=perturb, measure=measure, average=average)
        best = trained(train, objective)
        assert torch.equal(flat(best), measured[-1])
        per_epoch = math.ceil(len(train) / 32)
        if average.kind == "swa":
            ends = steps[per_epoch::per_epoch]  # after epochs 1 to 5
            torch.testing.assert_close(measured[3], ends[3])
            torch.testing.assert_close(measured[4], (ends[3] + ends[4]) / 2)
        else:
            expected = steps[0]
            for number, after in enumerate(steps[1 : per_epoch + 1], 1):
                decay = min(0.9, (1 + number) / (10 + number))
                expected = decay * expected + (1 - decay) * after
            torch.testing.assert_close(measured[0], expected)


def test_weights_are_pressed_uphill_and_given_back() -> None:
    net = module()
    x, y = torch.rand(20, 1, 6, 6), torch.randint(0, 2, (20,))

    def loss() -> Tensor:
        return nn.functional.cross_entropy(net(x), y)

    before, lower = flat(net), loss().item()
    with AWP(gamma=0.05).pressed(net, loss):
        assert loss().item() > lower
        for now, was in zip(net.parameters(), module().parameters(), strict=True):
            moved = (now - was).norm() / was.norm()
            assert moved.item() == pytest.approx(0.05 if now.dim() > 1 else 0.0, abs=1e-5)
    assert torch.equal(flat(net), before)


def test_cutmix_mixes_labels_by_the_area_it_takes() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.tensor([0] * 8 + [1] * 8)
    images = y.float().view(-1, 1, 1, 1).expand(-1, 1, 12, 9)
    rows = y.float().view(-1, 1).expand(-1, 30)
    shares = set()
    for x in (images, rows):
        for _ in range(20):
            mixed, targets = CutMix(share=1.0).mixed(x, y, 2, generator)
            torch.testing.assert_close(mixed.flatten(1).mean(1), targets[:, 1])
            torch.testing.assert_close(targets.sum(1), torch.ones(16))
            shares |= {round(float(one), 3) for one in targets[:, 1]}
    assert len(shares) > 20
    same, targets = CutMix(share=1e-9).mixed(images, y, 2, generator)
    assert torch.equal(same, images)
    assert torch.equal(targets.argmax(1), y)


def test_the_arrangement_is_the_same_function() -> None:
    net = build("cnn", {"in_shape": [3, 20, 20], "classes": 4, "widths": [4, 8], "hidden": 8})
    other = arranged(net, images=True)
    x = torch.randn(5, 3, 20, 20)
    kinds = [type(part).__name__ for part in other.get_submodule("layers").children()]
    assert kinds.index("MaxPool2d") < kinds.index("ReLU")
    flat = kinds.index("Flatten")
    assert kinds[flat - 1 : flat + 2] == ["Conv2d", "Flatten", "ReLU"]
    assert list(net.state_dict()) == list(other.state_dict())
    torch.testing.assert_close(net(x), other(x), rtol=1e-6, atol=1e-6)
    assert [type(p).__name__ for p in net.get_submodule("layers").children()][1] == "ReLU"


def test_atta_goes_on_where_the_last_epoch_ended(train: Dataset, validation: Dataset) -> None:
    given = Given(module=module(), train=train, validation=validation, threat=THREAT)
    made = Atta(step_size=0.01, ramp=0.0).objective(given)
    rows = torch.arange(20)
    x, y = torch.from_numpy(train.x[:20]), torch.from_numpy(train.y[:20])

    def again(seed: int) -> Tensor:
        return made.perturb(
            given.module, x, y, Moment(0.5, torch.Generator().manual_seed(seed), rows)
        )

    first, second = again(0), again(1)
    assert (second - first).abs().max() <= 0.01 + 1e-4
    assert THREAT.eps < (second - x).abs().max() <= 1.2 * THREAT.eps + 1e-6
    fresh = Atta(step_size=0.01, ramp=0.0).objective(given)
    now = Moment(0.5, torch.Generator().manual_seed(1), rows)
    assert (fresh.perturb(given.module, x, y, now) - first).abs().max() > 0.05
    assert set(made.memory) == {"perturbations", "known"}
    assert made.memory["known"].sum() == 20


def test_more_perturbations_than_a_checkpoint_holds_are_refused(
    train: Dataset, validation: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[Atta.__module__], "_MOST_BYTES", 100)
    with pytest.raises(UserError, match="GiB of perturbations"):
        Atta(epochs=1).fit(module(), train, validation, THREAT, seed=0)


def test_perturbations_are_kept_by_one_process(train: Dataset, validation: Dataset) -> None:
    with pytest.raises(UserError, match="one process"):
        Atta(epochs=1).fit(
            module(), train, validation, THREAT, seed=0, run=Run(team=Team(rank=0, size=2))
        )


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Average(decay=1.0),
        lambda: Average(kind="mean"),  # type: ignore[arg-type]
        lambda: AWP(gamma=0.0),
        lambda: Collapse(share=1.0),
        lambda: CutMix(share=0.0),
        lambda: Distil(temperature=0.0),
        lambda: EarlyStop(patience=0),
        lambda: compose(["defensive"], {"temperature": -1.0}),
        lambda: compose(["atta"], {"steps": 0}),
        lambda: compose(["atta"], {"step_size": 0.0}),
        lambda: compose(["atta"], {"stretch": 0.9}),
        lambda: compose(["fast"], {"step": 0.0}),
        lambda: compose(["free"], {"replays": 0}),
        lambda: compose(["mart"], {"beta": 0.0}),
        lambda: compose(["noise"], {"sigma": float("inf")}),
        lambda: compose(["robust-distil"], {"clean_share": 1.0}),
        lambda: compose(["trades"], {"steps": 0}),
    ],
)
def test_numbers_out_of_range_are_refused(wrong: Any) -> None:
    with pytest.raises(UserError):
        wrong()


def test_free_training_is_for_linf(train: Dataset, validation: Dataset) -> None:
    with pytest.raises(UserError, match="linf"):
        compose(["free"]).fit(module(), train, validation, ThreatModel(norm="l2", eps=1), seed=0)


def test_distillation_takes_another_teacher(train: Dataset, validation: Dataset) -> None:
    """The facts of a run name the teacher by its weights, so that its checkpoint is its own."""
    kept: list[bytes] = []
    recipe = replace(compose(["clean"], {"epochs": 2}), parts=(Distil(teacher=module(1)),))
    recipe.fit(module(), train, validation, THREAT, seed=0, run=Run(checkpoint=kept.append))
    other = replace(recipe, parts=(Distil(teacher=module(2)),))
    with pytest.raises(UserError, match="another objective"):
        other.fit(module(), train, validation, THREAT, seed=0, run=Run(resume=kept[0]))
    soft = Distil(teacher=module(1), weight=1.0).join(
        Objective(loss=entropy, measure=lambda _: Score(clean=1.0)),
        type("G", (), {"train": train, "module": module()})(),
    )
    x = torch.from_numpy(train.x[:4])
    _, targets = soft.transforms[0](module(), x, torch.zeros(4).long(), None)  # type: ignore[arg-type]
    expected = (module(1)(x) / 4.0).softmax(1)
    torch.testing.assert_close(targets, expected)
    assert np.isfinite(targets.detach().numpy()).all()


@pytest.mark.parametrize("method", ["free", "noise", "ibp", "crown-ibp"])
def test_a_method_that_would_break_the_constraints_of_a_table_refuses_them(method: str) -> None:
    rows = np.random.default_rng(0).uniform(0.2, 0.8, (20, 4)).astype(np.float32)
    data = Dataset(name="rows", x=rows, y=np.arange(20, dtype=np.int64) % 2, classes=2)
    laws = Features(
        mutable=(True,) * 4,
        low=(0.0,) * 4,
        high=(1.0,) * 4,
        reach=(1.0,) * 4,
        step=(0.0,) * 4,
        monotone=(0,) * 4,
    )
    with pytest.raises(UserError, match="constraints of a table"):
        compose([method], {"epochs": 1}).fit(
            nn.Linear(4, 2), data, data, ThreatModel(eps=0.1, features=laws), seed=0
        )
