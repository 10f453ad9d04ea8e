"""What an attack is: a model, a batch and a threat to points within the ball."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from hauberk.core.data import Batch
    from hauberk.core.model import Access, Model
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel


@runtime_checkable
class Attack(Protocol):
    """A frozen dataclass whose fields are its hyperparameters; an ensemble is an Attack too.

    ``hauberk.testing.attack_checks`` holds what every attack must fulfil.
    """

    @property
    def needs(self) -> Access:
        """The least access to the model with which the attack works."""

    def __call__(
        self,
        model: Model,
        batch: Batch,
        threat: ThreatModel,
        /,
        *,
        task: Task,
        rng: np.random.Generator,
    ) -> Tensor:
        """Points ``(batch, ...)`` within the ball around ``batch.x`` and within the bounds.

        A sample for which no adversarial point was found gets the point of highest loss that was
        seen. ``rng`` is asked for one number; the rest follows from it and ``batch.index``.

        Raises:
            UserError: if the model gives less than ``needs``, or the norm is not supported.
        """


@runtime_checkable
class Fits(Protocol):
    """An attack that is made ready on other samples before it is run: a universal one, say."""

    def fit(
        self,
        model: Model,
        batch: Batch,
        threat: ThreatModel,
        /,
        *,
        task: Task,
        rng: np.random.Generator,
    ) -> Attack:
        """The attack with what it learned from ``batch``, which holds no sample it is judged on.

        Raises:
            UserError: if the model gives no gradient, or the norm is not supported.
        """


def describe(attack: Attack) -> dict[str, Any]:
    """An attack's class and hyperparameters as plain JSON values, for the spec of evidence."""
    described = _plain(attack)
    return described if isinstance(described, dict) else {"attack": str(described)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        own = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {"attack": type(value).__name__, **own}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return type(value).__name__
