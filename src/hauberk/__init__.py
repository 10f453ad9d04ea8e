"""Hauberk: security for machine-learning models over their whole life.

::

    import hauberk as hb

    data = hb.dataset("digits")
    model = hb.load("model.safetensors")
    threat = hb.ThreatModel(eps=0.15)
    before = hb.evaluate(model, data.split("test"), threat)
    safe = hb.harden(model, data, threat)

Every name is imported when it is first used, so that ``import hauberk`` costs next to nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hauberk.core.data import Dataset
    from hauberk.core.errors import HauberkError
    from hauberk.core.evidence import Evidence, Severity, Verdict
    from hauberk.core.model import Access, Bounds, Model
    from hauberk.core.spec import Spec
    from hauberk.core.task import Classification
    from hauberk.core.threat import ThreatModel
    from hauberk.evaluate.guarded import GuardedModel
    from hauberk.faces.python import dataset, evaluate, harden, load
    from hauberk.govern.policy import Policy

__version__ = "0.1.0"

_HOME = {
    "Access": "core.model",
    "Bounds": "core.model",
    "Classification": "core.task",
    "Dataset": "core.data",
    "Evidence": "core.evidence",
    "GuardedModel": "evaluate.guarded",
    "HauberkError": "core.errors",
    "Model": "core.model",
    "Policy": "govern.policy",
    "Severity": "core.evidence",
    "Spec": "core.spec",
    "ThreatModel": "core.threat",
    "Verdict": "core.evidence",
    "dataset": "faces.python",
    "evaluate": "faces.python",
    "harden": "faces.python",
    "load": "faces.python",
}

__all__ = [
    "Access",
    "Bounds",
    "Classification",
    "Dataset",
    "Evidence",
    "GuardedModel",
    "HauberkError",
    "Model",
    "Policy",
    "Severity",
    "Spec",
    "ThreatModel",
    "Verdict",
    "dataset",
    "evaluate",
    "harden",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hauberk' has no attribute {name!r}")
    value = getattr(import_module(f"hauberk.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """``evaluate`` and ``harden`` are calls here, though stages of the same names exist."""

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system binds each imported subpackage in its parent.
        if name in _HOME and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
