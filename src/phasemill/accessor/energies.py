"""Free energies of the equations in our data sets, frame by frame, and what else is measured of a frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.grains import physics as grains
from phasemill.spinodal import physics as spinodal
from phasemill.transport import physics as transport

Frame = NDArray[Any]


@dataclass(frozen=True)
class Law:
    """A free energy, the equations that it belongs to, and the constants that it needs beside dx."""

    equation: str
    """Regular expression that finds it in the data set's `equation`."""
    energy: Callable[..., float]
    """energy(frame, dx, *constants)"""
    constants: tuple[str, ...] = ()
    defaults: Mapping[str, float] = field(default_factory=dict)
    units: str = "1"
    """In SI; `J` is per metre of depth in 2-D."""


def _cahn_hilliard(phi: Frame, dx: float, eps: float, sigma: float, walls: float) -> float:
    return sigma * spinodal.free_energy(phi, eps, dx, bool(walls))


def _two_phase(phi: Frame, dx: float, eta: float, sigma: float, dg: float) -> float:
    return grains.free_energy(phi, grains.Medium(eta=eta, mu=1, sigma=sigma, dx=dx, dg=dg))


def many_phase(phi: Frame, dx: float, eta: float, sigma: float) -> float:
    """4 sigma/eta sum over cells and pairs a < b of phi_a phi_b - (eta/pi)^2 grad phi_a . grad phi_b; (grain, x, y)."""
    phases = np.asarray(phi, np.float64)
    total = _pairs(phases)
    for axis in range(1, phases.ndim):
        total -= (eta / np.pi / dx) ** 2 * _pairs(np.roll(phases, -1, axis) - phases)
    return 4 * sigma / eta * total * dx ** (phases.ndim - 1)


def _pairs(values: Frame) -> float:
    """sum over a < b of values_a values_b = ((sum values)^2 - sum values^2) / 2, of all cells."""
    return float(np.sum(values.sum(axis=0) ** 2) - np.sum(values**2)) / 2


def _dirichlet(phi: Frame, dx: float) -> float:
    return transport.dirichlet_energy(np.asarray(phi, np.float64), dx)


def _dissipation(phi: Frame, dx: float, kappa: Frame, walls: float) -> float:
    from phasemill.transport.varying import dissipation

    return dissipation(np.asarray(phi, np.float64), kappa, "neumann" if walls else "periodic")


def _double_well(u: Frame, dx: float, eps2: float) -> float:
    """int eps2/2 |grad u|^2 + (1 - u^2)^2 / 4, periodic, forward differences."""
    u = np.asarray(u, np.float64)
    slopes = sum(np.sum((np.roll(u, -1, axis) - u) ** 2) for axis in range(u.ndim)) / dx**2
    return float(eps2 / 2 * slopes + np.sum((1 - u**2) ** 2) / 4) * dx**u.ndim


def _fourier(u: Frame, dx: float, diffusion: float, reaction: float) -> float:
    from phasemill.pinns.reference import allen_cahn_energy

    return float(allen_cahn_energy(np.asarray(u, np.float64), diffusion, reaction))


LAWS = (
    Law(r"mu = 36/eps phi", _cahn_hilliard, ("eps", "sigma", "walls"), {"sigma": 1.0, "walls": 0.0}, "J"),
    Law(r"mu sigma \[lap", _two_phase, ("eta", "sigma", "dg"), {"dg": 0.0}, "J"),
    Law(r"on the simplex", many_phase, ("eta", "sigma"), units="J"),
    Law(r"phi/dt = (-|direction )?kappa lap phi", _dirichlet),
    Law(r"div\(kappa grad phi\)", _dissipation, ("kappa_map", "walls"), {"walls": 0.0}, "m2 s-1"),
    Law(r"u_t = diffusion u_xx \+ reaction \(u - u\^3\)", _fourier, ("diffusion", "reaction")),
    Law(r"u_t = M \(eps2 lap u - \(u\^3 - u\)\)|u_t = M lap \(u\^3 - u - eps2 lap u\)", _double_well, ("eps2",)),
)


def grain_radius(phases: Frame, dx: float, walls: float) -> float:
    """Mean radius of the grains (grain, x, y[, z]) that are there: more than half of a cell somewhere, not dust."""
    space, cells = phases.ndim - 1, tuple(range(1, phases.ndim))
    sums = np.asarray(np.sum(phases, axis=cells, dtype=np.float64))
    volumes = sums[np.max(phases, axis=cells) > 0.5] * dx**space
    radii = (volumes / (np.pi if space == 2 else 4 * np.pi / 3)) ** (1 / space)
    return float(radii.mean()) if len(radii) else 0.0


def own_grid(frame: Frame) -> Frame:
    """Without the nan that fill up a frame of a smaller grid than the others': whole slabs at the ends of the axes."""
    there = np.argwhere(~np.isnan(frame))
    return (
        frame[tuple(slice(end + 1) for end in there.max(axis=0))] if len(there) < frame.size and len(there) else frame
    )
