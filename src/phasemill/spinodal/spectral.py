"""A semi-implicit Fourier scheme on the same stencil: an independent check of the explicit solvers."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.spinodal.physics import Medium, double_well_slope

Floats = NDArray[np.float64]

SPLIT = 9.0
"""A, in units of 3 / eps: the part of g' that is taken implicitly, A phi; above half of max |g''| it stabilises."""
START = 8
"""First-order steps that make up the first step of second order."""


class SemiImplicit:
    """SBDF2: (3 phi^{n+1} - 4 phi^n + phi^{n-1}) / (2 dt) = -M kappa ((A + eps kappa) phi^{n+1} + 2 N^n - N^{n-1}).

    N = g'(phi) - A phi, and kappa are the eigenvalues of minus the stencil of `physics.laplacian`: of the Fourier
    transform in a periodic box, of the cosine transform between walls. The mobility is constant.
    """

    def __init__(self, phi: NDArray[Any], medium: Medium, *, dt: float) -> None:
        if medium.law != "constant":
            raise InputError("the spectral scheme needs a constant mobility; use the scheme rkl2 or euler")
        if not 0 < dt < np.inf:
            raise InputError(f"dt is {dt}: it must be positive, such as 0.01")
        self.medium, self.dt, self.phi = medium, dt, np.array(phi, dtype=np.float64)
        self.split = SPLIT * 3 / medium.eps
        self.evaluations = 0
        modes = [np.arange(n) / n * (np.pi / 2 if medium.walls else np.pi) for n in phi.shape]
        lines = [4 / medium.dx**2 * np.sin(k) ** 2 for k in modes]
        self.kappa = np.zeros(phi.shape)
        for axis, line in enumerate(lines):
            self.kappa += line.reshape([-1 if a == axis else 1 for a in range(phi.ndim)])
        if not medium.walls:
            self.kappa = self.kappa[..., : phi.shape[-1] // 2 + 1]

    def _forward(self, field: Floats) -> NDArray[Any]:
        return np.asarray(scipy.fft.dctn(field, norm="ortho") if self.medium.walls else scipy.fft.rfftn(field))

    def _backward(self, spectrum: NDArray[Any]) -> Floats:
        if self.medium.walls:
            return np.asarray(scipy.fft.idctn(spectrum, norm="ortho"))
        return np.asarray(scipy.fft.irfftn(spectrum, s=self.phi.shape))

    def _explicit(self, phi: Floats) -> NDArray[Any]:
        self.evaluations += 1
        remainder = double_well_slope(phi, self.medium.eps) - self.split * phi
        return np.asarray(-self.medium.mobility * self.kappa * self._forward(remainder))

    def advance(self, duration: float) -> None:
        """March on by `duration`, in equal steps of at most dt; a first-order start each time."""
        steps = ceil(duration / self.dt * (1 - 1e-9))
        dt = duration / steps
        implicit = self.medium.mobility * self.kappa * (self.split + self.medium.eps * self.kappa)
        old, old_rate = self._forward(self.phi), self._explicit(self.phi)
        now = old
        for _ in range(START):
            now = (now + dt / START * self._explicit(self._backward(now))) / (1 + dt / START * implicit)
        for _ in range(steps - 1):
            rate = self._explicit(self._backward(now))
            now, old, old_rate = (
                (4 * now - old + 2 * dt * (2 * rate - old_rate)) / (3 + 2 * dt * implicit), now, rate,
            )  # fmt: skip
        self.phi = self._backward(now)
