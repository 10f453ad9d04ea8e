"""A model behind an endpoint that speaks the Open Inference Protocol V2, asked row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hauberk.adapters.http.client import InputForm
from hauberk.core.digest import canonical_json, digest_bytes
from hauberk.core.errors import DataError, EnvironmentFault, HauberkError
from hauberk.core.model import Access, Bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from hauberk.adapters.http.client import V2Client

_MAX_CLASSES = 1 << 20
_SCORES = ("logits", "scores", "probabilities")
_LEAST = 1e-12
_BINARY = ("binary_tensor_data", "binary_tensor_data_extension")


class EndpointModel:
    """Scores or labels of an endpoint's model, ``rows`` at a time and ``queries`` in all.

    Scores are an output of floats ``(batch, classes)``: ``logits`` if there is one of that name;
    of ``probabilities`` the logarithm is taken. Without such an output, or with ``labels``, its
    labels count: 1 for the label and 0 for the others; a row for which the server abstained has no
    label, and so is wrong whatever its target is.

    Raises:
        EnvironmentFault: if the endpoint does not answer.
        DataError: if its metadata name no single input of floats, or nothing to attack.
    """

    def __init__(
        self,
        client: V2Client,
        *,
        classes: int,
        labels: bool = False,
        queries: int | None = None,
        rows: int = 256,
        bounds: Bounds | None = None,
    ) -> None:
        self._client, self._rows = client, rows
        self.left = queries
        self._bounds = bounds or Bounds()
        facts = client.metadata()
        self.digest = digest_bytes(canonical_json({"endpoint": client.address, "facts": facts}))
        extensions = client.server().get("extensions")
        binary = isinstance(extensions, list) and any(one in _BINARY for one in extensions)
        self._form = _input(facts, binary=binary)
        self._output, self._scores, self.classes = _output(facts, classes, labels=labels)

    @property
    def bounds(self) -> Bounds:
        """Range of the inputs."""
        return self._bounds

    @property
    def access(self) -> Access:
        """Scores where it gives them, else labels."""
        return Access.SCORES if self._scores else Access.LABELS

    def __call__(self, x: Tensor, /) -> Tensor:
        """Scores ``(batch, classes)`` of inputs ``(batch, ...)``.

        Raises:
            EnvironmentFault: if the queries are used up, or the endpoint does not answer.
            HauberkError: if it answers in another form.
        """
        if self.left is not None:
            if len(x) > self.left:
                raise EnvironmentFault(
                    "the endpoint's queries are used up",
                    where=self._client.address,
                    hint="allow more, or attack fewer samples",
                )
            self.left -= len(x)
        rows = x.detach().cpu().float()
        found = [self._asked(rows[at : at + self._rows]) for at in range(0, len(rows), self._rows)]
        return torch.cat(found) if found else torch.zeros(0, self.classes)

    def _asked(self, x: Tensor) -> Tensor:
        answer = self._client.infer(x.numpy(), form=self._form, outputs=(self._output,))
        values: NDArray[Any] | None = answer.outputs.get(self._output)
        if values is None:
            raise HauberkError(f"no output {self._output!r}", where=self._client.address)
        if not self._scores:
            return self._labelled(values, len(x))
        if values.shape != (len(x), self.classes) or not np.isfinite(values).all():
            raise HauberkError(f"scores of shape {values.shape}", where=self._client.address)
        scores = torch.from_numpy(values.astype(np.float32))
        return scores.clamp_min(_LEAST).log() if self._output == "probabilities" else scores

    def _labelled(self, values: NDArray[Any], rows: int) -> Tensor:
        flat = values.reshape(-1)
        if len(flat) != rows or (flat != np.rint(flat)).any() or (flat >= self.classes).any():
            raise HauberkError(f"labels of shape {values.shape}", where=self._client.address)
        label = torch.from_numpy(flat.astype(np.int64))
        out = torch.zeros(rows, self.classes)
        known = label >= 0
        out[known] = torch.nn.functional.one_hot(label[known], self.classes).float()
        # No label at all: NaN is wrong for every task.
        out[~known] = float("nan")
        return out


def _input(facts: dict[str, Any], *, binary: bool) -> InputForm:
    inputs = facts.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise DataError("not a model of one input", where="endpoint")
    name, kind = str(inputs[0].get("name", "")), str(inputs[0].get("datatype", ""))
    if kind not in {"FP32", "FP64"}:
        raise DataError(f"the input {name!r} is {kind}, not of floats", where="endpoint")
    return InputForm(name=name, datatype=kind, binary=binary)


def _output(facts: dict[str, Any], classes: int, *, labels: bool) -> tuple[str, bool, int]:
    """The output to ask for, whether it holds scores, and of how many classes."""
    if not 2 <= classes <= _MAX_CLASSES:
        raise DataError(f"a classifier has two classes at least, not {classes}", where="endpoint")
    given = facts.get("outputs")
    known = {
        str(one.get("name")): one
        for one in (given if isinstance(given, list) else [])
        if isinstance(one, dict)
    }
    # A server may know classes that the data lacks, and may leave their number open.
    wide = {name: size for name, one in known.items() if (size := _width(one, classes)) >= classes}
    if wide and not labels:
        best = next((name for name in _SCORES if name in wide), next(iter(wide)))
        return best, True, wide[best]
    flat = [name for name in known if name not in wide]
    if not flat:
        raise DataError("no output of labels or scores", where="endpoint")
    return ("label" if "label" in flat else flat[0]), False, classes


def _width(one: dict[str, Any], classes: int) -> int:
    """How many classes an output has scores for; 0 if it holds none."""
    shape, kind = one.get("shape"), str(one.get("datatype", ""))
    # Some servers leave the type of an output open too.
    if kind not in {"FP32", "FP64", ""} or not isinstance(shape, list) or len(shape) != 2:
        return 0
    size = shape[1]
    return classes if size == -1 else size if isinstance(size, int) and size < _MAX_CLASSES else 0
