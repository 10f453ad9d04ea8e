"""What a race of hardenings has found so far, as bytes that it can go on from."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from hauberk.core.digest import canonical_json
from hauberk.core.errors import UserError
from hauberk.harden.selection import Score

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

_KEY = "race"
_HINT = "start the training anew"


@dataclass(frozen=True, kw_only=True)
class Heat:
    """One candidate trained once: on how much, for how long, and how it was judged.

    ``seconds`` is all that passed since the heat before; a ``sample`` of an epoch, a ``measuring``
    of the weights and the last ``judging`` took that much of it.
    """

    names: str
    rows: int
    epochs: int
    seconds: float
    sample: float
    measuring: float
    judging: float
    clean: float
    robust: float


@dataclass
class Log:
    """The heats in their order, the best weights, and the heat under way.

    ``plan`` is what was decided for the heat under way, ``inner`` its last checkpoint; ``spent``
    are the seconds of the race up to that. A resumed race asks for the heats that it has run before
    by :meth:`next`.
    """

    facts: Mapping[str, Any]
    heats: list[Heat] = field(default_factory=list)
    kept: dict[str, Tensor] = field(default_factory=dict)
    score: Score | None = None
    plan: dict[str, Any] | None = None
    inner: bytes | None = None
    spent: float = 0.0
    asked: int = 0

    def next(self) -> Heat | None:
        """The next heat that was run already; None if it is still to run."""
        if self.asked >= len(self.heats):
            return None
        self.asked += 1
        return self.heats[self.asked - 1]

    def add(self, heat: Heat, trained: nn.Module, score: Score, floor: float) -> None:
        """Enter a heat that has just ended."""
        self.heats.append(heat)
        self.asked, self.plan, self.inner = len(self.heats), None, None
        if self.score is None or score.beats(self.score, floor):
            self.score = score
            self.kept = {k: v.detach().clone() for k, v in trained.state_dict().items()}

    def best(self, module: nn.Module) -> nn.Module:
        """A copy of ``module`` with the best weights of the race."""
        module = deepcopy(module)
        module.load_state_dict(self.kept)
        return module.eval()

    def packed(self) -> bytes:
        """The log as one safetensors file."""
        tensors = {f"kept.{name}": value.contiguous() for name, value in self.kept.items()}
        if self.inner is not None:
            tensors["inner"] = torch.from_numpy(np.frombuffer(self.inner, dtype=np.uint8).copy())
        facts = {
            "facts": dict(self.facts),
            "heats": [asdict(heat) for heat in self.heats],
            "score": self.score and asdict(self.score),
            "plan": self.plan,
            "spent": self.spent,
        }
        return save(tensors, metadata={_KEY: canonical_json(facts).decode()})

    @classmethod
    def resumed(cls, data: bytes | None, facts: Mapping[str, Any], module: nn.Module) -> Log:
        """The log in ``data``, or an empty one.

        Raises:
            UserError: if the bytes are damaged or of another race.
        """
        if data is None:
            return cls(facts=facts)
        try:
            tensors = load(data)
            length = int.from_bytes(data[:8], "little")
            found = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_KEY])
            same = found["facts"] == json.loads(canonical_json(dict(facts)))
            kept = {
                name.removeprefix("kept."): value
                for name, value in tensors.items()
                if name.startswith("kept.")
            }
            if kept:
                deepcopy(module).load_state_dict(kept)
            log = cls(
                facts=facts,
                heats=[Heat(**one) for one in found["heats"]],
                kept=kept,
                score=Score(**found["score"]) if found["score"] else None,
                plan=found["plan"],
                inner=tensors["inner"].numpy().tobytes() if "inner" in tensors else None,
                spent=float(found["spent"]),
            )
        except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
            raise UserError(
                f"cannot be resumed: {reason}", where="checkpoint", hint=_HINT
            ) from None
        if not same:
            raise UserError("belongs to another race", where="checkpoint", hint=_HINT)
        return log
