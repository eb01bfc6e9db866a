"""Depthwise convolutions on a CPU in bfloat16, their gradients in single precision.

oneDNN has fast bfloat16 kernels for a depthwise convolution, but for most of its gradients (windows
of 5x5, strides) it falls back to slow ones, which take more than half of a training step of
EfficientNet-lite0. Computing these gradients in single precision is faster and no less exact;
`benchmarks/depthwise_gradients.py` measures whole passes with and without this.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class DepthwiseGradients(TorchFunctionMode):
    """Context in which depthwise convolutions under CPU autocast get float32 gradients.

    The model, other operations and other devices are not affected:

        with DepthwiseGradients():
            loss = model(pixel_values=..., labels=...).loss
        loss.backward()
    """

    def __torch_function__(
        self,
        func: Callable,
        types: Sequence[type],
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.conv2d and not kwargs and _is_meant(*args):
            image, weight, _, *geometry = args
            return _DepthwiseConvolution.apply(image, weight, *geometry)
        return func(*args, **kwargs)


def _is_meant(
    image: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: object = 1,
    padding: object = 0,
    dilation: object = 1,
    groups: int = 1,
) -> bool:
    """Whether these `conv2d` arguments describe a depthwise convolution of the backbones."""
    return (
        1 < groups == image.shape[-3] == len(weight)
        and bias is None
        and image.device.type == "cpu"
        and all(isinstance(size, tuple) for size in (stride, padding, dilation))
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )


class _DepthwiseConvolution(torch.autograd.Function):
    """`conv2d` with a bfloat16 forward pass, as under autocast, and a float32 backward pass."""

    @staticmethod
    def forward(ctx, image, weight, stride, padding, dilation, groups):
        image_half = image.bfloat16()
        ctx.save_for_backward(image_half, weight)
        ctx.geometry = (stride, padding, dilation, False, (0, 0), groups)
        ctx.image_type = image.dtype
        return functional.conv2d(
            image_half, weight.bfloat16(), None, stride, padding, dilation, groups
        )

    @staticmethod
    def backward(ctx, gradient):
        image_half, weight = ctx.saved_tensors
        wanted = [*ctx.needs_input_grad[:2], False]
        of_image, of_weight, _ = torch.ops.aten.convolution_backward(
            gradient.float(), image_half.float(), weight.float(), None, *ctx.geometry, wanted
        )
        if of_image is not None:
            of_image = of_image.to(ctx.image_type)
        if of_weight is not None:
            of_weight = of_weight.to(weight.dtype)
        return of_image, of_weight, None, None, None, None
