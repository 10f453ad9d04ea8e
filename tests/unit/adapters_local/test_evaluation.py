"""An evaluation as work: the same figures from any engine and any cut, and from half-done work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from hauberk.adapters.local.evaluation import Plan, carried_out, open_plan
from hauberk.adapters.local.kept_shards import KeptShards
from hauberk.adapters.local.pool import Inline, Processes
from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.torch_model import Architecture, TorchModel
from hauberk.adapters.models.weights import save
from hauberk.core.digest import digest_file
from hauberk.core.errors import DataError
from hauberk.core.ports import Shard, Work
from hauberk.evaluate.run import Run
from hauberk.evaluate.sequential import Stop
from hauberk.evaluate.shard_file import decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hauberk.core.ports import Executor
    from hauberk.evaluate.result import Robustness

torch.set_num_threads(1)
SHAPE = {"in_shape": [1, 28, 28], "classes": 10}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    torch.manual_seed(0)
    module = build("mlp", SHAPE)
    file = tmp_path_factory.mktemp("model") / "model.safetensors"
    file.write_bytes(save(TorchModel(module=module, architecture=Architecture("mlp", SHAPE))))
    return Plan(
        model=str(file),
        digest=digest_file(file),
        data="digits",
        norm="linf",
        eps=0.05,
        radii=(0.02, 0.05),
        attacks=("fgsm", "square"),
        samples=60,
    )


@dataclass
class Counting:
    """An engine that counts its shards and stops, as if killed, after ``most`` of them."""

    most: int = 10**9
    done: list[Shard] = field(default_factory=list)

    def run(self, work: Work, shards: Sequence[Shard]) -> Iterator[tuple[Shard, bytes]]:
        for shard, result in Inline().run(work, shards):
            if len(self.done) == self.most:
                raise KeyboardInterrupt
            self.done.append(shard)
            yield shard, result


def _done(plan: Plan, engine: Executor, folder: Path, *, shard: int = 20) -> Robustness:
    kept = KeptShards.of(plan.work(), folder)
    result, left_out = carried_out(plan, engine, kept, stop=Stop(shard=shard), run=Run())
    assert left_out == 0
    return result


def _same(one: Robustness, other: Robustness) -> None:
    assert (one.name, one.dataset, one.gradient) == (other.name, other.dataset, other.gradient)
    assert np.array_equal(one.clean, other.clean)
    for mine, theirs in zip(one.attacks, other.attacks, strict=True):
        assert np.array_equal(mine.correct, theirs.correct)
        assert np.array_equal(mine.alone, theirs.alone)
    assert [example.index for example in one.examples] == [e.index for e in other.examples]


def test_engine_and_cut_change_nothing(plan: Plan, tmp_path: Path) -> None:
    whole = _done(plan, Inline(), tmp_path / "one", shard=60)
    _same(whole, _done(plan, Processes(workers=2), tmp_path / "two", shard=13))
    _same(whole, _done(plan, Inline(), tmp_path / "three", shard=7))


def test_what_was_done_is_not_done_again(plan: Plan, tmp_path: Path) -> None:
    whole = _done(plan, Inline(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        _done(plan, Counting(most=2), tmp_path / "killed")
    again = Counting()
    _same(whole, _done(plan, again, tmp_path / "killed"))
    assert again.done == [Shard(40, 60)]


def test_other_work_finds_nothing(plan: Plan, tmp_path: Path) -> None:
    _done(plan, Inline(), tmp_path)
    other = Work(opener=plan.work().opener, spec={**plan.work().spec, "seed": 1})
    assert list(KeptShards.of(other, tmp_path).read()) == []
    kept = KeptShards.of(plan.work(), tmp_path)
    assert len(list(kept.read())) == 3
    (kept.folder / "note.txt").write_text("no shard")
    assert len(list(kept.read())) == 3
    kept.drop()
    assert list(kept.read()) == []


def test_a_model_that_changed_meanwhile_is_refused(plan: Plan) -> None:
    with pytest.raises(DataError, match="changed meanwhile"):
        open_plan({**plan.work().spec, "digest": "sha256:" + "0" * 64})


def test_a_result_survives_its_archive(plan: Plan, tmp_path: Path) -> None:
    whole = _done(plan, Inline(), tmp_path)
    _same(whole, decode(encode(whole)))
    assert decode(encode(whole)).threat == whole.threat
    assert [one.parameters for one in decode(encode(whole)).attacks] == [
        one.parameters for one in whole.attacks
    ]


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no archive", encode.__doc__.encode()])  # type: ignore[union-attr]  # it has one
def test_a_damaged_archive_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="damaged shard"):
        decode(data)
