"""The convolutions of encoder and decoder against those of torch: values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from phasemill.transport.network import PeriodicConvolution, PointConvolution


@pytest.mark.parametrize(("channels_in", "channels"), [(1, 4), (4, 4), (3, 2)])
@pytest.mark.parametrize("shape", [(8, 8), (5, 7)])
@pytest.mark.parametrize("periodic", [True, False])
def test_equals_the_convolution_of_torch(
    channels_in: int, channels: int, shape: tuple[int, int], periodic: bool
) -> None:
    torch.manual_seed(0)
    ours = (PeriodicConvolution if periodic else PointConvolution)(channels_in, channels).double()
    theirs = (
        nn.Conv2d(channels_in, channels, 3, padding=1, padding_mode="circular")
        if periodic
        else nn.Conv2d(channels_in, channels, 1)
    ).double()
    theirs.load_state_dict(ours.state_dict())
    results = []
    for layer in (ours, theirs):
        images = torch.arange(3.0 * channels_in * shape[0] * shape[1], dtype=torch.float64).sin()
        images = images.reshape(3, channels_in, *shape).requires_grad_()
        output = layer(images)
        (output * output.detach().cos().roll(1, -1)).sum().backward()
        results.append([output, images.grad, layer.weight.grad, layer.bias.grad])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_images_that_need_no_gradient_get_none() -> None:
    layer, images = PeriodicConvolution(1, 2), torch.rand(1, 1, 6, 6)
    layer(images).sum().backward()
    assert images.grad is None
    assert layer.bias.grad is not None
    torch.testing.assert_close(layer.bias.grad, torch.full((2,), 36.0))
