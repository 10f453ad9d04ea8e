"""A judgement's measuring: the same figures from any engine, and never from altered weights."""

from pathlib import Path

import numpy as np
import pytest

from hauberk.adapters.data.source import load_dataset
from hauberk.adapters.local import trial as trials
from hauberk.adapters.local.trial import Trial, Weights, carried_out, open_trial
from hauberk.adapters.models import weights
from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.torch_model import Architecture, TorchModel
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import Untrusted
from hauberk.core.model import Bounds

SAMPLES = 24


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    data = load_dataset("digits")
    params = {"in_shape": list(data.shape), "classes": data.classes}
    models = []
    for seed in (0, 1):
        module = build("mlp", params, seed=seed)
        saved = weights.save(TorchModel(module, Bounds(), Architecture("mlp", params)))
        path = tmp_path / f"{seed}.safetensors"
        path.write_bytes(saved)
        models.append(Weights(path=str(path), digest=digest_bytes(saved)))
    return Trial(
        models=tuple(models),
        data="digits",
        norm="linf",
        eps=0.01,
        radii=(0.005, 0.01),
        restarts=1,
        samples=SAMPLES,
        seed=3,
    )


def test_the_figures_are_the_same_in_one_process_and_in_two(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = carried_out(trial, SAMPLES, cores=1)
    monkeypatch.setattr(trials, "_WORTH_A_PROCESS", 0.0)
    together = carried_out(trial, SAMPLES, cores=2)
    assert len(alone) == len(together) == 2
    for one, other in zip(alone, together, strict=True):
        assert one.n == other.n == SAMPLES
        assert np.array_equal(one.clean, other.clean)
        for mine, theirs in zip(one.attacks, other.attacks, strict=True):
            assert np.array_equal(mine.alone, theirs.alone)
        assert one.gradient == other.gradient
    assert not np.array_equal(alone[0].clean, alone[1].clean)


def test_weights_that_were_altered_are_not_judged(trial: Trial) -> None:
    import msgspec

    path = Path(trial.models[1].path)
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(Untrusted, match="altered"):
        open_trial(msgspec.to_builtins(trial))
