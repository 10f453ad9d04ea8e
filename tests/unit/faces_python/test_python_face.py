"""`import hauberk as hb` on the embedded data."""

from __future__ import annotations

import subprocess
import sys
from types import FunctionType

import numpy as np
import pytest
import torch

import hauberk as hb
import hauberk.evaluate.robustness
import hauberk.harden.adversarial
from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.torch_model import Architecture, TorchModel
from hauberk.core.spec import HardenSpec


def _tiny() -> TorchModel:
    declared = Architecture("mlp", {"in_shape": [1, 28, 28], "classes": 10, "widths": [16]})
    return TorchModel(build("mlp", declared.params, seed=0), architecture=declared)


def test_calls_are_not_hidden_by_the_stages_of_the_same_name() -> None:
    assert isinstance(hb.evaluate, FunctionType)
    assert isinstance(hb.harden, FunctionType)


def test_every_public_name_can_be_had() -> None:
    for name in hb.__all__:
        assert getattr(hb, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        _ = hb.evalute


def test_import_loads_no_torch() -> None:
    code = "import sys, hauberk; hauberk.ThreatModel; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_evaluate_and_harden_on_digits() -> None:
    torch.set_num_threads(1)
    data = hb.dataset("digits")
    few = data.split("test").take(np.arange(24))
    threat = hb.ThreatModel(eps=0.05)
    safe = hb.harden(_tiny(), data, threat, settings=HardenSpec(epochs=1, steps=1))
    found = hb.evaluate(safe, few, threat)
    codes = {one.rule for one in found}
    assert {"HB-E001", "HB-E002", "HB-E005", "HB-E006"} <= codes
    attacks = {one.spec["attack"] for one in found if one.rule == "HB-E006"}
    assert attacks == {"fgsm", "pgd", "square"}


def test_a_model_without_weights_cannot_be_hardened() -> None:
    class Scores:
        bounds, access = hb.Bounds(), hb.Access.SCORES

        def __call__(self, x: torch.Tensor, /) -> torch.Tensor:
            return x

    with pytest.raises(hb.HauberkError, match="weights"):
        hb.harden(Scores(), hb.dataset("digits"), hb.ThreatModel())
