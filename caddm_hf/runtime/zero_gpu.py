"""The network on a Space with ZeroGPU: a GPU that is lent for the seconds of each call.

Such a Space gives the GPU to functions of the page's own process that the package `spaces` (there
on every Space) has wrapped; faces are searched on the CPU meanwhile.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..model.modeling_caddm import CaddmForDeepfakeDetection, CaddmOutput
from .exported import OUTPUTS
from .network import TorchNetwork

LONGEST_CALL_S = 30  # asked for; visitors' quotas are charged what a call takes


class ZeroGpuNetwork:
    """A `CropNetwork` whose every call borrows the GPU.

    Args:
        model: what answers; it is moved to the GPU.
        lend: `spaces.GPU`.
        device: torch device.
    """

    calls_at_once = 1

    def __init__(
        self,
        model: CaddmForDeepfakeDetection,
        lend: Callable,
        device: torch.device | str = "cuda",
    ):
        network = TorchNetwork(model, torch.device(device))
        self.backend = network.backend

        def forward(pixel_values: Tensor) -> tuple[Tensor, ...]:
            output = network(pixel_values)
            # The answer must not be on the GPU, which the page's process no longer has then.
            return tuple(output[name].cpu() for name in OUTPUTS)

        self._forward = lend(duration=LONGEST_CALL_S)(forward)

    def __call__(self, pixel_values: Tensor) -> CaddmOutput:
        """As `CropNetwork`."""
        return CaddmOutput(**dict(zip(OUTPUTS, self._forward(pixel_values), strict=True)))
