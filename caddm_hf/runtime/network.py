"""What a network that scores crops must do, and the one that torch computes."""

from typing import Protocol

import torch
from torch import Tensor

from ..model.modeling_caddm import CaddmForDeepfakeDetection, CaddmOutput
from .names import TORCH_PRECISIONS

DTYPES = dict(zip(TORCH_PRECISIONS, (torch.float32, torch.bfloat16, torch.float16), strict=True))


class CropNetwork(Protocol):
    """What computes a network's answer on some runtime.

    Attributes:
        backend: what computes: one of `BACKENDS` that names a runtime and a precision.
        calls_at_once: how many calls may run side by side, each in a thread of its own. A
            runtime that spreads one call over all cores by itself returns 1.
    """

    backend: str
    calls_at_once: int

    def __call__(self, pixel_values: Tensor) -> CaddmOutput:
        """Compute the answer to a batch.

        Args:
            pixel_values: (B, 3, S, S) float32 on the CPU, as the image processor made them.

        Returns:
            `logits` (B, 2), `anchor_offsets` (B, 168, 4) and `anchor_logits` (B, 168, 2); the
            other fields may be left out.
        """


def serving_dtype(device: torch.device) -> torch.dtype:
    """Return the precision in which torch serves: float32 on a CPU, half precision on a GPU."""
    if device.type != "cuda":
        return torch.float32
    # Ampere and later compute bfloat16, which cannot overflow, as fast as float16.
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


class TorchNetwork:
    """The model itself, channels-last.

    Args:
        model: moved to `device`, in eval mode.
        device: torch device.
        dtype: precision of the convolutions: float32, or bfloat16 or float16 by autocast; by
            default the one that serves on the device.
    """

    def __init__(
        self,
        model: CaddmForDeepfakeDetection,
        device: torch.device,
        dtype: torch.dtype | None = None,
    ):
        self.model = model.eval().to(device, memory_format=torch.channels_last)
        self.device = device
        self.dtype = serving_dtype(device) if dtype is None else dtype
        self.backend = next(name for name, known in DTYPES.items() if known == self.dtype)
        self.calls_at_once = torch.get_num_threads() if device.type == "cpu" else 1

    @torch.inference_mode()
    def __call__(self, pixel_values: Tensor) -> CaddmOutput:
        """As `CropNetwork`; all fields of the output are float32."""
        values = pixel_values.to(
            self.device, self.model.dtype, memory_format=torch.channels_last, non_blocking=True
        )
        half = self.dtype != torch.float32
        with torch.autocast(self.device.type, self.dtype if half else None, enabled=half):
            output = self.model(values)
        return CaddmOutput(**{name: tensor.float() for name, tensor in output.items()})


@torch.inference_mode()
def answer_filled(network: CropNetwork, pixel_values: Tensor, size: int) -> CaddmOutput:
    """Compute the answer to a batch that is filled up with zeros.

    Convolution kernels may be chosen by the size of a batch. A crop that is always computed in a
    batch of one size has a score that does not depend on how many crops there are.

    Args:
        network: what computes.
        pixel_values: (B, 3, S, S) with B <= `size`.
        size: of the batch that the network gets.

    Returns:
        the answer to the B crops.
    """
    given = len(pixel_values)
    if given < size:
        filling = pixel_values.new_zeros(size - given, *pixel_values.shape[1:])
        pixel_values = torch.cat([pixel_values, filling])
    output = network(pixel_values)
    return CaddmOutput(**{name: tensor[:given] for name, tensor in output.items()})
