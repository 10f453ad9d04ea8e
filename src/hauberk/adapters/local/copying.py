"""Copying one's own model: how many answers that takes, as what a watch holds clients to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hauberk.core.errors import UserError
from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.rule import find_rule
from hauberk.evaluate.extraction import COUNTS, Copy, Pool, copies, perceptron

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hauberk.adapters.local.shop import Shop

    Shown = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_HELD, _ASKED = 1000, 6400


def measured(
    shop: Shop, digest: str, shown: Shown, *, fidelity: float, seeds: int, steps: int
) -> list[Copy]:
    """Copies of the model ``digest``, made from samples of its data and the answers ``shown``.

    ``shown`` turns logits into what clients see. Asked about are samples of the validation and
    calibration splits first, then of those that it was trained on; held out is the test split.

    Raises:
        UserError: if there are too few samples.
    """
    data, rng = shop.data, np.random.default_rng(0)
    parts = [data.split(name) for name in ("validation", "calibration", "train")]
    asked = np.concatenate([part.x[rng.permutation(len(part))] for part in parts])[:_ASKED]
    held = data.split("test").x[:_HELD]
    if len(asked) < COUNTS[0] or not len(held):
        raise UserError(f"{len(asked)} samples are too few to copy the model with")
    session = shop.session(digest)

    def ask(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate([session(x[at : at + 512]) for at in range(0, len(x), 512)])

    return copies(
        Pool(x=asked, answers=shown(ask(asked)), held=held, labels=ask(held).argmax(1)),
        {
            "a perceptron": perceptron(data.shape, data.classes),
            "the same network": lambda seed: shop.fresh(seed=seed),
        },
        fidelity=fidelity,
        seeds=range(seeds),
        steps=steps,
    )


def evidence(found: list[Copy], digest: str, *, fidelity: float, answers: str) -> Evidence:
    """Evidence HB-E012: the fewest queries of all copies, None where none reached ``fidelity``."""
    rule = find_rule("HB-E012")
    needed = {f"{one.copyist}, seed {one.seed}": one.queries(fidelity) for one in found}
    known = [count for count in needed.values() if count is not None]
    least = min(known) if known else None
    most = max(one.points[-1][0] for one in found)
    said = f"after {least:.0f} queries" if least else f"not after {most} queries"
    return Evidence(
        rule=rule.code,
        subject=digest,
        verdict=Verdict.PASS if known else Verdict.UNKNOWN,
        severity=rule.severity,
        atlas=rule.atlas,
        value=least,
        message=f"a copy agrees on {fidelity:.0%} {said}, told {answers}",
        spec={
            "fidelity": fidelity,
            "answers": answers,
            "needed": needed,
            "curves": {f"{one.copyist}, seed {one.seed}": list(one.points) for one in found},
        },
    )
