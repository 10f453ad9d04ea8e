"""The state of a training as one safetensors file, so that a resumed run ends in the same bits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from hauberk.core.digest import canonical_json
from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor, nn

_KEY = "training"
_HINT = "start the training anew"


def pack(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    copies: Mapping[str, Mapping[str, Tensor]],
    facts: dict[str, Any],
) -> bytes:
    """Weights, the optimizer's moments, named tensors by section, and plain JSON ``facts``.

    The sections are copies of the weights, and ``memory``: what else goes on from epoch to epoch.
    """
    tensors = {f"module.{name}": value for name, value in module.state_dict().items()}
    for copy, weights in copies.items():
        tensors |= {f"{copy}.{name}": value for name, value in weights.items()}
    for number, parameter in enumerate(_parameters(optimizer)):
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer.{number}.{key}"] = value
    plain = {
        name: value.detach().clone(memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }
    return save(plain, metadata={_KEY: canonical_json(facts).decode()})


def unpack(
    data: bytes,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    copies: Iterable[str],
    memory: Mapping[str, Tensor],
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Fill module, optimizer and memory from :func:`pack`'s bytes; return copies and facts.

    Raises:
        UserError: if the bytes are damaged or belong to another module.
    """
    try:
        tensors = load(data)
        length = int.from_bytes(data[:8], "little")
        facts: dict[str, Any] = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_KEY])
        if not isinstance(facts, dict):
            raise UserError("its facts are no object", where="checkpoint", hint=_HINT)
        module.load_state_dict(_section(tensors, "module."))
        shapes = {name: value.shape for name, value in module.state_dict().items()}
        found = {copy: _section(tensors, f"{copy}.") for copy in copies}
        for copy, weights in found.items():
            if {name: value.shape for name, value in weights.items()} != shapes:
                raise UserError(f"its {copy} weights do not fit", where="checkpoint", hint=_HINT)
        kept = _section(tensors, "memory.")
        if {k: v.shape for k, v in kept.items()} != {k: v.shape for k, v in memory.items()}:
            raise UserError("its memory does not fit", where="checkpoint", hint=_HINT)
        for name, value in memory.items():
            value.copy_(kept[name])
        for number, parameter in enumerate(_parameters(optimizer)):
            for key, value in _section(tensors, f"optimizer.{number}.").items():
                # A moment lies in memory as its parameter does.
                optimizer.state[parameter][key] = (
                    torch.empty_like(parameter).copy_(value)
                    if value.shape == parameter.shape
                    else value
                )
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise UserError(f"cannot be resumed: {reason}", where="checkpoint", hint=_HINT) from None
    return found, facts


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _section(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
