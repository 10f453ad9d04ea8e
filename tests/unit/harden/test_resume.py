import json
import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from hauberk.adapters.models.architectures import build
from hauberk.core.data import Dataset
from hauberk.core.errors import UserError
from hauberk.core.threat import ThreatModel
from hauberk.harden.adversarial import Adversarial
from hauberk.harden.atta import Atta
from hauberk.harden.clean import Clean
from hauberk.harden.run import Run

if TYPE_CHECKING:
    from hauberk.harden.progress import Progress

THREAT = ThreatModel(eps=0.1)


def small() -> nn.Module:
    """A module with all that could carry hidden state: dropout and batch statistics."""
    cnn = build("cnn", {"in_shape": [1, 6, 6], "classes": 2, "widths": [3, 4], "hidden": 5})
    first, *rest = cnn.children().__next__().children()
    return nn.Sequential(first, nn.BatchNorm2d(3), *rest[:-1], nn.Dropout(0.3), rest[-1])


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return module.state_dict()


def same(one: nn.Module, other: nn.Module) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


METHODS: list[Callable[..., Any]] = [
    lambda **more: Clean(**{"epochs": 5, "batch_size": 16, "weight_decay": 0.1, **more}),
    lambda **more: Adversarial(
        **{"epochs": 5, "steps": 2, "batch_size": 16, "clean_share": 0.3, **more}
    ),
    lambda **more: Adversarial(
        **{"epochs": 5, "steps": 1, "batch_size": 89, "start": "given", **more}
    ),
    lambda **more: Adversarial(
        **{"epochs": 5, "steps": 2, "batch_size": 16, "precision": "bfloat16", **more}
    ),
    lambda **more: Atta(**{"epochs": 5, "batch_size": 16, **more}),
]


@pytest.mark.parametrize(
    "method", METHODS, ids=["clean", "adversarial", "given", "bfloat16", "atta"]
)
def test_an_interrupted_run_ends_in_the_same_bits(
    method: Callable[..., Any], train: Dataset, validation: Dataset
) -> None:
    kept: list[bytes] = []
    whole = method().fit(
        small(), train, validation, THREAT, seed=3, run=Run(checkpoint=kept.append)
    )
    assert len(kept) == 5
    for epoch in (0, 2, 4):
        torch.manual_seed(epoch)  # what else happens in the process must not matter
        later: list[bytes] = []
        resumed = method().fit(
            small(),
            train,
            validation,
            THREAT,
            seed=3,
            run=Run(resume=kept[epoch], checkpoint=later.append),
        )
        assert same(whole, resumed)
        assert later == kept[epoch + 1 :]
    assert not same(whole, method().fit(small(), train, validation, THREAT, seed=4))


def test_neither_module_nor_global_generator_is_touched(
    train: Dataset, validation: Dataset
) -> None:
    module = small().train()
    before = {name: value.clone() for name, value in weights(module).items()}
    state = torch.random.get_rng_state()
    hard = METHODS[1]().fit(module, train, validation, THREAT, seed=0)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in weights(module).items())
    assert module.training
    assert not hard.training
    assert all(p.is_contiguous() and p.requires_grad for p in hard.parameters())


def test_checkpoints_hold_no_pickle(train: Dataset, validation: Dataset) -> None:
    kept: list[bytes] = []
    METHODS[0]().fit(small(), train, validation, seed=0, run=Run(checkpoint=kept.append, every=2))
    assert len(kept) == 2
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(kept[0])
    names = load(kept[0])
    assert any(name.startswith("optimizer.0.exp_avg") for name in names)
    assert any(name.startswith("kept.") for name in names)


def test_a_checkpoint_of_another_run_is_refused(train: Dataset, validation: Dataset) -> None:
    kept: list[bytes] = []
    method = METHODS[1]
    method().fit(small(), train, validation, THREAT, seed=3, run=Run(checkpoint=kept.append))
    run = Run(resume=kept[1])
    others: list[Callable[[], Any]] = [
        lambda: method(steps=3).fit(small(), train, validation, THREAT, seed=3, run=run),
        lambda: method(epochs=6).fit(small(), train, validation, THREAT, seed=3, run=run),
        lambda: method().fit(small(), train, validation, THREAT, seed=4, run=run),
        lambda: method().fit(small(), validation, validation, THREAT, seed=3, run=run),
        lambda: method().fit(small(), train, train, THREAT, seed=3, run=run),
        lambda: method().fit(small(), train, validation, ThreatModel(eps=0.2), seed=3, run=run),
        lambda: METHODS[0]().fit(small(), train, validation, seed=3, run=run),
        lambda: method().fit(
            build("mlp", {"in_shape": [1, 6, 6], "classes": 2}),
            train,
            validation,
            THREAT,
            seed=3,
            run=run,
        ),
    ]
    for other in others:
        with pytest.raises(UserError, match="checkpoint") as caught:
            other()
        assert "anew" in caught.value.hint


def test_damaged_checkpoints_are_refused(train: Dataset, validation: Dataset) -> None:
    kept: list[bytes] = []
    METHODS[0]().fit(small(), train, validation, seed=0, run=Run(checkpoint=kept.append))
    good = kept[0]
    tensors = load(good)
    broken = [
        b"",
        b"no checkpoint",
        good[: len(good) // 2],
        pickle.dumps(tensors.keys().__len__()),
        save(tensors),
        save(tensors, metadata={"training": "["}),
        save(tensors, metadata={"training": "[]"}),
        save(tensors, metadata={"training": "{}"}),
        save({name: tensor for name, tensor in tensors.items() if not name.startswith("kept.")}),
    ]
    for data in broken:
        with pytest.raises(UserError, match="checkpoint"):
            METHODS[0]().fit(small(), train, validation, seed=0, run=Run(resume=data))


def test_a_checkpoint_without_its_perturbations_is_refused(
    train: Dataset, validation: Dataset
) -> None:
    kept: list[bytes] = []
    METHODS[-1]().fit(small(), train, validation, THREAT, seed=0, run=Run(checkpoint=kept.append))
    length = int.from_bytes(kept[0][:8], "little")
    facts = json.loads(kept[0][8 : 8 + length])["__metadata__"]
    left = {k: v for k, v in load(kept[0]).items() if k != "memory.perturbations"}
    with pytest.raises(UserError, match="memory does not fit"):
        METHODS[-1]().fit(
            small(), train, validation, THREAT, seed=0, run=Run(resume=save(left, metadata=facts))
        )


def test_a_finished_run_resumes_to_its_result(train: Dataset, validation: Dataset) -> None:
    kept: list[bytes] = []
    seen: list[Progress] = []
    whole = METHODS[0]().fit(small(), train, validation, seed=0, run=Run(checkpoint=kept.append))
    again = METHODS[0]().fit(
        small(), train, validation, seed=0, run=Run(resume=kept[-1], progress=seen.append)
    )
    assert same(whole, again)
    assert seen == []
