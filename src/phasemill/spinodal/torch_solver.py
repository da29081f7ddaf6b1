"""The explicit schemes of `solver` as plain torch, for a GPU: periodic boxes, constant mobility.

On a CPU the compiled kernels are ten times faster; here the same arithmetic runs wherever the networks run, so that
solver and network can be compared on one device.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phasemill.core.errors import InputError
from phasemill.spinodal.physics import Medium, spectral_radius
from phasemill.spinodal.solver import MOST_STAGES, rkl2_coefficients, stages_for


def laplacian(phi: Tensor, dx: float) -> Tensor:
    """lap phi = sum over axes (phi_{i-1} + phi_{i+1} - 2 phi_i) / dx^2, periodic."""
    total = -2 * phi.ndim * phi
    for axis in range(phi.ndim):
        total += phi.roll(1, axis)
        total += phi.roll(-1, axis)
    return total.div_(dx**2)


def rate(phi: Tensor, medium: Medium) -> Tensor:
    """phi_t = M lap(mu), mu = 36 / eps phi (1 - phi) (1 - 2 phi) - eps lap phi."""
    mu = 36 / medium.eps * phi * (1 - phi) * (1 - 2 * phi) - medium.eps * laplacian(phi, medium.dx)
    return laplacian(mu, medium.dx).mul_(medium.mobility)


class TorchStepper:
    """A field on a device, and the time step that comes next."""

    def __init__(self, phi: NDArray[Any], medium: Medium, device: torch.device | str, dtype: torch.dtype) -> None:
        if medium.walls or medium.law != "constant":
            raise InputError(
                "the torch solver needs a periodic box and constant mobility; use phasemill.spinodal.solver"
            )
        self.medium = medium
        self.field = torch.from_numpy(np.array(phi)).to(device, dtype)
        self.evaluations = 0

    @property
    def phi(self) -> NDArray[Any]:
        """The field at the time reached."""
        return self.field.cpu().numpy()

    def rate(self, phi: Tensor) -> Tensor:
        """The right-hand side, counted."""
        self.evaluations += 1
        return rate(phi, self.medium)


class TorchEuler(TorchStepper):
    """phi <- phi + dt f(phi)."""

    def __init__(
        self, phi: NDArray[Any], medium: Medium, *, dt: float, device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> None:  # fmt: skip
        super().__init__(phi, medium, device, dtype)
        self.dt = dt

    def advance(self, duration: float) -> None:
        """March on by `duration`, in equal steps of at most dt."""
        steps = ceil(duration / self.dt * (1 - 1e-9))
        for _ in range(steps):
            self.field = self.field + duration / steps * self.rate(self.field)


class TorchRkl2(TorchStepper):
    """Adaptive RKL2, step for step that of `solver.Rkl2` (Meyer, Balsara & Aslam 2014)."""

    def __init__(
        self, phi: NDArray[Any], medium: Medium, *, tolerance: float, device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> None:  # fmt: skip
        super().__init__(phi, medium, device, dtype)
        self.tolerance = tolerance
        self.limit = 2 / spectral_radius(phi.ndim, medium)
        self.longest = self.limit * (MOST_STAGES**2 + MOST_STAGES - 2) / 4
        self.dt = self.limit
        self.slope = self.rate(self.field)

    def advance(self, duration: float) -> None:
        """March on by `duration`."""
        left = duration
        while left > 0:
            count = ceil(left / min(self.dt, self.longest) * (1 - 1e-9))
            dt = left if count == 1 else left / count if count <= 2 else min(self.dt, self.longest)
            phi = self._stages(dt)
            slope = self.rate(phi)
            error = float((0.8 * (self.field - phi) + 0.4 * dt * (self.slope + slope)).double().square().mean().sqrt())
            if not np.isfinite(error):
                raise InputError("the field grew without bound: lower the tolerance")
            factor = min(2.0, max(0.3, 0.9 * (self.tolerance / max(error, 1e-300)) ** (1 / 3)))
            if error > 2 * self.tolerance:
                self.dt = dt * factor
                continue
            self.field, self.slope = phi, slope
            left = 0.0 if count == 1 else left - dt
            self.dt = min(max(dt * factor, self.dt if factor >= 1 else 0.0), self.longest)

    def _stages(self, dt: float) -> Tensor:
        """The field after one step of length dt."""
        first, *rest = rkl2_coefficients(stages_for(dt / self.limit))
        older: Tensor = self.field
        newer: Tensor = self.field + first * dt * self.slope
        for mu, nu, own, fresh, initial in rest:
            stage = mu * newer + nu * older + own * self.field
            stage += initial * dt * self.slope + fresh * dt * self.rate(newer)
            older, newer = newer, stage
        return newer
