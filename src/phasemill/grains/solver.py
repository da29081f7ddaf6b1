"""One grain in another, in time: explicit Euler on the obstacle problem, and the implicit schemes that bound it.

integrate(phi, times, medium)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, inf
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.grains import kernels
from phasemill.grains.physics import Floats, Medium, free_energy, rate, stable_dt

Scheme = Literal["backward", "crank-nicolson"]

CFL = 0.8
"""Default dt over the largest stable one."""
OVER_RELAXATION = 1.65
"""Of the implicit sweeps: 6 to 10 times fewer of them than with 1, at the benchmarks' intervals."""


@dataclass(frozen=True)
class Trajectory:
    """An evolution, one entry per stored time."""

    time: Floats
    frames: NDArray[Any]
    """(time, x, y[, z])"""
    energy: Floats
    """`physics.free_energy`"""


class Euler:
    """phi <- clip(phi + dt rate, 0, 1) (PINN-Phase, eq. 4 with explicit steps)."""

    def __init__(self, phi: NDArray[Any], medium: Medium, *, dt: float | None = None, dtype: Any = np.float64) -> None:
        check_field(phi)
        limit = stable_dt(phi.ndim, medium)
        self.dt = CFL * limit if dt is None else dt
        if not 0 < self.dt <= limit:
            raise InputError(
                f"dt is {dt:g}: explicit steps are stable for 0 < dt <= dx^2/(2 d mu sigma) = {limit:.3g} here; beyond "
                "it a checkerboard grows that the obstacle hides; lower dt"
            )
        self.medium, self.layout, self.dimensions = medium, kernels.Layout(phi.shape, dtype), phi.ndim
        self.fields = [self.layout.allocate() for _ in range(2)]
        self.layout.write(phi, self.fields[0])
        self.steps = 0

    @property
    def phi(self) -> NDArray[Any]:
        """The field at the time reached."""
        return self.layout.read(self.fields[0])

    def advance(self, duration: float) -> None:
        """March on by `duration`, in equal steps of at most dt."""
        steps = steps_of(duration, self.dt)
        dt, medium = duration / steps, self.medium
        near, reaction = medium.mu * medium.sigma * dt / medium.dx**2, dt * medium.reaction
        number = self.layout.type.type
        c = tuple(number(one) for one in (1 - 2 * self.dimensions * near + 2 * reaction, near, -reaction))
        driving = number(dt * medium.driving) if medium.dg else None
        kernels.march(*self.fields, self.layout.box, self.layout.strides, c, driving, steps)
        self.steps += steps
        if steps % 2:
            self.fields.reverse()


def steps_of(duration: float, dt: float) -> int:
    """Equal steps of at most dt that fill a duration; raises InputError where it is not positive."""
    if not 0 < duration < inf:
        raise InputError(f"a duration of {duration:g} cannot be marched: give a positive time")
    return ceil(duration / dt * (1 - 1e-9))


def integrate(
    phi: NDArray[Any], times: NDArray[Any], medium: Medium, *, dt: float | None = None, dtype: Any = np.float64,
    show: Callable[[float], None] | None = None,
) -> Trajectory:  # fmt: skip
    """The evolution of `phi`, given at times[0], at all `times`.

    Arguments
    ---------
    phi: initial field (x, y) or (x, y, z) within [0, 1], periodic, at least 4 cells per side.
    times: ascending; the first frame is the initial field.
    dt: of the explicit steps, by default 80 % of the stability limit.
    show: called with each stored time that is reached.

    Raises InputError for a field, a time or a step that cannot be used.
    """
    times = np.asarray(times, np.float64)
    if times.ndim != 1 or not len(times) or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise InputError("times must be finite and ascending, such as 0, 30, 60")
    solver = Euler(phi, medium, dt=dt, dtype=dtype)
    frames, energy = np.empty((len(times), *phi.shape), dtype), np.empty(len(times))
    for number, time in enumerate(times):
        if number:
            solver.advance(time - times[number - 1])
        frames[number] = solver.phi
        energy[number] = free_energy(solver.phi, medium)
        if show:
            show(time)
    return Trajectory(times, frames, energy)


def implicit(phi: NDArray[Any], dt: float, medium: Medium, scheme: Scheme, tolerance: float = 1e-10) -> Floats:
    """One implicit step of the obstacle problem, solved by projected over-relaxed sweeps.

    phi' = clip(phi + dt rate(phi')) (backward Euler) or with the mean of the rates of both ends (Crank-Nicolson), where
    the rate of the known end is zero in pinned cells. This is what a network that minimises the incremental energy
    can reach at best. The solution is unique for dt < eta^2/(pi^2 mu sigma), twice that long for
    Crank-Nicolson; beyond it the one nearest to phi is found.
    """
    check_field(phi)
    if not 0 < dt < inf:
        raise InputError(f"an implicit step of {dt:g} cannot be taken: give a positive time")
    theta = {"backward": 1.0, "crank-nicolson": 0.5}[scheme]
    known = (phi + (1 - theta) * dt * pinned_rate(phi, medium)).ravel()
    near, reaction = theta * dt * medium.mu * medium.sigma / medium.dx**2, theta * dt * medium.reaction
    diagonal = 1 + 2 * phi.ndim * near - 2 * reaction
    numbers = (near, reaction, theta * dt * medium.driving, diagonal)
    found, sides = phi.astype(np.float64).ravel(), kernels.neighbours(phi.shape)
    everywhere = np.arange(found.size)
    beyond = 1.0 if medium.driving else OVER_RELAXATION  # with a driving force a step may have two stable roots
    for _ in range(1000):
        # bulk cells stay pinned: sweeps over all of them only find those that the interface has reached
        if kernels.relax(found, everywhere, known, sides, *numbers, 1.0) < tolerance:
            return found.reshape(phi.shape)
        free = (found > 0) & (found < 1)
        near_by = np.flatnonzero(free | free[sides].any(axis=1))
        for _ in range(100):
            if kernels.relax(found, near_by, known, sides, *numbers, beyond) < tolerance:
                break
    raise InputError(f"the implicit step of {dt:g} did not converge: take a shorter one")


def pinned_rate(phi: NDArray[Any], medium: Medium) -> Floats:
    """The rate with the obstacle: zero where phi is 0 or 1 and the equation would push it further out."""
    found = rate(phi, medium)
    outwards = ((phi <= 0) & (found < 0)) | ((phi >= 1) & (found > 0))
    return np.where(outwards, 0.0, found)


def implicit_march(phi: NDArray[Any], times: NDArray[Any], medium: Medium, scheme: Scheme) -> Iterator[Floats]:
    """The field at all `times`, one implicit step from each to the next."""
    field = phi.astype(np.float64)
    yield field
    for step in np.diff(times):
        field = implicit(field, float(step), medium, scheme)
        yield field


def check_field(phi: NDArray[Any]) -> None:
    """Refuse what cannot be evolved, with one sentence."""
    if phi.ndim not in (2, 3) or min(phi.shape) < 4:
        raise InputError(f"phi has shape {phi.shape}: give a 2-D or 3-D field of at least 4 cells per side")
    if not np.isfinite(phi).all():
        raise InputError(f"phi holds {np.count_nonzero(~np.isfinite(phi))} values that are not finite: repair them")
    if phi.min() < 0 or phi.max() > 1:
        raise InputError(f"phi spans {phi.min():.3g} to {phi.max():.3g}: the obstacle holds it in [0, 1]; clip it")
