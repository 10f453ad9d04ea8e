"""Small networks of the kinds that people publish, for tests of how models come in."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (3, 16, 16)
CLASSES = 4


class Residual(nn.Module):
    """Two convolutions, and a shortcut by a convolution where sizes change."""

    def __init__(self, inside: int, out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inside, out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
            nn.Conv2d(out, out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        short = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.short = nn.Identity() if inside == out else short

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.short(x), inplace=True)


class Dense(nn.Module):
    """Each block adds its outputs to all that came before."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(4 * n), nn.ReLU(), nn.Conv2d(4 * n, 4, 3, padding=1, bias=False)
            )
            for n in (1, 2)
        )
        self.last = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = torch.cat([x, block(x)], 1)
        out: Tensor = self.last(functional.avg_pool2d(x, x.shape[-1]).squeeze(3).squeeze(2))
        return out


class Excite(nn.Module):
    """Channels weighed by what all of them say."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weight = functional.adaptive_avg_pool2d(x, 1)
        return x * functional.hardsigmoid(self.up(functional.relu(self.down(weight))))


class Attention(nn.Module):
    """Attention over patches, with one token that stands for the whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.token = nn.Parameter(torch.full((1, 1, 8), 0.1))
        self.norm, self.query, self.mix = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)
        self.dense = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.last = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        n, many, wide = x.shape
        parts = self.query(self.norm(x)).reshape(n, many, 3, 2, wide // 2).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2])
        x = x + self.mix(seen.transpose(1, 2).reshape(n, many, wide))
        out: Tensor = self.last((x + self.dense(self.norm(x)))[:, 0])
        return out


class Normalised(nn.Module):
    """A network that brings its inputs to mean 0 and deviation 1 itself."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        scale = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
        self.register_buffer("mean", scale[0])
        self.register_buffer("std", scale[1])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net((x - self.mean) / self.std)
        return out


class Before(nn.Module):
    """A network behind a function of its inputs, with another of its outputs."""

    def __init__(
        self,
        net: nn.Module,
        before: Callable[[Tensor], Tensor] = lambda x: x,
        after: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> None:
        super().__init__()
        self.net, self.before, self.after = net, before, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.net(self.before(x)))


def _residual() -> nn.Module:
    pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES))
    stem = (nn.Conv2d(3, 4, 7, 2, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    return nn.Sequential(
        *stem, nn.MaxPool2d(3, 2, 1), Residual(4, 4, 1), Residual(4, 8, 2), *pooled
    )


def _vgg() -> nn.Module:
    convs = (nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    dense = (nn.Linear(64, 8), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(8, CLASSES))
    return nn.Sequential(*convs, nn.AdaptiveAvgPool2d(4), nn.Flatten(), *dense)


def _mobile() -> nn.Module:
    deep = (nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False), nn.BatchNorm2d(6), nn.ReLU6())
    last = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES))
    first = (nn.Conv2d(3, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6), nn.Hardswish())
    return nn.Sequential(*first, *deep, Excite(6), nn.Conv2d(6, 8, 1), nn.SiLU(), *last)


def _normed() -> nn.Module:
    groups = (nn.Conv2d(3, 4, 3, 2, 1), nn.GroupNorm(2, 4), nn.Mish())
    return nn.Sequential(*groups, nn.CELU(), nn.Flatten(), nn.Linear(256, CLASSES))


KINDS: dict[str, Callable[[], nn.Module]] = {
    "residual": _residual,
    "vgg": _vgg,
    "dense": Dense,
    "mobile": _mobile,
    "attention": Attention,
    "normalised": lambda: Normalised(_vgg()),
    "group-norm": _normed,
}


def net(kind: str) -> nn.Module:
    """The network of that kind, in evaluation mode, its statistics not those of a fresh one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = KINDS[kind]()
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                assert part.running_mean is not None
                assert part.running_var is not None
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 1.5)
    return module.eval()


def images(n: int = 5) -> Tensor:
    """Images ``(n, *SHAPE)`` in [0, 1]."""
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1))


def old_onnx(
    module: nn.Module, x: Tensor, *, opset: int = 17, fixed: bool = False, rows: int = 1
) -> bytes:
    """By torch's older exporter."""
    buffer: Any = io.BytesIO()
    free = None if fixed else {"input": {0: "n"}, "output": {0: "n"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (x[:rows],),
            buffer,
            dynamo=False,
            opset_version=opset,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes=free,
        )
    data: bytes = buffer.getvalue()
    return data
