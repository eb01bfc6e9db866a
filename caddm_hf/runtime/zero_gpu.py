"""The network on a Space with ZeroGPU, which lends a GPU for the duration of each call.

On such a Space only functions wrapped by the package `spaces` (installed on every Space), called
in the page's own process, have a GPU. Face search runs on the CPU.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..model.modeling_caddm import CaddmForDeepfakeDetection, CaddmOutput
from .exported import OUTPUTS
from .network import TorchNetwork

LONGEST_CALL_S = 30  # requested limit; visitors' quotas are charged the actual time


class ZeroGpuNetwork:
    """A `CropNetwork` that borrows the GPU in each call.

    Args:
        model: moved to the GPU.
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
            # Move the output to the CPU: after the call the process has no GPU.
            return tuple(output[name].cpu() for name in OUTPUTS)

        self._forward = lend(duration=LONGEST_CALL_S)(forward)

    def __call__(self, pixel_values: Tensor) -> CaddmOutput:
        """As `CropNetwork`."""
        return CaddmOutput(**dict(zip(OUTPUTS, self._forward(pixel_values), strict=True)))
