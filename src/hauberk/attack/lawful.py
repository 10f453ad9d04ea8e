"""Points brought to where a row of a table may be, whatever an attack asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hauberk.core.errors import DataError
from hauberk.core.features import FINEST, Features, Relation

if TYPE_CHECKING:
    from torch import Tensor

    from hauberk.attack.ball import Ball

_ROUNDS = 6
_BONUS = 1e-4
_SLACK = 1e-6


@dataclass(frozen=True)
class Lawful:
    """The constraints of a threat, as an attack's points meet them: every one that is asked about.

    What an attack carries on with is its own point: it may wander between the steps of a grid
    until it is nearer to the next. Every row that comes out keeps all constraints and the ball; a
    part that cannot is put back to the clean value.
    """

    features: Features
    ball: Ball

    def check(self, clean: Tensor) -> None:
        """Refuse clean rows that do not keep the constraints themselves.

        Raises:
            DataError: naming the first such row and what it breaks.
        """
        if clean.ndim != 2 or clean.shape[1] != len(self.features):
            raise DataError(
                f"constraints on {len(self.features)} columns, inputs of shape "
                f"{tuple(clean.shape[1:])}"
            )
        rows = clean.detach().cpu().float().numpy()
        for kind, broken in self.features.violations(rows, rows).items():
            if broken.any():
                raise DataError(
                    f"row {int(broken.argmax())} breaks the constraint {kind!r} untouched",
                    hint="state what the data keeps, or leave such rows out",
                )

    def __call__(self, points: Tensor, clean: Tensor) -> Tensor:
        """Rows near ``points`` ``(batch, columns)`` that an attacker may make of ``clean``."""
        low, high = self._box(clean)
        found = points.clamp(low, high)
        for _ in range(_ROUNDS if self.features.relations else 0):
            for relation in self.features.relations:
                found = _onto(relation, found, low, high)
        found = self._grouped(found, points, clean, low, high)
        found = self._gridded(self._snapped(found, clean, low, high), clean, low, high)
        found = self._related(found, low, high)
        found = torch.where(self._between(found, clean)[0], clean, found)
        # A change that rounding made of nothing is none.
        found = torch.where((found - clean).abs() <= _SLACK * clean.abs(), clean, found)
        if self.ball.norm != "linf":
            found = self._within(found, points, clean)
        return self._kept(found, clean)

    def _row(self, values: tuple[float, ...], like: Tensor) -> Tensor:
        return like.new_tensor(values)

    def _box(self, clean: Tensor) -> tuple[Tensor, Tensor]:
        """The lowest and highest value of each column of each row; the clean one is between."""
        laws, bounds = self.features, self.ball.bounds
        reach = self._row(laws.reach, clean)
        if self.ball.norm == "linf":
            reach = reach.clamp_max(self.ball.eps)
        reach = reach * torch.tensor(laws.mutable, device=clean.device)
        reach = torch.where(reach.isnan(), 0.0, reach)
        way = torch.tensor(laws.monotone, device=clean.device)
        low = torch.maximum(clean - reach, self._row(laws.low, clean)).clamp_min(bounds.low)
        high = torch.minimum(clean + reach, self._row(laws.high, clean)).clamp_max(bounds.high)
        low = torch.where(way > 0, clean, torch.minimum(low, clean))
        high = torch.where(way < 0, clean, torch.maximum(high, clean))
        return low, high

    def _between(self, found: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Which values lie between a clean one out of its range and the range; its near end."""
        least, most = self._row(self.features.low, clean), self._row(self.features.high, clean)
        end = torch.maximum(torch.minimum(clean, most), least)
        return (found != clean) & ((found < least) | (found > most)), end

    def _snapped(self, found: Tensor, clean: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """What lies there goes to the nearer of the two that is in reach."""
        between, end = self._between(found, clean)
        nearer = (found - end).abs() < (found - clean).abs()
        nearer = nearer & (end >= low) & (end <= high)
        return torch.where(between, torch.where(nearer, end, clean), found)

    def _grouped(
        self, found: Tensor, points: Tensor, clean: Tensor, low: Tensor, high: Tensor
    ) -> Tensor:
        """Each group with a 1 where the point is highest, if both columns may move that far."""
        if self.features.groups:
            found = found.clone()
        for group in self.features.groups:
            columns = list(group)
            now = clean[:, columns]
            free = (low[:, columns] <= 0) | (now == 0)
            # The present value can be left only if it may fall to 0.
            leave = free.all(1, keepdim=True)
            may = ((high[:, columns] >= 1) & leave) | (now == 1)
            wish = points[:, columns] + _BONUS * (points[:, columns] > now)
            winner = wish.where(may, float("-inf")).argmax(1, keepdim=True)
            # What is no category cannot be told from another: it is left as it is.
            known = (now.sum(1, keepdim=True) == 1) & ((now == 0) | (now == 1)).all(1, keepdim=True)
            chosen = torch.zeros_like(now).scatter(1, winner, 1.0)
            found[:, columns] = torch.where(known, chosen, now)
        return found

    def _steps(self, like: Tensor) -> tuple[Tensor, Tensor]:
        step = self._row(self.features.step, like).double()
        gridded = step >= FINEST
        return gridded, torch.where(gridded, step, 1.0)

    def _gridded(self, found: Tensor, clean: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """The nearest value of the grid in the box, else the clean one."""
        gridded, step = self._steps(found)
        if not bool(gridded.any()):
            return found
        first = (low.double() / step - 1e-2).ceil()
        last = (high.double() / step + 1e-2).floor()
        place = (found.double() / step).round()
        place = torch.maximum(torch.minimum(place, last), first)
        value = (place * step).to(found)
        stays = (first > last) | ((value - clean).abs() < step / 2)
        return torch.where(gridded, torch.where(stays, clean, value), found)

    def _related(self, found: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Where rounding broke a relation, values of the grid step once more, the safe way."""
        gridded, step = self._steps(found)
        for relation in self.features.relations:
            over, under = _broken(relation, found)
            if not bool((over | under).any()):
                continue
            for column, weight in zip(relation.columns, relation.weights, strict=True):
                if not bool(gridded[column]) or weight == 0:
                    continue
                down = over if weight > 0 else under
                up = under if weight > 0 else over
                grain = float(step[column])
                moved = found[:, column].double() + grain * (up.double() - down.double())
                fits = (moved >= low[:, column] - _SLACK) & (moved <= high[:, column] + _SLACK)
                found = found.clone()
                moved = (moved / grain).round() * grain
                found[:, column] = torch.where(fits, moved.to(found), found[:, column])
                over, under = _broken(relation, found)
        return found

    def _within(self, found: Tensor, points: Tensor, clean: Tensor) -> Tensor:
        """The changes most wished for that fit into the ball together; the rest is put back."""
        change = found - clean
        norm, eps = self.ball.norm, self.ball.eps
        if norm == "l0":
            cost, budget = (change != 0).to(change), int(eps) + 0.5
        elif norm == "l1":
            cost, budget = change.abs(), eps
        else:
            cost, budget = change.square(), eps**2
        unit, many = self._units(found)
        wish = torch.zeros(len(found), many, device=found.device, dtype=found.dtype)
        price = wish.clone()
        wish.index_add_(1, unit, (points - clean).abs() * (change != 0))
        price.index_add_(1, unit, cost)
        order = wish.argsort(dim=1, descending=True, stable=True)
        spent = price.gather(1, order).cumsum(1)
        fits = torch.zeros_like(wish, dtype=torch.bool)
        fits.scatter_(1, order, spent <= budget * (1 - _SLACK) + 1e-9)
        return torch.where(fits[:, unit], found, clean)

    def _units(self, like: Tensor) -> tuple[Tensor, int]:
        """Which columns change together: those of a group; each other one alone."""
        unit = torch.arange(like.shape[1], device=like.device)
        for group in self.features.groups:
            unit[list(group)] = group[0]
        return unit, like.shape[1]

    def _kept(self, found: Tensor, clean: Tensor) -> Tensor:
        """Relations that are still broken get the clean values of their columns back."""
        unit, _ = self._units(found)
        back = torch.zeros_like(found, dtype=torch.bool)
        for _ in range(len(self.features.relations) + 1):
            now = torch.where(back, clean, found)
            more = False
            for relation in self.features.relations:
                over, under = _broken(relation, now)
                broken = over | under
                if not bool(broken.any()):
                    continue
                more = True
                touched = torch.isin(unit, unit[list(relation.columns)])
                back = back | (broken[:, None] & touched[None, :])
            if not more:
                return now
        # Every relation was put back, one after the other: nothing but the clean row is left.
        return torch.where(back.any(1, keepdim=True), clean, found)


def _sums(relation: Relation, rows: Tensor) -> Tensor:
    weights = rows.new_tensor(relation.weights, dtype=torch.float64)
    return rows[:, list(relation.columns)].double() @ weights


def _broken(relation: Relation, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Whether the sum of each row is too high, and whether it is too low."""
    total, slack = _sums(relation, rows), relation.slack / 2
    return total > relation.most + slack, total < relation.least - slack


def _onto(relation: Relation, rows: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Rows moved along the weights until the relation holds, by columns that may still move."""
    columns = list(relation.columns)
    total = _sums(relation, rows)
    gap = (relation.most - total).clamp_max(0.0) + (relation.least - total).clamp_min(0.0)
    weights = rows.new_tensor(relation.weights)[None, :]
    moves = (high - low)[:, columns] > 0
    norm = (weights.square() * moves).sum(1, keepdim=True).clamp_min(1e-12)
    rows = rows.clone()
    moved = rows[:, columns] + weights * moves * (gap[:, None] / norm).to(rows)
    rows[:, columns] = moved.clamp(low[:, columns], high[:, columns])
    return rows
