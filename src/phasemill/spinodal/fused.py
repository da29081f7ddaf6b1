"""`ConvGRU` computed faster with the same weights, in a layout and precision that the CPU likes.

Tensors are channels-last, in bfloat16 unless asked otherwise: a single small sample in float32 misses oneDNN's fast
path. Hidden states of zero are never convolved, since a map of zero is the same number everywhere, and the periodic
border is added and, going back, folded in by hand.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from phasemill.spinodal.network import Cell, ConvGRU, State, change, features

DeepWeights = tuple[Tensor, Tensor, Tensor, Tensor]
"""Weights and biases of the 3^3 and the 1^3 convolution of a `DeepMap`."""


class Fused:
    """A view on the weights of `network`, valid until they change: make a new one after each optimiser step."""

    def __init__(self, network: ConvGRU, dtype: torch.dtype = torch.bfloat16) -> None:
        self.network, self.dtype = network, dtype
        self.first, self.second = self._cell(network.first), self._cell(network.second)
        self.flux = [self._layer(layer) for layer in network.to_flux if isinstance(layer, nn.Conv3d)]

    def _cell(self, cell: Cell) -> tuple[DeepWeights, DeepWeights, DeepWeights]:
        maps = (cell.from_input, cell.from_hidden, cell.candidate)
        from_input, from_hidden, candidate = ((*self._layer(deep[0]), *self._layer(deep[2])) for deep in maps)
        return from_input, from_hidden, candidate

    def _layer(self, layer: nn.Module) -> tuple[Tensor, Tensor]:
        assert isinstance(layer, nn.Conv3d)
        assert layer.bias is not None
        return _channels_last(layer.weight.to(self.dtype)), layer.bias.to(self.dtype)

    def __call__(self, phi: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One step, as `ConvGRU.forward`; phi stays in its own precision."""
        state = self.network.recall(state)
        hidden_1, hidden_2, age = state if state is not None else (None, None, 0)
        x = _channels_last(features(phi, self.network.inputs).to(self.dtype))
        hidden_1 = step(x, hidden_1, *self.first)
        hidden_2 = step(hidden_1, hidden_2, *self.second)
        (w1, b1), (w2, b2), (w3, b3) = self.flux
        u = torch.tanh(F.conv3d(torch.tanh(F.conv3d(hidden_2, w1, b1)), w2, b2))
        u = F.conv3d(pad(u), w3, b3)
        return phi + change(u, self.network.output), (hidden_1, hidden_2, age + 1)


def step(
    x: Tensor, hidden: Tensor | None, from_input: DeepWeights, from_hidden: DeepWeights, candidate: DeepWeights
) -> Tensor:
    """The next hidden state of a cell, as `Cell.forward`; None stands for a state of zero."""
    channels = len(candidate[3])
    gates, n = torch.split(deep(x, from_input), [2 * channels, channels], dim=1)
    if hidden is None:
        z = torch.sigmoid(gates[:, channels:] + deep_of_zero(from_hidden)[:, channels:])
        n = torch.tanh(n + deep_of_zero(candidate))
        return n - z * n
    r, z = torch.sigmoid(gates + deep(hidden, from_hidden)).chunk(2, dim=1)
    n = torch.tanh(n + deep(r * hidden, candidate))
    return torch.lerp(n, hidden, z)


def deep(x: Tensor, weights: DeepWeights) -> Tensor:
    """Conv 3^3, tanh, conv 1^3, periodic."""
    wide, wide_bias, narrow, narrow_bias = weights
    return F.conv3d(torch.tanh(F.conv3d(pad(x), wide, wide_bias)), narrow, narrow_bias)


def deep_of_zero(weights: DeepWeights) -> Tensor:
    """`deep` of a field of zero, which is the same everywhere: (1, channels, 1, 1, 1)."""
    _, wide_bias, narrow, narrow_bias = weights
    return (narrow.flatten(1) @ torch.tanh(wide_bias) + narrow_bias).view(1, -1, 1, 1, 1)


class _Pad(torch.autograd.Function):
    """What `F.pad(..., mode="circular")` does, with one full copy in each direction."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        n = x.shape[2:]
        shape = (*x.shape[:2], *(cells + 2 for cells in n))
        padded = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last_3d)
        padded[:, :, 1:-1, 1:-1, 1:-1] = x
        for axis, cells in zip((2, 3, 4), n, strict=True):
            padded.select(axis, 0).copy_(padded.select(axis, cells))
            padded.select(axis, cells + 1).copy_(padded.select(axis, 1))
        return padded

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        folded = grad.clone()
        for axis in (2, 3, 4):
            last = folded.shape[axis] - 1
            folded.select(axis, 1).add_(folded.select(axis, last))
            folded.select(axis, last - 1).add_(folded.select(axis, 0))
        return folded[:, :, 1:-1, 1:-1, 1:-1]


def pad(x: Tensor) -> Tensor:
    """One periodic cell on each side of the last three axes of (batch, channels, x, y, z)."""
    padded: Tensor = _Pad.apply(x)  # type: ignore[no-untyped-call]  # untyped in torch
    return padded


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last_3d)
