"""What a network that scores crops must do, and the two that torch computes."""

from typing import Protocol

import torch
from torch import Tensor

from ..model.modeling_caddm import CaddmForDeepfakeDetection, CaddmOutput
from .exported import OUTPUTS


class CropNetwork(Protocol):
    """What computes a network's answer on some runtime.

    Attributes:
        calls_at_once: how many calls may run side by side, each in a thread of its own. A
            runtime that spreads one call over all cores by itself says 1.
    """

    calls_at_once: int

    def __call__(self, pixel_values: Tensor) -> CaddmOutput:
        """The answer to a batch.

        Args:
            pixel_values: (B, 3, S, S) float32 on the CPU, as the image processor made them.

        Returns:
            `logits` (B, 2), `anchor_offsets` (B, 168, 4) and `anchor_logits` (B, 168, 2); the
            other fields may be left out.
        """


class TorchNetwork:
    """The model itself: channels-last, in half precision on a GPU.

    Args:
        model: moved to `device`, in eval mode.
        device: torch device.
    """

    def __init__(self, model: CaddmForDeepfakeDetection, device: torch.device):
        self.model = model.eval().to(device, memory_format=torch.channels_last)
        self.device = device
        self.calls_at_once = torch.get_num_threads() if device.type == "cpu" else 1

    def __call__(self, pixel_values: Tensor) -> CaddmOutput:
        """As `CropNetwork`."""
        values = pixel_values.to(
            self.device, self.model.dtype, memory_format=torch.channels_last, non_blocking=True
        )
        # Ampere and later compute bfloat16, which cannot overflow, as fast as float16.
        on_gpu = self.device.type == "cuda"
        half = torch.bfloat16 if on_gpu and torch.cuda.is_bf16_supported() else torch.float16
        with torch.autocast(self.device.type, half, enabled=on_gpu):
            return self.model(values)


class PreciseTorchNetwork:
    """The model itself in a precision of choice.

    Args:
        model: moved to `device`, in eval mode.
        device: torch device.
        dtype: in which convolutions are computed: float32, or bfloat16 or float16 by autocast.
    """

    def __init__(self, model: CaddmForDeepfakeDetection, device: torch.device, dtype: torch.dtype):
        self.model = model.eval().to(device, memory_format=torch.channels_last)
        self.device, self.dtype = device, dtype
        self.calls_at_once = torch.get_num_threads() if device.type == "cpu" else 1

    def __call__(self, pixel_values: Tensor) -> CaddmOutput:
        """As `CropNetwork`."""
        values = pixel_values.to(
            self.device, self.model.dtype, memory_format=torch.channels_last, non_blocking=True
        )
        half = self.dtype != torch.float32
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, self.dtype if half else None, enabled=half),
        ):
            output = self.model(values)
        return CaddmOutput(**{name: output[name].float() for name in OUTPUTS})
