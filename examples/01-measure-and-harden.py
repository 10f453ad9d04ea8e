"""Measure a model under attack, harden it, and measure it again with the same attacks.

Run it from the project's root: ``python examples/01-measure-and-harden.py [EPOCHS [SAMPLES]]``.
"""

import sys

import numpy as np

import hauberk as hb
from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.torch_model import Architecture, TorchModel
from hauberk.core.spec import HardenSpec
from hauberk.harden.clean import Clean

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
samples = int(sys.argv[2]) if len(sys.argv) > 2 else 100

data = hb.dataset("digits")
declared = Architecture("cnn", {"in_shape": list(data.shape), "classes": data.classes})
module = Clean(epochs=min(epochs, 15)).fit(
    build(declared.name, declared.params, seed=0),
    data.split("train"),
    data.split("validation"),
    seed=0,
)
model = TorchModel(module, data.bounds, declared)

threat = hb.ThreatModel(norm="linf", eps=0.15)
held_out = data.split("test").take(np.arange(samples))
before = hb.evaluate(model, held_out, threat)
safe = hb.harden(model, data, threat, settings=HardenSpec(epochs=epochs))
after = hb.evaluate(safe, held_out, threat)

for was, now in zip(before, after, strict=True):
    if was.rule in {"HB-E001", "HB-E002"}:
        eps = was.spec.get("eps", 0)
        print(f"{was.rule}  eps {eps:<6g} {was.value:.3f} -> {now.value:.3f}  {now.message}")
