"""Explicit Euler for the heat equation, compiled: the fast twin of `physics.euler_step`."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.core.kernels import kernel
from phasemill.transport.physics import stability_number

Floats = NDArray[np.float64]

PAD = 8
"""Columns before and after the cells: one of each is the ghost, all together keep rows on cache lines."""


@dataclass(frozen=True)
class Trajectory:
    """A simulated video with its diagnostics, one entry per stored frame."""

    time: Floats
    frames: Floats
    """(time, x, y)"""
    mean: Floats
    """Mean of phi; the equation conserves it."""
    energy: Floats
    """Dirichlet energy, `physics.dirichlet_energy`."""
    dt_used: float
    """The time step that was taken: dt / subdivisions."""
    subdivisions: int


def integrate(phi0: NDArray[Any], kappa: float, *, dx: float, dt: float, steps: int, save_every: int) -> Trajectory:
    """phi <- phi + kappa dt lap phi, `steps` times in float64, periodic; the initial field is the first frame.

    Where kappa dt lambda_max > 2, each step is divided into the least number of equal ones that is stable.

    Arguments:
        phi0: initial field (size, size).
        kappa: coefficient >= 0, length^2 / time.
        dx, dt: grid spacing and time step.
        steps: number of time steps.
        save_every: time steps between stored frames.

    Raises InputError for a field or a number that is not usable. Source: SAFE-PIT-CM, eqs. 1, 4 and 14.
    """
    phi = np.ascontiguousarray(phi0, dtype=np.float64)
    _check(phi, kappa, dx, dt, steps, save_every)
    # the tolerance keeps a step that is exactly at the limit whole in spite of round-off
    subdivisions = max(1, ceil(stability_number(kappa, dt, dx) / 2 * (1 - 1e-12)))
    dt_used = dt / subdivisions
    frames, energy = _evolve(phi, kappa * dt_used / dx**2, steps // save_every, save_every * subdivisions)
    return Trajectory(
        time=dt * np.arange(0, steps + 1, save_every, dtype=np.float64),
        frames=frames,
        mean=frames.mean(axis=(1, 2)),
        energy=energy,
        dt_used=dt_used,
        subdivisions=subdivisions,
    )


def _check(phi: Floats, kappa: float, dx: float, dt: float, steps: int, save_every: int) -> None:
    """Refuse what cannot be integrated, with one sentence."""
    if phi.ndim != 2 or phi.shape[0] != phi.shape[1] or len(phi) < 3:
        raise InputError(f"phi0 has shape {phi.shape}: give a square field of at least 3 x 3 cells")
    if not np.isfinite(phi).all():
        raise InputError("phi0 contains values that are not finite: remove or repair them")
    if not (isfinite(kappa) and kappa >= 0):
        raise InputError(
            f"kappa is {kappa}: it must be finite and not negative; for a sharpening field (direction -1) "
            "integrate with the positive kappa and reverse the frames in time"
        )
    if not (isfinite(dx) and dx > 0 and isfinite(dt) and dt > 0):
        raise InputError(f"dx ({dx}) and dt ({dt}) must be finite and positive")
    if save_every < 1 or steps < 1 or steps % save_every:
        raise InputError(f"steps ({steps}) must be a multiple of save_every ({save_every}), and both positive")


@kernel
def _evolve(phi0: Floats, ratio: float, intervals: int, steps_between: int) -> tuple[Floats, Floats]:
    """The frames after 0, 1, ..., `intervals` times `steps_between` steps, and their energies."""
    size = len(phi0)
    phi = np.zeros((size + 2, size + 2 * PAD))
    new = np.zeros_like(phi)
    phi[1:-1, PAD:-PAD] = phi0
    for i in range(1, size + 1):
        _fill_ghost_columns(phi[i])
    _fill_ghost_rows(phi)
    frames = np.empty((intervals + 1, size, size))
    energy = np.empty(intervals + 1)
    for frame in range(intervals + 1):
        if frame > 0:
            for _ in range(steps_between):
                _step(phi, new, ratio)
                phi, new = new, phi
        frames[frame] = phi[1:-1, PAD:-PAD]
        energy[frame] = _energy(phi)
    return frames, energy


@kernel
def _step(phi: Floats, new: Floats, ratio: float) -> None:
    """new = phi + ratio dx^2 lap phi, with ratio = kappa dt / dx^2."""
    for i in range(1, len(phi) - 1):
        # views of equal length with one shared index let the compiler vectorise the loop
        here, left, right = phi[i, PAD:-PAD], phi[i, PAD - 1 : -PAD - 1], phi[i, PAD + 1 : -PAD + 1]
        above, below, out = phi[i - 1, PAD:-PAD], phi[i + 1, PAD:-PAD], new[i, PAD:-PAD]
        for j in range(len(out)):
            out[j] = here[j] + ratio * ((above[j] + below[j]) + (left[j] + right[j]) - 4.0 * here[j])
        _fill_ghost_columns(new[i])
    _fill_ghost_rows(new)


@kernel
def _fill_ghost_columns(row: Floats) -> None:
    """Periodic neighbours of the first and the last cell of one row."""
    row[PAD - 1] = row[-PAD - 1]
    row[-PAD] = row[PAD]


@kernel
def _fill_ghost_rows(phi: Floats) -> None:
    """Periodic neighbours of the first and the last row."""
    phi[0] = phi[-2]
    phi[-1] = phi[1]


@kernel
def _energy(phi: Floats) -> float:
    """1/2 sum |grad phi|^2 dx^2 with forward differences, as `physics.dirichlet_energy`; dx cancels."""
    total = 0.0
    for i in range(1, len(phi) - 1):
        for j in range(PAD, phi.shape[1] - PAD):
            total += (phi[i + 1, j] - phi[i, j]) ** 2 + (phi[i, j + 1] - phi[i, j]) ** 2
    return 0.5 * total
