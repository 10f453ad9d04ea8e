"""``python:PLACE:NAME@WEIGHTS``: a model that a function of the user's own makes.

The code is the user's, named on the user's own command line. The weights are safetensors alone.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import nn

from hauberk.adapters.models.called import CalledModel
from hauberk.adapters.models.formats import Format, require
from hauberk.adapters.models.session import read_model
from hauberk.adapters.models.torch_model import TorchModel
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import ConfigError, HauberkError, ModelFormatError
from hauberk.core.model import Model

if TYPE_CHECKING:
    from types import ModuleType

_FORM = "python:FILE.py:NAME@WEIGHTS.safetensors"


def load(argument: str) -> Model:
    """What ``NAME`` in a file or module makes when it is called without arguments.

    A torch module becomes a model with gradients, its weights filled from ``WEIGHTS`` if they are
    named; a softmax or sigmoid layer at the end of a sequence is left out. A classifier of
    scikit-learn's form becomes one with scores; a model stays what it is.

    Raises:
        ConfigError: if there is no such code, or it makes something else.
        ModelFormatError: if the weights are damaged, no safetensors, or do not fit.
    """
    place, _, weights = argument.partition("@")
    source, _, name = place.rpartition(":")
    if not source or not name:
        raise ConfigError(f"no model is named by {argument!r}", hint=_FORM)
    made = _made(_imported(source), name, place)
    if isinstance(made, nn.Module):
        if weights:
            _fill(made, Path(weights))
        return TorchModel(_without_end(made).eval())
    if weights:
        raise ConfigError(f"{name!r} makes no torch module that weights could fill", where=place)
    if hasattr(made, "predict_proba"):
        labels = np.asarray(getattr(made, "classes_", []))
        if len(labels) < 2 or not np.array_equal(labels, np.arange(len(labels))):
            raise ConfigError("its classes are not 0, 1, 2, …", where=place)
        return CalledModel(function=made.predict_proba, classes=len(labels))
    if isinstance(made, Model):
        return made
    raise ConfigError(
        f"{name!r} makes {type(made).__name__}, not a model",
        where=place,
        hint="a torch module, a classifier with predict_proba, or a model of hauberk",
    )


def _imported(source: str) -> ModuleType:
    try:
        if not source.endswith(".py"):
            return import_module(source)
        path = Path(source).absolute()
        if not path.is_file():
            raise ConfigError("no such file", where=source, hint=_FORM)
        # By its content: two files of one name are two modules, and one is imported once.
        name = f"hauberk_python_{digest_bytes(str(path).encode() + path.read_bytes())[7:23]}"
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    except HauberkError:
        raise
    except Exception as error:  # the user's code may fail in any way
        raise ConfigError(f"cannot be imported: {_told(error)}", where=source) from None
    return module


def _made(module: ModuleType, name: str, place: str) -> Any:
    found = getattr(module, name, None)
    if found is None:
        raise ConfigError(f"there is no {name!r} in it", where=place)
    if not callable(found) or isinstance(found, nn.Module):
        return found
    if isinstance(found, Model) and not isinstance(found, type):
        return found
    try:
        return found()
    except HauberkError:
        raise
    except Exception as error:  # the user's code may fail in any way
        raise ConfigError(f"fails: {_told(error)}", where=place) from None


def _fill(module: nn.Module, path: Path) -> None:
    data, where = read_model(path)
    require(data, Format.SAFETENSORS, where=where)
    try:
        tensors = load_tensors(data)
        # Files of training on several devices put a word before each name.
        if all(name.startswith("module.") for name in tensors):
            tensors = {name.removeprefix("module."): one for name, one in tensors.items()}
        module.load_state_dict(tensors)
    except (SafetensorError, RuntimeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        told = " ".join(lines[:2])[:200]
        raise ModelFormatError(f"the weights do not fit: {told}", where=where) from None


def _without_end(module: nn.Module) -> nn.Module:
    """The module without a last layer that only turns logits into probabilities."""
    if isinstance(module, nn.Sequential) and len(module) > 1:
        return module[:-1] if isinstance(module[-1], nn.Softmax | nn.Sigmoid) else module
    return module


def _told(error: Exception) -> str:
    text = str(error).splitlines()[0][:160] if str(error) else ""
    return f"{type(error).__name__}: {text}"
