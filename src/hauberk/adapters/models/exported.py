"""Programs of ``torch.export``, read as data: a graph in JSON and weights as raw bytes.

torch's own reader unpickles the sample inputs that every archive holds, and evaluates sizes as
expressions. This one does neither. It reads the graph and the raw weights, calls functions of a
closed list alone, and takes sizes from the tensors that are there.
"""

from __future__ import annotations

import io
import json
import math
import operator
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hauberk.adapters.models.exported_functions import ALLOWED, CLAIMS, NUMBERS
from hauberk.adapters.models.fixed_batch import by_fixed
from hauberk.adapters.models.formats import MAX_BYTES
from hauberk.adapters.models.onnx_quantised import rounded
from hauberk.adapters.models.torch_model import TorchModel
from hauberk.core.errors import ModelFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SOFTMAX = {"softmax.int", "_softmax.default"}
_MAX_GRAPH, _MAX_NODES = 64 << 20, 100_000
_HINT = "export it with torch 2.8 or later, or as ONNX"
# The numbers by which an archive names types; others have no place in an image network.
_TYPES = {
    1: torch.uint8,
    2: torch.int8,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}


class ExportedModule(nn.Module):
    """The nodes of a program in their order, with its parameters, buffers and constants.

    One that takes bytes takes [0, 1] here, rounded to steps of 1/255, with a slope that goes
    straight through. A softmax or sigmoid at its end is left out, so that logits come out.

    Raises:
        ModelFormatError: if the graph is ill-formed, changes its own state, calls a function that
            is not on the list, or has other inputs than one tensor.
    """

    def __init__(
        self, program: Mapping[str, Any], tensors: Mapping[str, Tensor], *, where: str
    ) -> None:
        super().__init__()
        graph, signature = (program["graph_module"][key] for key in ("graph", "signature"))
        self.names: dict[str, str] = {}
        inputs: list[str] = []
        for one in signature["input_specs"]:
            ((kind, spec),) = one.items()
            if kind == "user_input":
                inputs.append(spec["arg"]["as_tensor"]["name"])
                continue
            key = next((spec[k] for k in spec if k.endswith("_name") and spec[k] in tensors), None)
            if key is None:
                raise ModelFormatError(f"an input of kind {kind!r} has no tensor", where=where)
            own = f"held{len(self.names)}"
            self.names[spec["arg"]["name"]] = own
            value = tensors[key]
            if kind == "parameter" and value.is_floating_point():
                self.register_parameter(own, nn.Parameter(value))
            else:
                self.register_buffer(own, value)
        outputs = signature["output_specs"]
        changes = [kind for one in outputs for kind in one if kind != "user_output"]
        if len(inputs) != 1 or changes or not outputs:
            told = changes[0] if changes else f"{len(inputs)} inputs"
            raise ModelFormatError(f"not a function of one tensor: {told}", where=where)
        self.input = inputs[0]
        self.output = _ended(graph["nodes"], outputs[0]["user_output"]["arg"]["as_tensor"]["name"])
        form = graph["tensor_values"][self.input]
        self.bytes = _TYPES[form["dtype"]] == torch.uint8
        batch, *rest = form["sizes"]
        self.fixed = batch.get("as_int")
        self.shape = [one.get("as_int") for one in rest]
        if len(graph["nodes"]) > _MAX_NODES:
            raise ModelFormatError("too many nodes", where=where)
        self.nodes = [_node(one, where) for one in graph["nodes"]]

    def forward(self, x: Tensor) -> Tensor:
        """The first output ``(batch, ...)`` of inputs ``(batch, ...)``."""
        if self.bytes:
            x = rounded(x * 255)
        return self._once(x) if self.fixed is None else by_fixed(self._once, x, self.fixed)

    def _once(self, x: Tensor) -> Tensor:
        known: dict[str, Any] = {name: getattr(self, own) for name, own in self.names.items()}
        known[self.input] = x
        for call, places, named, outputs in self.nodes:
            found = call(
                *(_value(one, known) for one in places),
                **{name: _value(one, known) for name, one in named.items()},
            )
            if len(outputs) == 1 and isinstance(outputs[0], str):
                known[outputs[0]] = found
            elif outputs:
                parts = outputs[0] if isinstance(outputs[0], list) else outputs
                known.update(zip(parts, found, strict=False))
        out: Tensor = known[self.output]
        return out


def load(data: bytes, *, where: str) -> TorchModel:
    """The model of an archive, with gradients; nothing in it is unpickled.

    Raises:
        ModelFormatError: if the archive is damaged, of another layout, or not a function of one
            tensor by functions on the list.
    """
    try:
        program, tensors = _read(data, where)
        module = ExportedModule(program, tensors, where=where).eval()
        if None not in module.shape:  # what it declares is not what it does: ask it once
            with torch.no_grad():
                module(torch.zeros(2, *module.shape))
    except ModelFormatError:
        raise
    except Exception as error:  # an ill-formed archive fails anywhere
        text = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise ModelFormatError(
            f"not a readable torch.export archive: {type(error).__name__}: {text}",
            where=where,
            hint=_HINT,
        ) from None
    return TorchModel(module)


