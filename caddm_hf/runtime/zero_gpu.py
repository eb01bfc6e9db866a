"""The network on a Space with ZeroGPU: a GPU that is lent for the seconds of each call.

Such a Space gives the GPU to functions of the page's own process that the package `spaces` (there
on every Space) has wrapped; faces are searched on the CPU meanwhile.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..model.modeling_caddm import CaddmForDeepfakeDetection, CaddmOutput
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

        def forward(pixel_values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            with torch.inference_mode():
                output = network(pixel_values)
            # What goes back to the page's process must not be on the GPU it no longer has.
            return tuple(
                part.float().cpu()
                for part in (output.logits, output.anchor_offsets, output.anchor_logits)
            )

        self._forward = lend(duration=LONGEST_CALL_S)(forward)

    def __call__(self, pixel_values: Tensor) -> CaddmOutput:
        """As `CropNetwork`."""
        logits, anchor_offsets, anchor_logits = self._forward(pixel_values)
        return CaddmOutput(
            logits=logits, anchor_offsets=anchor_offsets, anchor_logits=anchor_logits
        )
