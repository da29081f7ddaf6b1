"""One interval of the obstacle problem as a minimum: what networks are trained on, in torch, without any data.

Crank-Nicolson over an interval dt, in units of phi, with c = mu sigma dt/dx^2, r = mu sigma pi^2 dt/(2 eta^2) and
d = mu pi dt dg/eta, is

    phi' = P(phi + (f_P(phi) + f(phi'))/2),   f(phi) = c lap phi + r (2 phi - 1) + d sqrt(phi (1 - phi)),

P the projection on [0, 1] and f_P the force less what the obstacle blocks. With src = phi + f_P(phi)/2 it minimises

    J(phi') = mean[(phi' - src)^2 / 2 + (c/2 |D phi'|^2 - r (phi'^2 - phi')) / 2 - d H(phi') / 2]

over [0, 1], H' = sqrt(phi (1 - phi)), D the forward differences: the incremental energy of a minimising movement,
strictly convex for dt < 2 eta^2 / (pi^2 mu sigma) (twice that of backward Euler). A pinned cell has no residual here,
whereas the paper's residual is largest there.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Any

import torch
from torch import Tensor

from phasemill.grains.physics import Medium

TOUCHING = 1e-6
"""A cell closer to 0 or 1 than this touches the obstacle: rounding must not release it."""


@dataclass(frozen=True)
class Interval:
    """The numbers of one interval between frames; fields are (batch, x, y)."""

    c: float
    r: float
    d: float = 0.0

    @classmethod
    def of(cls, medium: Medium, dt: float) -> Interval:
        """From the constants of the equation."""
        return cls(
            medium.mu * medium.sigma * dt / medium.dx**2, dt * medium.reaction, dt * medium.driving
        )  # fmt: skip

    @property
    def convex(self) -> bool:
        """Whether J has one minimum whatever the field (for d = 0)."""
        return self.r < 1.0

    def force(self, phi: Tensor) -> Tensor:
        """f(phi), what dt times the equation's right-hand side is."""
        found = self.c * differences(phi) + self.r * (2 * phi - 1)
        return found + self.d * (phi * (1 - phi)).clamp_min(0).sqrt() if self.d else found

    def pinned_force(self, phi: Tensor) -> Tensor:
        """f_P(phi): zero where phi touches the obstacle and the force points outwards."""
        force = self.force(phi)
        outwards = ((phi <= TOUCHING) & (force < 0)) | ((phi >= 1 - TOUCHING) & (force > 0))
        return force.masked_fill(outwards, 0.0)

    def source(self, phi: Tensor) -> Tensor:
        """src of the interval that begins with phi."""
        return phi + self.pinned_force(phi) / 2

    def energy(self, phi: Tensor, source: Tensor) -> Tensor:
        """J of the fields that end an interval, one number each: (batch,)."""
        slopes = (torch.roll(phi, -1, -1) - phi) ** 2 + (torch.roll(phi, -1, -2) - phi) ** 2
        density = (phi - source) ** 2 + self.c / 2 * slopes - self.r * (phi**2 - phi)
        if self.d:
            density = density - self.d * _Gain.apply(phi)  # type: ignore[no-untyped-call]  # untyped in torch
        return density.mean(dim=(-2, -1)) / 2

    def residual(self, phi: Tensor, source: Tensor) -> Tensor:
        """phi - P(src + f(phi)/2), zero exactly at the solution of the interval."""
        return phi - (source + self.force(phi) / 2).clamp(0, 1)


def differences(phi: Tensor) -> Tensor:
    """dx^2 lap phi: the sum of four neighbours less 4 phi, periodic."""
    around = torch.roll(phi, 1, -1) + torch.roll(phi, -1, -1) + torch.roll(phi, 1, -2) + torch.roll(phi, -1, -2)
    return around - 4 * phi


class _Project(torch.autograd.Function):
    """Clamp to [0, 1]; backwards only what would push a value further out is blocked, as in projected gradients.

    The gradient of a plain clamp is zero wherever a value lies outside, also where it has to come back: cells at
    phi = 1 ahead of a shrinking interface would never be released.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        ctx.save_for_backward(value)
        return value.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (value,) = ctx.saved_tensors
        outwards = ((value <= 0) & (grad > 0)) | ((value >= 1) & (grad < 0))
        return grad.masked_fill(outwards, 0.0)


def project(value: Tensor) -> Tensor:
    """P(value) with the gradient of a projected descent."""
    found: Tensor = _Project.apply(value)  # type: ignore[no-untyped-call]  # untyped in torch
    return found


class _Gain(torch.autograd.Function):
    """H(phi) = [(2 phi - 1) sqrt(phi (1 - phi)) + arcsin sqrt(phi)] / 4, whose slope sqrt(phi (1 - phi)) is finite."""

    @staticmethod
    def forward(ctx: Any, phi: Tensor) -> Tensor:
        inside = phi.clamp(0, 1)
        ctx.save_for_backward(inside)
        return ((2 * inside - 1) * (inside * (1 - inside)).sqrt() + torch.asin(inside.sqrt())) / 4

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (phi,) = ctx.saved_tensors
        found: Tensor = grad * (phi * (1 - phi)).sqrt()
        return found


def longest_convex(medium: Medium) -> float:
    """2 eta^2 / (pi^2 mu sigma): the longest interval whose J is strictly convex."""
    return 2 * medium.eta**2 / (pi**2 * medium.mu * medium.sigma)
