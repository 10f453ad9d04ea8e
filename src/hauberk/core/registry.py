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
        "apgd-l1": "hauberk.attack.apgd_l1:APGDL1",
        "auto": "hauberk.attack.ensemble:Auto",
        "best": "hauberk.attack.ensemble:Best",
        "boundary": "hauberk.attack.boundary:Boundary",
        "carlini-wagner": "hauberk.attack.carlini_wagner:CarliniWagner",
        "deepfool": "hauberk.attack.deepfool:DeepFool",
        "elastic-net": "hauberk.attack.elastic_net:ElasticNet",
        "fab": "hauberk.attack.fab:FAB",
        "fgsm": "hauberk.attack.fgsm:FGSM",
        "fmn": "hauberk.attack.fmn:FMN",
        "hop-skip-jump": "hauberk.attack.hop_skip_jump:HopSkipJump",
        "nes": "hauberk.attack.nes:NES",
        "patch": "hauberk.attack.patch:Patch",
        "pgd": "hauberk.attack.pgd:PGD",
        "pgd-l0": "hauberk.attack.pgd_l0:PGDL0",
        "physical-patch": "hauberk.attack.physical_patch:PhysicalPatch",
        "slide": "hauberk.attack.slide:Slide",
        "sparse-rs": "hauberk.attack.sparse_rs:SparseRS",
        "spatial": "hauberk.attack.spatial:Spatial",
        "spsa": "hauberk.attack.spsa:SPSA",
        "square": "hauberk.attack.square:Square",
        "square-l2": "hauberk.attack.square_l2:SquareL2",
        "transfer": "hauberk.attack.transfer:Transfer",
        "universal": "hauberk.attack.universal:Universal",
    },
    "engine": {
        "inline": "hauberk.adapters.local.pool:Inline",
        "processes": "hauberk.adapters.local.pool:Processes",
        "ray": "hauberk.adapters.ray.engine:Ray",
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
    "sensor": {
        "colour-detail": "hauberk.guard.high_frequency:ColourDetail",
        "density": "hauberk.guard.density:Density",
        "energy": "hauberk.guard.energy:Energy",
        "high-frequency": "hauberk.guard.high_frequency:HighFrequency",
        "mahalanobis": "hauberk.guard.mahalanobis:Mahalanobis",
        "margin": "hauberk.guard.margin:Margin",
        "squeezing": "hauberk.guard.squeezing:Squeezing",
        "twin": "hauberk.guard.divergence:Divergence",
        "twin-back": "hauberk.guard.divergence:Backwards",
    },
    "monitor": {
        "accuracy": "hauberk.monitor.accuracy:AccuracyMonitor",
        "agreement": "hauberk.monitor.agreement:AgreementMonitor",
        "budget": "hauberk.monitor.budget:BudgetMonitor",
        "campaign": "hauberk.monitor.campaign:CampaignMonitor",
        "drift": "hauberk.monitor.drift:DriftMonitor",
        "faults": "hauberk.monitor.faults:FaultMonitor",
        "gauge": "hauberk.monitor.gauge:GaugeMonitor",
        "labels": "hauberk.monitor.labels:LabelShiftMonitor",
        "membership": "hauberk.monitor.membership:MembershipMonitor",
        "run-length": "hauberk.monitor.run_length:RunLengthMonitor",
        "suspicion": "hauberk.monitor.suspicion:SuspicionMonitor",
    },
    "explain": {
        "grad-cam": "hauberk.explain.grad_cam:GradCam",
        "integrated-gradients": "hauberk.explain.integrated_gradients:IntegratedGradients",
        "kernel-shap": "hauberk.explain.kernel_shap:KernelShap",
        "lime": "hauberk.explain.lime:Lime",
        "occlusion": "hauberk.explain.occlusion:Occlusion",
        "saliency": "hauberk.explain.saliency:Saliency",
    },
    "harden": {
        "adversarial": "hauberk.harden.adversarial:Adversarial",
        "atta": "hauberk.harden.atta:Atta",
        "auto": "hauberk.harden.auto:Auto",
        "awp": "hauberk.harden.awp:AWP",
        "clean": "hauberk.harden.clean:Clean",
        "crown-ibp": "hauberk.harden.certified:CrownIBP",
        "cutmix": "hauberk.harden.cutmix:CutMix",
        "defensive": "hauberk.harden.defensive:Defensive",
        "distil": "hauberk.harden.distil:Distil",
        "early-stop": "hauberk.harden.early_stop:EarlyStop",
        "ema": "hauberk.harden.average:Average",
        "fast": "hauberk.harden.fast:Fast",
        "free": "hauberk.harden.free:Free",
        "generated": "hauberk.harden.generated:Generated",
        "ibp": "hauberk.harden.certified:IBP",
        "mart": "hauberk.harden.mart:Mart",
        "n-fgsm": "hauberk.harden.fast:NoisyFast",
        "noise": "hauberk.harden.noise:Noise",
        "robust-distil": "hauberk.harden.robust_distil:RobustDistil",
        "swa": "hauberk.harden.average:StochasticWeights",
        "trades": "hauberk.harden.trades:Trades",
    },
    "architecture": {
        "cnn": "hauberk.adapters.models.architectures:CNN",
        "mlp": "hauberk.adapters.models.architectures:MLP",
        "small-cnn": "hauberk.adapters.models.architectures:SmallCNN",
    },
    "model": {
        "file": "hauberk.adapters.models.load:load_named",
        "grid": "hauberk.adapters.models.grid_detector:load",
        "prepared": "hauberk.adapters.models.source:open_prepared",
        "python": "hauberk.adapters.models.python_model:load",
    },
    "data": {
        "csv": "hauberk.adapters.data.table:load_csv",
        "digits": "hauberk.adapters.data.digits:load",
        "folder": "hauberk.adapters.data.folder:load",
        "idx": "hauberk.adapters.data.idx:load",
        "npz": "hauberk.adapters.data.npz:load",
        "parquet": "hauberk.adapters.data.table:load_parquet",
    },
    "samples": {
        "coco": "hauberk.adapters.data.coco:load_coco",
        "npz": "hauberk.adapters.data.npz:load_samples",
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
