"""The least time in which an attack's questions could be answered on this machine's one core.

The floor counts the multiplications of every forward and backward pass that our attack asked for
and divides them by the rate of a large matrix product in the same type, or of a large convolution
where that is higher: the library behind float32 products does not use all of every processor.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

import torch
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

from hauberk.attack.victim import Victim

if TYPE_CHECKING:
    from benchmarks.lab_models import Subject


def matmul_rates(size: int = 1024, times: int = 20) -> dict[str, float]:
    """Operations a second of a large product, the best of several, in each type."""
    found = {}
    for name, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        one = torch.randn(size, size).to(kind)
        spent = []
        for _ in range(times):
            start = time.process_time()
            _ = one @ one
            spent.append(time.process_time() - start)
        found[name] = 2 * size**3 / min(spent)
        found[name] = max(found[name], _convolution_rate(kind, times))
    return found


def _convolution_rate(kind: torch.dtype, times: int) -> float:
    batch, channels, side = 16, 128, 32
    image = torch.randn(batch, channels, side, side).to(kind)
    image = image.contiguous(memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3).to(kind)
    weight = weight.contiguous(memory_format=torch.channels_last)
    spent = []
    for _ in range(times):
        start = time.process_time()
        conv2d(image, weight, padding=1)
        spent.append(time.process_time() - start)
    return 2 * 9 * batch * channels**2 * side**2 / min(spent)


class Floor:
    """A block in which the questions of our attacks are counted."""

    def __init__(self, subject: Subject, rates: dict[str, float]) -> None:
        self._rates, self.seconds = rates, 0.0
        leaf = subject.x[:1].clone().requires_grad_()
        with FlopCounterMode(display=False) as there:
            out = subject.module(leaf)
        self._forward = there.get_total_flops()
        frozen = [one for one in subject.module.parameters() if one.requires_grad]
        for parameter in frozen:
            parameter.requires_grad = False
        out = subject.module(leaf)
        with FlopCounterMode(display=False) as back:
            torch.autograd.grad(out.sum(), leaf)
        self._backward = back.get_total_flops()
        for parameter in frozen:
            parameter.requires_grad = True

    def __enter__(self) -> Self:
        self._patches = [
            patch.object(Victim, "fan", self._counted(Victim.fan, slopes=True)),
            patch.object(Victim, "answer", self._counted(Victim.answer, slopes=False)),
        ]
        for one in self._patches:
            one.start()
        return self

    def __exit__(self, *exception: object) -> None:
        for one in self._patches:
            one.stop()

    def _counted(self, method: Any, *, slopes: bool) -> Any:
        def counted(victim: Victim, points: Any, *rest: Any) -> Any:
            found = method(victim, points, *rest)
            backward = self._backward * found[1].shape[1] if slopes else 0
            rate = self._rates["bfloat16" if victim.half else "float32"]
            self.seconds += len(points) * (self._forward + backward) / rate
            return found

        return counted
