"""Grad-CAM: where the last convolution saw what speaks for a class (Selvaraju et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from captum.attr import LayerAttribution, LayerGradCam
from torch import nn

from hauberk.core.errors import UserError
from hauberk.explain.attribution import Attribution, as_array

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class GradCam:
    """Channels of the last convolution weighed by their mean gradient, enlarged to the input."""

    def __call__(self, module: nn.Module, x: Tensor, target: int, /, *, seed: int) -> Attribution:
        """See :class:`hauberk.explain.attribution.Explainer`.

        Raises:
            UserError: if the model has no convolution.
        """
        del seed
        layers = [one for one in module.modules() if isinstance(one, nn.Conv2d)]
        if not layers:
            raise UserError("grad-cam needs a convolution", hint="another method")
        coarse = LayerGradCam(module, layers[-1]).attribute(x.detach().clone(), target=target)
        fine = LayerAttribution.interpolate(coarse, tuple(x.shape[2:]), interpolate_mode="bilinear")
        return Attribution(method="grad-cam", target=target, values=as_array(fine, x))
