"""One interval of many grains as a minimum, in torch: `variation` for phases that add up to 1.

With one sigma and one mu for all pairs and sum phi_a = 1 the energy is a sum over the phases, and Crank-Nicolson is

    phi' = P(phi + (f_P(phi) + f(phi'))/2),   f_a(phi) = c lap phi_a + 2 r phi_a,

P the Euclidean projection of each cell on the simplex, f_P what the constraints leave of f. It minimises

    J(phi') = sum over a of mean[(phi'_a - src_a)^2 / 2 + (c/2 |D phi'_a|^2 - r phi'_a^2) / 2],

with src = phi + f_P(phi)/2.

For two phases this is twice the J of `variation`. Fields are (batch, phase, x, y).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from phasemill.core.errors import InputError
from phasemill.grains.physics import Medium
from phasemill.grains.variation import Interval, differences

NEAR = 1e-2
"""f_P is the projected motion over a time so short."""


@dataclass(frozen=True)
class Phases:
    """The numbers of one interval between frames."""

    c: float
    r: float

    @classmethod
    def of(cls, medium: Medium, dt: float) -> Phases:
        """From the constants of the equation."""
        interval = Interval.of(medium, dt)
        return cls(interval.c, interval.r)

    def force(self, phi: Tensor) -> Tensor:
        """f(phi), of each phase."""
        return self.c * differences(phi) + 2 * self.r * phi

    def pinned_force(self, phi: Tensor) -> Tensor:
        """f_P(phi): what the projection leaves of f."""
        return (onto_simplex(phi + NEAR * self.force(phi)) - phi) / NEAR

    def source(self, phi: Tensor) -> Tensor:
        """src of the interval that begins with phi."""
        return phi + self.pinned_force(phi) / 2

    def energy(self, phi: Tensor, source: Tensor) -> Tensor:
        """J of the fields that end an interval: (batch,)."""
        slopes = (torch.roll(phi, -1, -1) - phi) ** 2 + (torch.roll(phi, -1, -2) - phi) ** 2
        density = (phi - source) ** 2 + self.c / 2 * slopes - self.r * phi**2
        return density.sum(dim=1).mean(dim=(-2, -1)) / 2

    def residual(self, phi: Tensor, source: Tensor) -> Tensor:
        """phi - P(src + f(phi)/2), zero exactly at the solution."""
        return phi - onto_simplex(source + self.force(phi) / 2)

    def minimum(self, phi: Tensor, tolerance: float = 1e-5) -> Tensor:
        """The fields that end the interval which begins with phi, up to an rms residual.

        Nesterov's descent on J, projected, with the step and the momentum of its largest and least curvature. Raises
        InputError where J is not convex.
        """
        largest, least = 1 + 4 * self.c - self.r, 1 - self.r
        if least <= 0:
            raise InputError(f"the interval is {self.r:.3g} times the longest whose energy is convex: shorten it")
        root = (largest / least) ** 0.5
        momentum, source, found, ahead = (root - 1) / (root + 1), self.source(phi), phi, phi
        while float(self.residual(found, source).square().mean().sqrt()) > tolerance:
            for _ in range(10):
                slope = ahead - source - self.force(ahead) / 2
                last, found = found, onto_simplex(ahead - slope / largest)
                ahead = found + momentum * (found - last)
        return found


def onto_simplex(value: Tensor) -> Tensor:
    """The nearest point with phases >= 0 of sum 1, cell by cell."""
    found: Tensor = (value - threshold(value)).clamp_min(0)
    return found


def threshold(value: Tensor) -> Tensor:
    """The number that is taken from all phases of a cell before negative ones are set to zero: (batch, 1, x, y)."""
    ordered = value.sort(dim=1, descending=True).values
    count = torch.arange(1, value.shape[1] + 1, device=value.device, dtype=value.dtype).view(1, -1, 1, 1)
    candidates = (ordered.cumsum(dim=1) - 1) / count
    kept = (ordered > candidates).sum(dim=1, keepdim=True) - 1
    return candidates.gather(1, kept)


class _Project(torch.autograd.Function):
    """`onto_simplex`; backwards only what would push an absent phase further out is blocked."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        found = onto_simplex(value)
        ctx.save_for_backward(found)
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (found,) = ctx.saved_tensors
        # descent moves along -grad: its part within the simplex, where absent phases may only grow
        present = found > 0
        mean = (grad * present).sum(dim=1, keepdim=True) / present.sum(dim=1, keepdim=True)
        moved: Tensor = (grad - mean).masked_fill(~present & (grad >= mean), 0.0)
        return moved


def project(value: Tensor) -> Tensor:
    """P(value) with the gradient of a projected descent."""
    found: Tensor = _Project.apply(value)  # type: ignore[no-untyped-call]  # untyped in torch
    return found
