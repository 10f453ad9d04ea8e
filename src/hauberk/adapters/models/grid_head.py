"""Boxes and scores of detectors that answer with one box per cell of a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from hauberk.core.errors import ModelFormatError

if TYPE_CHECKING:
    from collections.abc import Sequence


class GridHead(nn.Module):
    """A detector of the FastestDet family, from images of any size to boxes in their pixels.

    ``body`` takes images of ``side`` ``(height, width)`` and answers ``(batch, 5 + classes, rows,
    columns)``: for each cell how sure it is of an object, where its middle lies and how large it
    is, and a share per class. The score is that certainty to the power of 0.6 times the share to
    the power of 0.4; the middle is off the cell's corner by tanh; sizes are shares of the image by
    a sigmoid. Images are RGB in [0, 1]; ``bgr`` says that the body was trained on the other order.

    Output ``(batch, rows * columns, 4 + classes)``: left, top, right, bottom and scores, as
    :class:`hauberk.core.detection.Detection` reads them.
    """

    def __init__(self, body: nn.Module, *, side: Sequence[int], bgr: bool = True) -> None:
        super().__init__()
        self.body, self.side, self.bgr = body, tuple(side), bgr

    def forward(self, x: Tensor) -> Tensor:
        """Boxes and scores of images ``(batch, 3, height, width)``."""
        height, width = x.shape[-2:]
        seen = x.flip(1) if self.bgr else x
        if (height, width) != self.side:
            seen = interpolate(seen, self.side, mode="bilinear", align_corners=False)
        head = self.body(seen)
        if head.ndim != 4 or head.shape[1] < 6:
            raise ModelFormatError(f"a head of shape {tuple(head.shape)}, not of cells of a grid")
        rows, columns = head.shape[-2:]
        down = torch.arange(rows, device=x.device, dtype=head.dtype)[:, None]
        across = torch.arange(columns, device=x.device, dtype=head.dtype)[None, :]
        middle_x = (across + head[:, 1].tanh()) / columns * width
        middle_y = (down + head[:, 2].tanh()) / rows * height
        half_x, half_y = head[:, 3].sigmoid() * width / 2, head[:, 4].sigmoid() * height / 2
        box = torch.stack(
            [middle_x - half_x, middle_y - half_y, middle_x + half_x, middle_y + half_y], 1
        )
        # A power of 0.6 has no slope at 0.
        sure = head[:, :1].clamp_min(1e-12) ** 0.6
        score = sure * head[:, 5:].clamp_min(1e-12) ** 0.4
        return torch.cat([box, score], 1).flatten(2).transpose(1, 2)
