"""The interface of a network that scores crops, and its implementation in torch."""

from typing import Protocol

import torch
from torch import Tensor

from ..model.modeling_caddm import CaddmForDeepfakeDetection, CaddmOutput
from .names import TORCH_PRECISIONS

DTYPES = dict(zip(TORCH_PRECISIONS, (torch.float32, torch.bfloat16, torch.float16), strict=True))


class CropNetwork(Protocol):
    """A network in some runtime.

    Attributes:
        backend: the one of `BACKENDS` that names the runtime and precision.
        calls_at_once: how many calls to run concurrently, each in its own thread; 1 if the
            runtime already uses all cores for one call.
    """

    backend: str
    calls_at_once: int

    def __call__(self, pixel_values: Tensor) -> CaddmOutput:
        """Compute the output for a batch.

        Args:
            pixel_values: (B, 3, S, S) float32 on the CPU, from the image processor.

        Returns:
            `logits` (B, 2), `anchor_offsets` (B, 168, 4) and `anchor_logits` (B, 168, 2); the
            other fields are optional.
        """


def serving_dtype(device: torch.device) -> torch.dtype:
    """Return torch's precision for serving: float32 on a CPU, half precision on a GPU."""
    if device.type != "cuda":
        return torch.float32
    # On Ampere and later, bfloat16 is as fast as float16, and does not overflow.
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


class TorchNetwork:
    """The model itself, channels-last.

    Args:
        model: moved to `device`, in eval mode.
        device: torch device.
        dtype: precision of the convolutions: float32, or bfloat16 or float16 by autocast; by
            default `serving_dtype`.
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
    """Compute the output for a batch padded with zeros.

    The choice of convolution kernels can depend on the batch size. With a fixed batch size, a
    crop's score does not depend on the number of other crops.

    Args:
        network: computes the output.
        pixel_values: (B, 3, S, S) with B <= `size`.
        size: of the padded batch.

    Returns:
        the output for the B crops.
    """
    given = len(pixel_values)
    if given < size:
        filling = pixel_values.new_zeros(size - given, *pixel_values.shape[1:])
        pixel_values = torch.cat([pixel_values, filling])
    output = network(pixel_values)
    return CaddmOutput(**{name: tensor[:given] for name, tensor in output.items()})
