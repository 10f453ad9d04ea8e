"""Weights in safetensors, with the architecture that they belong to in the file's header."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.formats import Format, require
from hauberk.adapters.models.session import read_model
from hauberk.adapters.models.torch_model import Architecture, TorchModel
from hauberk.core.digest import canonical_json
from hauberk.core.errors import ModelFormatError, UserError
from hauberk.core.model import Bounds

if TYPE_CHECKING:
    from pathlib import Path

_KEY = "hauberk"


class _Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    architecture: str
    params: dict[str, Any]
    bounds: tuple[float, float]


def save(model: TorchModel) -> bytes:
    """Weights and declaration as one safetensors file; same weights, same bytes.

    Raises:
        ModelFormatError: if the model does not say its architecture, or a weight is not finite.
    """
    if model.architecture is None:
        raise ModelFormatError("the model declares no architecture", where="weights")
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.module.state_dict().items()
    }
    _check_finite(tensors, "weights")
    declared = {
        "architecture": model.architecture.name,
        "params": dict(model.architecture.params),
        "bounds": [model.bounds.low, model.bounds.high],
    }
    return save_tensors(tensors, metadata={_KEY: canonical_json(declared).decode()})


def load(source: Path | bytes, *, architecture: Architecture | None = None) -> TorchModel:
    """Rebuild a model from its weights file, in evaluation mode.

    ``architecture`` is needed for a file that does not declare its own, and must agree with one
    that does.

    Raises:
        ModelFormatError: if the file is damaged, declares nothing, or does not fit its declaration.
        UnknownNameError: if the declared architecture is not known.
    """
    data, where = read_model(source)
    require(data, Format.SAFETENSORS, where=where)
    declared, bounds = _declaration(data, where)
    if architecture is not None and declared is not None and architecture != declared:
        raise ModelFormatError(
            f"declares {declared.name!r} {declared.params}, expected {architecture.name!r} "
            f"{architecture.params}",
            where=where,
        )
    chosen = architecture or declared
    if chosen is None:
        raise ModelFormatError(
            "the file does not say its architecture", where=where, hint="name it with the file"
        )
    try:
        tensors = load_tensors(data)
    except SafetensorError as error:
        raise ModelFormatError(f"damaged safetensors: {error}", where=where) from None
    _check_finite(tensors, where)
    module = build(chosen.name, chosen.params, seed=None)
    _check_fit(module.state_dict(), tensors, where)
    module.load_state_dict(tensors, assign=True)
    return TorchModel(module.eval(), bounds, chosen)


def _declaration(data: bytes, where: str) -> tuple[Architecture | None, Bounds]:
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    if not isinstance(metadata, dict) or _KEY not in metadata:
        return None, Bounds()
    try:
        declared = msgspec.json.decode(metadata[_KEY], type=_Declared)
        bounds = Bounds(*declared.bounds)
    except (msgspec.MsgspecError, TypeError, UserError) as error:
        raise ModelFormatError(f"unreadable declaration: {error}", where=where) from None
    return Architecture(declared.architecture, declared.params), bounds


def _check_fit(
    expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor], where: str
) -> None:
    if missing := sorted(expected.keys() ^ found.keys()):
        raise ModelFormatError(
            f"tensors do not match the architecture: {', '.join(missing[:3])}", where=where
        )
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape or tensor.dtype != found[name].dtype:
            raise ModelFormatError(
                f"tensor {name!r} is {found[name].dtype} {tuple(found[name].shape)}, expected "
                f"{tensor.dtype} {tuple(tensor.shape)}",
                where=where,
            )


def _check_finite(tensors: dict[str, torch.Tensor], where: str) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ModelFormatError(f"tensor {name!r} holds NaN or an infinity", where=where)
