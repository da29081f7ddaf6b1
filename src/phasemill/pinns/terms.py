"""Terms of a loss: the equation, initial and boundary values, each a mean square over its own fixed points.

    u = base + factor n(theta),     L_j = sum_p weight_p r_p^2

`base` and `factor` build conditions into u (zero factor: u is held at `base`); features may be plain coordinates,
Fourier modes or a periodic embedding. On a CPU the loss and its gradient come from one fused kernel, on a GPU from
torch; both stand behind `Term.value_and_gradient`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from phasemill.core.errors import InputError
from phasemill.pinns import kernels
from phasemill.pinns.kernels import PAIRS, RESIDUAL, VALUE
from phasemill.pinns.network import Network, streams
from phasemill.pinns.physics import XX

Floats = NDArray[Any]


@dataclass(frozen=True)
class Points:
    """What the network gets at some points, in four streams, and how its output becomes u."""

    features: Floats
    """(4, inputs, points): value, d0, d1, q of each input."""
    base: Floats
    """(4, points)"""
    factor: Floats
    """(4, points)"""

    def __post_init__(self) -> None:
        count = self.features.shape[-1]
        if self.features.ndim != 3 or len(self.features) != 4:
            raise InputError(f"features have shape {self.features.shape}: give (4 streams, inputs, points)")
        for name in ("base", "factor"):
            if getattr(self, name).shape != (4, count):
                raise InputError(f"{name} has shape {getattr(self, name).shape}: give (4 streams, {count} points)")

    def __len__(self) -> int:
        return int(self.features.shape[-1])

    def take(self, chosen: Any) -> Points:
        """Some of the points."""
        return Points(*(np.ascontiguousarray(part[..., chosen]) for part in self._parts()))

    def astype(self, dtype: Any) -> Points:
        """The same numbers in another precision."""
        return Points(*(np.ascontiguousarray(part, dtype=dtype) for part in self._parts()))

    def _parts(self) -> tuple[Floats, Floats, Floats]:
        return self.features, self.base, self.factor


def plain(coordinates: ArrayLike, low: Sequence[float], high: Sequence[float]) -> Points:
    """Coordinates (points, 2) scaled to [-1, 1]: z = 2 (x - low) / (high - low) - 1; u is the network's output.

    Derivatives are those with respect to x.
    """
    x = np.asarray(coordinates, dtype=np.float64)
    slope = 2 / (np.asarray(high, dtype=np.float64) - np.asarray(low, dtype=np.float64))
    features = np.zeros((4, 2, len(x)))
    features[0] = slope[:, None] * (x.T - np.asarray(low)[:, None]) - 1
    features[1, 0], features[2, 1] = slope
    return Points(features, np.zeros((4, len(x))), unit(len(x)))


def unit(count: int) -> Floats:
    """The factor 1 at all points, its derivatives 0."""
    factor = np.zeros((4, count))
    factor[0] = 1
    return factor


class Term:
    """One loss term.

    Arguments
    ---------
    kind: RESIDUAL: r = c0 u_0 + c1 u u_1 + c2 q + c3 (u - u^3) - target; VALUE: r = u - target;
        PAIRS: points 2i and 2i + 1 have equal u and equal u_1, each a mean over the pairs.
    points, target: of the term; target (points,) is the source of an equation or the value wanted.
    weight: (points,), default 1 / points (a mean); with PAIRS the first one of a pair counts.
    c, e: coefficients of the equation and weights of the second derivatives.
    dtype: precision, that of theta.
    """

    def __init__(
        self,
        network: Network,
        kind: int,
        points: Points,
        target: ArrayLike = 0.0,
        *,
        weight: ArrayLike | None = None,
        c: ArrayLike = (0.0, 0.0, 0.0, 0.0),
        e: Sequence[float] = XX,
        dtype: Any = np.float32,
    ) -> None:
        count = len(points)
        if network.widths[-1] != 1:
            raise InputError(f"widths {network.widths}: the compiled kernels know one output; give 1 at the end")
        if kind == PAIRS and count % 2:
            raise InputError(f"{count} points cannot be paired; give each its partner")
        usual = (2 if kind == PAIRS else 1) / count
        self.network, self.kind, self.dtype, self.e = network, kind, np.dtype(dtype), tuple(e)
        self.points = points.astype(dtype)
        self.target = np.array(np.broadcast_to(target, count), dtype=dtype)
        self.weight = np.array(np.broadcast_to(usual if weight is None else weight, count), dtype=dtype)
        self.c = np.array(c, dtype=np.float64)
        self._features = self._pad(self.points.features)
        self._metric = np.array(e, dtype=dtype)
        self._gradient = network.pack(np.zeros(network.count, dtype))
        self._on_device: tuple[Any, tuple[Tensor, ...]] | None = None

    def value_and_gradient(self, theta: Tensor) -> tuple[float, Tensor]:
        """The loss and its gradient, without a graph."""
        if theta.device.type == "cpu":
            loss, gradient, _ = self.loss_and_gradient(theta.detach().numpy())
            return loss, torch.from_numpy(gradient)
        with torch.enable_grad():
            free = theta.detach().requires_grad_(True)
            value = self.formula(free, torch.as_tensor(self.c, device=theta.device))
            return float(value), torch.autograd.grad(value, free)[0]

    def loss_and_gradient(self, theta: Floats, c: Floats | None = None) -> tuple[float, Floats, NDArray[np.float64]]:
        """The loss, its gradient in theta, and its slopes in c, by the compiled kernel; no torch in between."""
        packed, slopes = self.network.pack(np.asarray(theta, self.dtype)), np.zeros(4)
        loss = kernels.loss_and_gradient(
            self.kind, packed, self.network.padded, self._features, self.points.base, self.points.factor, self.target,
            self.weight, np.asarray(self.c if c is None else c, self.dtype), self._metric, self._gradient, slopes,
        )  # fmt: skip
        return loss, self._gradient[self.network.places], slopes

    def field(self, theta: Floats, count: int = 4) -> Floats:
        """u at the points: (4, points), or with `count` 1 its value alone, (1, points)."""
        packed = self.network.pack(np.asarray(theta, self.dtype))
        out = np.empty((count, len(self.points)), self.dtype)
        parts = self.points.base, self.points.factor
        kernels.field(packed, self.network.padded, self._features, *parts, self._metric, count, out)
        return out

    def residuals(self, theta: Floats, c: Floats | None = None) -> Floats:
        """r at each point (pairs: (u, u_1) differences, (2, pairs))."""
        u = self.field(theta, 1 if self.kind == VALUE else 4)
        found: Floats = compare(self.kind, u, self.target, self.c if c is None else c)
        return found

    def formula(self, theta: Tensor, c: Tensor) -> Tensor:
        """The loss in torch, on any device."""
        features, base, factor, target, weight = self._tensors(theta)
        count = 1 if self.kind == VALUE else 4
        n = streams(self.network, theta, features[:count], self.e)
        u = build(n, base, factor, self.e)
        squares = compare(self.kind, u, target, c.to(theta.dtype)) ** 2
        loss: Tensor = ((weight[::2] if self.kind == PAIRS else weight) * squares).sum()
        return loss

    def take(self, chosen: Any) -> Term:
        """The same term, a mean over some of its points."""
        return Term(
            self.network, self.kind, self.points.take(chosen), self.target[chosen], c=self.c, e=self.e, dtype=self.dtype
        )

    def moved(self, points: Points, target: ArrayLike) -> Term:
        """The same term at other points."""
        return Term(self.network, self.kind, points, target, c=self.c, e=self.e, dtype=self.dtype)

    def _pad(self, features: Floats) -> Floats:
        full = np.zeros((4, self.network.padded[0], features.shape[-1]), self.dtype)
        if features.shape[1] != self.network.widths[0]:
            raise InputError(f"{features.shape[1]} features for a network of {self.network.widths[0]} inputs")
        full[:, : features.shape[1]] = features
        return full

    def _tensors(self, theta: Tensor) -> tuple[Tensor, ...]:
        if self._on_device is None or self._on_device[0] != theta.device:
            parts = (self.points.features, self.points.base, self.points.factor, self.target, self.weight)
            self._on_device = theta.device, tuple(torch.as_tensor(part, device=theta.device) for part in parts)
        return self._on_device[1]


def build(n: Tensor, base: Tensor, factor: Tensor, e: Sequence[float]) -> Tensor:
    """u = base + factor n in all streams (4 or 1, points): `kernels._field` in readable form."""
    u = base[0] + factor[0] * n[0]
    if len(n) == 1:
        return u[None]
    u0 = base[1] + factor[1] * n[0] + factor[0] * n[1]
    u1 = base[2] + factor[2] * n[0] + factor[0] * n[2]
    mixed = 2 * (e[0] * factor[1] * n[1] + e[1] * factor[2] * n[2])
    q = base[3] + factor[3] * n[0] + mixed + factor[0] * n[3]
    return torch.stack([u, u0, u1, q])


def compare(kind: int, u: Any, target: Any, c: Any) -> Any:
    """r of a term from u's streams (4 or 1, points), target (points,) and c (4,), arrays or tensors; see `Term`."""
    if kind == VALUE:
        return u[0] - target
    if kind == RESIDUAL:
        return c[0] * u[1] + c[1] * u[0] * u[2] + c[2] * u[3] + c[3] * (u[0] - u[0] ** 3) - target
    return u[[0, 2], ::2] - u[[0, 2], 1::2]
