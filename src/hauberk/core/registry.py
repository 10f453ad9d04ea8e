"""Components by name, imported only when used.

A group maps a name to ``"module:Class"``. Plug-ins add names by the entry point group
``hauberk.<group>``; a name that the project ships cannot be taken over by a plug-in.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from hauberk.core.errors import UnknownNameError

BUILT_IN: dict[str, dict[str, str]] = {
    "attack": {
        "apgd": "hauberk.attack.apgd:APGD",
        "auto": "hauberk.attack.ensemble:Auto",
        "best": "hauberk.attack.ensemble:Best",
        "carlini-wagner": "hauberk.attack.carlini_wagner:CarliniWagner",
        "deepfool": "hauberk.attack.deepfool:DeepFool",
        "fab": "hauberk.attack.fab:FAB",
        "fgsm": "hauberk.attack.fgsm:FGSM",
        "fmn": "hauberk.attack.fmn:FMN",
        "nes": "hauberk.attack.nes:NES",
        "pgd": "hauberk.attack.pgd:PGD",
        "square": "hauberk.attack.square:Square",
    },
    "engine": {
        "inline": "hauberk.adapters.local.pool:Inline",
        "processes": "hauberk.adapters.local.pool:Processes",
    },
    "guard": {
        "bilateral": "hauberk.guard.bilateral:Bilateral",
        "jpeg": "hauberk.guard.jpeg:Jpeg",
        "median": "hauberk.guard.median:Median",
        "requantise": "hauberk.guard.requantise:Requantise",
        "rows": "hauberk.guard.rows:Rows",
        "schema": "hauberk.guard.schema:Schema",
        "squeeze": "hauberk.guard.squeeze:Squeeze",
        "tv": "hauberk.guard.tv:TotalVariation",
        "twin": "hauberk.guard.twin:TwinDivergence",
    },
    "monitor": {
        "accuracy": "hauberk.monitor.accuracy:AccuracyMonitor",
        "agreement": "hauberk.monitor.agreement:AgreementMonitor",
        "drift": "hauberk.monitor.drift:DriftMonitor",
        "suspicion": "hauberk.monitor.suspicion:SuspicionMonitor",
    },
    "harden": {
        "adversarial": "hauberk.harden.adversarial:Adversarial",
        "clean": "hauberk.harden.clean:Clean",
    },
    "architecture": {
        "cnn": "hauberk.adapters.models.architectures:CNN",
        "mlp": "hauberk.adapters.models.architectures:MLP",
        "small-cnn": "hauberk.adapters.models.architectures:SmallCNN",
    },
    "data": {
        "csv": "hauberk.adapters.data.table:load_csv",
        "digits": "hauberk.adapters.data.digits:load",
        "folder": "hauberk.adapters.data.folder:load",
        "idx": "hauberk.adapters.data.idx:load",
        "npz": "hauberk.adapters.data.npz:load",
        "parquet": "hauberk.adapters.data.table:load_parquet",
    },
}


def names(group: str) -> dict[str, str]:
    """Every name of a group with its ``module:Class``, plug-ins included; imports none.

    Raises:
        UnknownNameError: if there is no such group.
    """
    if group not in BUILT_IN:
        raise UnknownNameError(group, BUILT_IN, kind="kind of component")
    plugins = {point.name: point.value for point in entry_points(group=f"hauberk.{group}")}
    return {**plugins, **BUILT_IN[group]}


def find(group: str, name: str) -> Any:
    """Import the component of that name.

    Raises:
        UnknownNameError: if there is none; the nearest is named.
    """
    known = names(group)
    if name not in known:
        raise UnknownNameError(name, known, kind=group)
    module, _, attribute = known[name].partition(":")
    return getattr(import_module(module), attribute)
