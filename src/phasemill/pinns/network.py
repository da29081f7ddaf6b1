"""A tanh network as one flat vector of parameters, with its derivatives as streams.

    z_0 = features(x),   z_l = tanh(W_l z_{l-1} + b_l),   n = W_L z_{L-1} + b_L

theta holds W_1 (out, in) row by row, b_1, W_2, b_2, ... A stream is the value, d0 or d1 along a coordinate, or
q = e0 d00 + e1 d11; DN-PINN's own depth L counts the layers of weights, the last one included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import truncnorm
from torch import Tensor

from phasemill.core.errors import InputError

Floats = NDArray[Any]


@dataclass(frozen=True)
class Network:
    """The shape of a network: widths of all layers from the features to the outputs, one for `terms.Term`."""

    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise InputError(f"widths {self.widths}: give those of the features, of hidden layers, and of the outputs")

    @cached_property
    def count(self) -> int:
        """Number of parameters."""
        return sum((before + 1) * after for before, after in self.layers)

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each layer of weights."""
        return list(zip(self.widths, self.widths[1:], strict=False))

    def initial(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Glorot's normal weights, cut at two standard deviations, and biases of 0 (as the authors' initialiser).

        The standard deviation of the normal before the cut is sqrt(2 / (inputs + outputs)).
        """
        parts = []
        for before, after in self.layers:
            scale = sqrt(2 / (before + after))
            parts += [truncnorm.rvs(-2, 2, scale=scale, size=before * after, random_state=rng), np.zeros(after)]
        return np.concatenate(parts)

    @cached_property
    def padded(self) -> NDArray[np.int64]:
        """The widths up to the next multiple of four, as the kernels take them."""
        return np.array([-(-width // 4) * 4 for width in self.widths], dtype=np.int64)

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Where each parameter lies in the padded vector of the kernels."""
        found, start = [], 0
        for (before, after), columns, rows in zip(self.layers, self.padded, self.padded[1:], strict=False):
            found += [(start + np.arange(after)[:, None] * columns + np.arange(before)).ravel()]
            found += [start + rows * columns + np.arange(after)]
            start += rows * (columns + 1)
        return np.concatenate(found)

    @cached_property
    def is_weight(self) -> NDArray[np.bool_]:
        """True for weights, False for biases."""
        parts = [[np.ones(before * after, bool), np.zeros(after, bool)] for before, after in self.layers]
        return np.concatenate([part for pair in parts for part in pair])

    def pack(self, theta: Floats) -> Floats:
        """The padded vector of the kernels."""
        rows, columns = self.padded[1:], self.padded[:-1]
        full = np.zeros(int((rows * (columns + 1)).sum()), theta.dtype)
        full[self.places] = theta
        return full

    def matrices(self, theta: Tensor) -> list[tuple[Tensor, Tensor]]:
        """(W, b) of each layer, as views."""
        sizes = [size for before, after in self.layers for size in (before * after, after)]
        parts = torch.split(theta, sizes)
        return [
            (w.view(after, before), b)
            for (before, after), w, b in zip(self.layers, parts[::2], parts[1::2], strict=True)
        ]


def adam(parameter: torch.nn.Parameter, rate: float) -> torch.optim.Adam:
    """Adam with the epsilon of DN-PINN's code."""
    return torch.optim.Adam([parameter], lr=rate, eps=1e-7)


def streams(network: Network, theta: Tensor, features: Tensor, e: Sequence[float]) -> Tensor:
    """The network's own streams (4, points) in torch, differentiable; what the kernels compute, in readable form.

    With p = W a + b before and a = tanh p after an activation, s = 1 - a^2 and g = e0 p0^2 + e1 p1^2:
    a0 = s p0, a1 = s p1, aq = s (pq - 2 a g).

    Arguments
    ---------
    features: (4 or 1, widths[0], points); with one stream only the value is computed.
    """
    layers = network.matrices(theta)
    z = features
    for number, (w, b) in enumerate(layers):
        p = torch.matmul(w, z)
        value = p[0] + b[:, None]
        if number == len(layers) - 1:
            return torch.cat([value[None], p[1:]])[:, 0]
        a = torch.tanh(value)
        if len(p) == 1:
            z = a[None]
        else:
            s = 1 - a * a
            bent = e[0] * p[1] ** 2 + e[1] * p[2] ** 2
            z = torch.stack([a, s * p[1], s * p[2], s * (p[3] - 2 * a * bent)])
    raise AssertionError("a network has a last layer")
