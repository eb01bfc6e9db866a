"""caddm_hf.training.depthwise: the same convolution, better gradients."""

import pytest
import torch
from torch import nn

from caddm_hf.training.depthwise import DepthwiseGradients

CHANNELS = 12


def layer(**options) -> nn.Conv2d:
    torch.manual_seed(0)
    options = {"groups": CHANNELS, "padding": 2, "stride": 2, "bias": False} | options
    return nn.Conv2d(CHANNELS, CHANNELS, 5, **options)


def results(conv: nn.Conv2d, mode: bool, autocast: bool = True) -> list[torch.Tensor]:
    """Output and gradients, of the image and of the weights."""
    torch.manual_seed(1)
    image = torch.randn(4, CHANNELS, 23, 23).contiguous(memory_format=torch.channels_last)
    image.requires_grad_()
    conv.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        if mode:
            with DepthwiseGradients():
                output = conv(image)
        else:
            output = conv(image)
    (output.float() * torch.randn(output.shape)).sum().backward()
    return [output.detach(), image.grad, conv.weight.grad.clone()]


def error(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found.double() - exact.double()).norm() / exact.double().norm())


@pytest.mark.parametrize("options", [{}, {"stride": 1}, {"dilation": 2}, {"padding": 0}])
def test_the_convolution_is_autocasts_and_its_gradients_are_no_worse(options):
    conv = layer(**options)
    exact = results(conv, mode=False, autocast=False)
    plain, ours = results(conv, mode=False), results(conv, mode=True)
    assert ours[0].dtype == torch.bfloat16
    assert torch.equal(ours[0], plain[0])
    for found, other, truth in zip(ours[1:], plain[1:], exact[1:], strict=True):
        assert found.dtype == other.dtype == torch.float32
        assert error(found, truth) < 0.01
        assert error(found, truth) < 1.1 * error(other, truth)


@pytest.mark.parametrize("options", [{"groups": 1}, {"groups": 4}, {"bias": True}])
def test_other_convolutions_are_left_alone(options):
    conv = layer(**options)
    plain, ours = results(conv, mode=False), results(conv, mode=True)
    assert all(map(torch.equal, plain, ours))


def test_without_autocast_nothing_changes():
    conv = layer()
    plain = results(conv, mode=False, autocast=False)
    assert all(map(torch.equal, plain, results(conv, mode=True, autocast=False)))


def test_frozen_weights_get_no_gradient():
    conv = layer()
    conv.weight.requires_grad_(False)
    image = torch.randn(1, CHANNELS, 9, 9, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16), DepthwiseGradients():
        conv(image).sum().backward()
    assert conv.weight.grad is None
    assert image.grad.shape == image.shape