def _read(data: bytes, where: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        if sum(info.file_size for info in members.values()) > MAX_BYTES:
            raise ModelFormatError(f"unpacks to more than {MAX_BYTES} bytes", where=where)
        graphs = [name for name in members if name.startswith("models/") and name.endswith(".json")]
        if len(graphs) != 1 or members[graphs[0]].file_size > _MAX_GRAPH:
            raise ModelFormatError(
                f"{len(graphs)} programs in the archive, one is read", where=where, hint=_HINT
            )
        program = json.loads(archive.read(members[graphs[0]]))
        tensors: dict[str, Tensor] = {}
        for folder, config in (
            ("data/weights/", "model_weights_config.json"),
            ("data/constants/", "model_constants_config.json"),
        ):
            listed = next((name for name in members if name.endswith(config)), None)
            entries = json.loads(archive.read(members[listed]))["config"] if listed else {}
            for name, entry in entries.items():
                if entry["use_pickle"]:
                    raise ModelFormatError(f"{name!r} is pickled", where=where, hint=_HINT)
                raw = archive.read(members[folder + entry["path_name"]])
                tensors[name] = _tensor(raw, entry["tensor_meta"])
    return program, tensors


def _tensor(raw: bytes, meta: Mapping[str, Any]) -> Tensor:
    """A tensor of raw bytes; its sizes and strides must lie within them."""
    kind = _TYPES[meta["dtype"]]
    sizes, strides = ([int(one["as_int"]) for one in meta[key]] for key in ("sizes", "strides"))
    offset = int(meta["storage_offset"]["as_int"])
    if min([*sizes, *strides, offset, 0]) < 0:
        raise ValueError("a negative size")
    if math.prod(sizes) == 0:
        return torch.zeros(sizes, dtype=kind)
    flat = torch.frombuffer(bytearray(raw), dtype=kind)
    last = offset + sum((size - 1) * step for size, step in zip(sizes, strides, strict=True))
    if last >= len(flat):
        raise ValueError("a tensor reaches past its bytes")
    return flat.as_strided(sizes, strides, offset).clone(memory_format=torch.contiguous_format)


def _ended(nodes: list[Mapping[str, Any]], output: str) -> str:
    """The value before a softmax over the classes or a sigmoid that ends the program."""
    for one in nodes:
        made = [part["as_tensor"]["name"] for part in one["outputs"] if "as_tensor" in part]
        if made != [output]:
            continue
        kind = one["target"].rpartition("aten.")[2]
        axis = next((part["arg"].get("as_int") for part in one["inputs"][1:2]), None)
        if kind == "sigmoid.default" or (kind in _SOFTMAX and axis in {-1, 1}):
            before: str = one["inputs"][0]["arg"]["as_tensor"]["name"]
            return before
    return output


_Node = tuple[Callable[..., Any], list[Any], dict[str, Any], list[Any]]


def _node(one: Mapping[str, Any], where: str) -> _Node:
    places = [part["arg"] for part in one["inputs"] if part.get("kind", 1) != 2]
    named = {part["name"]: part["arg"] for part in one["inputs"] if part.get("kind", 1) == 2}
    outputs: list[Any] = []
    for part in one["outputs"]:
        ((kind, value),) = part.items()
        if kind == "as_tensors":
            outputs.append([item["name"] for item in value])
        elif kind == "as_tensor":
            outputs.append(value["name"])
        else:
            outputs.append(value["as_name"] if isinstance(value, dict) else "")
    return _function(one["target"], where), places, named, outputs


def _function(target: str, where: str) -> Callable[..., Any]:
    """The function of that name, if it is on the list."""
    parts = target.split(".")
    if len(parts) == 5 and parts[3] in CLAIMS:
        return _nothing
    if parts[0] in {"_operator", "operator", "math"} and parts[-1] in NUMBERS and len(parts) == 2:
        source: Any = math if parts[0] == "math" else operator
        number: Callable[..., Any] = getattr(source, parts[-1])
        return number
    # One that works in place differs by a line after the name.
    known = len(parts) == 5 and {parts[3], parts[3].removesuffix("_")} & ALLOWED
    if known and parts[:3] == ["torch", "ops", "aten"]:
        found: Callable[..., Any] = getattr(getattr(torch.ops.aten, parts[3]), parts[4])
        return found
    raise ModelFormatError(
        f"it calls {target[:80]!r}, which is not on the list", where=where, hint="export it as ONNX"
    )


def _nothing(*_: Any, **__: Any) -> None:
    """What a program claims about its tensors holds or does not: nothing is done about it."""


def _value(arg: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    """An argument: a tensor or a number by its name, or what is written there."""
    ((kind, value),) = arg.items()
    if kind not in _READ:
        raise ValueError(f"an argument of kind {kind!r}")
    return _READ[kind](value, known)


def _number(value: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    return known[value["as_name"]] if "as_name" in value else next(iter(value.values()))


_PLAIN = ("as_int", "as_bool", "as_ints", "as_bools", "as_string")
_LAYOUTS = {1: torch.contiguous_format, 2: torch.channels_last, 4: torch.preserve_format}
_READ: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(_PLAIN, lambda value, _: value),
    # JSON has no infinity: it stands there as a word.
    "as_float": lambda value, _: float(value),
    "as_floats": lambda value, _: [float(one) for one in value],
    # Where and how a tensor lies is for whoever runs it.
    **dict.fromkeys(("as_none", "as_device", "as_layout"), lambda *_: None),
    **dict.fromkeys(("as_sym_int", "as_sym_float", "as_sym_bool"), _number),
    **dict.fromkeys(
        ("as_sym_ints", "as_sym_floats"),
        lambda value, known: [_number(one, known) for one in value],
    ),
    "as_tensor": lambda value, known: known[value["name"]],
    "as_tensors": lambda value, known: [known[one["name"]] for one in value],
    "as_optional_tensors": lambda value, known: [
        None if "as_none" in one else known[one["as_tensor"]["name"]] for one in value
    ],
    "as_scalar_type": lambda value, _: _TYPES[value],
    "as_memory_format": lambda value, _: _LAYOUTS[value],
}
