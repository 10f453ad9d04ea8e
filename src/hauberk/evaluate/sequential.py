"""Shards of one evaluation: put together again, and no more of them than the figure needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.errors import DataError, UserError
from hauberk.core.interval import wilson
from hauberk.core.sharding import cut
from hauberk.evaluate.result import Found
from hauberk.evaluate.robustness import EXAMPLES, evaluate
from hauberk.evaluate.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hauberk.attack.attack import Attack
    from hauberk.core.data import Dataset
    from hauberk.core.model import Model
    from hauberk.core.ports import Shard
    from hauberk.core.threat import ThreatModel
    from hauberk.evaluate.result import AttackResult, Robustness


_FINDS = ("image", "rows")


@dataclass(frozen=True, kw_only=True)
class Stop:
    """When enough is known: ``width`` of the interval, ``budget`` in seconds; None is no bound.

    ``width`` is the half width of the 95 % interval of robust accuracy at the threat's own eps.
    Samples come ``shard`` at a time; at least one shard is evaluated, and never a part of one.

    Raises:
        UserError: if a number is out of range.
    """

    width: float | None = None
    budget: float | None = None
    shard: int = 256

    def __post_init__(self) -> None:
        if self.width is not None and not 0 < self.width < 1:
            raise UserError(f"the width must lie in (0, 1), not {self.width}")
        if self.budget is not None and not self.budget > 0:
            raise UserError(f"the budget must be above 0 s, not {self.budget}")
        if self.shard < 1:
            raise UserError(f"a shard needs at least one sample, not {self.shard}")


def evaluate_until(
    model: Model,
    data: Dataset,
    threat: ThreatModel,
    *,
    attacks: Mapping[str, Attack],
    stop: Stop,
    eps: Sequence[float] | None = None,
    seed: int = 0,
    run: Run | None = None,
) -> tuple[Robustness, int]:
    """Evaluate shard by shard until ``stop``; the result, and how many samples were left out.

    The order is that of the data, which should be a random one. A budget stops before a shard that
    would end beyond it if it took as long as the longest so far. Stopping at a width looks at the
    figure once a shard, so that the interval holds a little less often than 95 times in 100.

    Raises:
        UserError: as :func:`hauberk.evaluate.robustness.evaluate`; or a budget without a clock.
    """
    lent = run or Run()

    def shards() -> Iterator[tuple[Shard, Robustness]]:
        for shard in cut(len(data), stop.shard):
            part = replace(lent, rows=(shard.start, shard.stop), progress=None)
            yield (
                shard,
                evaluate(model, data, threat, attacks=attacks, eps=eps, seed=seed, run=part),
            )

    found, left_out = gather(shards(), len(data), stop=stop, run=lent)
    return (found if left_out else replace(found, name=data.name)), left_out


def gather(
    shards: Iterator[tuple[Shard, Robustness]], total: int, *, stop: Stop, run: Run
) -> tuple[Robustness, int]:
    """Put shards together as they end, until ``stop``; the result, and how many samples lack.

    They may come in any order and from any engine: those after the first gap wait, and are left
    out if it is never filled, so that the result is always the first samples of the data.

    Raises:
        UserError: if there is a budget but no clock.
        DataError: if no shard came, or they are not of one evaluation.
    """
    if stop.budget is not None and run.clock is None:
        raise UserError("a budget of time needs a clock")
    early: dict[int, Robustness] = {}
    parts: list[Robustness] = []
    end = 0
    began, longest = run.now(), 0.0
    since = began
    for shard, result in shards:
        early[shard.start] = result
        while end in early:
            part = early.pop(end)
            end += part.n
            shown = sum(len(one.examples) for one in parts)
            parts.append(part if shown < EXAMPLES else replace(part, examples=()))
        if run.progress is not None:
            run.progress(end + sum(one.n for one in early.values()), total)
        longest, since = max(longest, run.now() - since), run.now()
        late = stop.budget is not None and since - began + longest > stop.budget
        if parts and (late or _narrow(parts, stop.width)):
            break
    found = merge(parts)
    return found, total - found.n


def merge(parts: Sequence[Robustness]) -> Robustness:
    """Shards of one evaluation, in order, as one result.

    Raises:
        DataError: if there is none, or they are not of one evaluation.
    """
    if not parts:
        raise DataError("no shard to put together")
    first = parts[0]
    alike = (first.dataset, first.threat, first.seed, first.eps)
    names = [(one.name, one.parameters) for one in first.attacks]
    for part in parts[1:]:
        same = (part.dataset, part.threat, part.seed, part.eps) == alike
        if not same or [(one.name, one.parameters) for one in part.attacks] != names:
            raise DataError("the shards are not of one evaluation")
    examples = [example for part in parts for example in part.examples]
    base, _, _ = first.name.partition("[")
    total = sum(part.n for part in parts)
    return replace(
        first,
        name=first.name if len(parts) == 1 else f"{base}[0:{total}]",
        clean=np.concatenate([part.clean for part in parts]),
        attacks=tuple(_joined([part.attacks[k] for part in parts]) for k in range(len(names))),
        gradient=_sum([part.gradient for part in parts]),
        probes=_sum([part.probes for part in parts]),
        examples=tuple(examples[:EXAMPLES]),
        found=_put_together([part.found for part in parts]),
    )


def _joined(parts: Sequence[AttackResult]) -> AttackResult:
    return replace(
        parts[0],
        correct=np.concatenate([part.correct for part in parts], axis=1),
        alone=np.concatenate([part.alone for part in parts], axis=1),
        seconds=sum(part.seconds for part in parts),
    )


def _put_together(parts: Sequence[tuple[Found, ...]]) -> tuple[Found, ...]:
    """The finds of all parts."""
    kinds = dict.fromkeys((one.attack, one.eps) for part in parts for one in part)
    whole = []
    for attack, eps in kinds:
        mine = [one for part in parts for one in part if (one.attack, one.eps) == (attack, eps)]
        image, rows = (np.concatenate([getattr(one, key) for one in mine]) for key in _FINDS)
        whole.append(Found(attack=attack, eps=eps, image=image, rows=rows))
    return tuple(whole)


def _sum(parts: Sequence[Any]) -> Any:
    known = [part for part in parts if part is not None]
    return sum(known[1:], known[0]) if known else None


def _narrow(parts: Sequence[Robustness], width: float | None) -> bool:
    if width is None:
        return False
    right = sum(int(part.worst(part.threat.eps).sum()) for part in parts)
    low, high = wilson(right, sum(part.n for part in parts))
    return (high - low) / 2 <= width
