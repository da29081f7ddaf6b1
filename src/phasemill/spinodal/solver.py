"""Cahn-Hilliard in time: explicit Euler, adaptive super-time-stepping (RKL2), and a semi-implicit spectral cross-check.

    integrate(phi, times, scheme="rkl2", tolerance=1e-4)

The three march the same spatial discretisation, `physics.rate`. Euler is the paper's scheme. RKL2 takes s cheap stages
that together are stable over (s^2 + s - 2) / 4 Euler limits; late coarsening then needs 40 times fewer evaluations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.spinodal import kernels
from phasemill.spinodal.physics import Medium, free_energy, stable_dt

Floats = NDArray[np.float64]
Scheme = Literal["euler", "rkl2", "spectral"]

MANY_CELLS = 96**3
"""Below so many cells a second thread costs more than it saves."""
MOST_STAGES = 81
"""Of a step of RKL2, unless told otherwise; more of them pay only at tolerances that lose the pattern."""
DT = 1.25e-3
"""The paper's time step, for eps = 3, dx = 1, M = 1."""


@dataclass(frozen=True)
class Trajectory:
    """An evolution with its diagnostics, one entry per stored time."""

    time: Floats
    frames: NDArray[Any]
    """(time, x, y[, z])"""
    energy: Floats
    """`physics.free_energy`, from the field in the precision of the solver."""
    mean: Floats
    """Mean of phi; the equation conserves it."""
    evaluations: NDArray[np.int64]
    """Right-hand sides computed until each stored time."""


class Stepper(Protocol):
    """What `integrate` drives."""

    dt: float
    """The step that it takes next, or the longest that it takes; with phi the whole state at a stored time."""
    evaluations: int

    @property
    def phi(self) -> NDArray[Any]:
        """The field at the time reached."""

    def advance(self, duration: float) -> None:
        """March on by `duration`."""


class Padded:
    """A box with its ghosts and the compiled right-hand side."""

    def __init__(self, phi: NDArray[Any], medium: Medium, dtype: Any, threads: int, fields: int) -> None:
        self.medium, self.shape = medium, phi.shape
        self.type = np.dtype(dtype).type
        self.box = kernels.box_of(phi.shape, medium.walls)
        self.well = self._numbers(36 / medium.eps, 6 * medium.eps / medium.dx**2, medium.eps / medium.dx**2)
        self.degenerate = medium.law == "degenerate"
        self.fields = list(kernels.allocate(phi.shape, dtype, fields))
        slabs = max(1, min(threads, phi.shape[0] // 2)) if phi.size >= MANY_CELLS else 1
        self.rings = kernels.aligned((slabs, kernels.SCRATCH, self.fields[0].shape[1]), dtype)
        self.scale = medium.mobility / medium.dx**2
        self.evaluations = 0
        kernels.cells(self.fields[0], phi.shape)[...] = phi
        kernels.fill(self.fields[0], self.box)

    @property
    def phi(self) -> NDArray[Any]:
        """The field at the time reached."""
        return kernels.cells(self.fields[0], self.shape)

    def _numbers(self, *values: float) -> tuple[Any, ...]:
        return tuple(self.type(value) for value in values)

    def combine(self, z: NDArray[Any], y: NDArray[Any], keep: float, weight: float) -> None:
        """z <- keep y + weight f(y)."""
        self.stage(z, y, y, y, (keep, 0.0, 0.0, 0.0, weight), whole=False)

    def stage(
        self, z: NDArray[Any], y: NDArray[Any], y0: NDArray[Any], f0: NDArray[Any], c: tuple[float, ...],
        *, whole: bool = True,
    ) -> None:  # fmt: skip
        """z <- c0 y + c1 z + c2 y0 + c3 f0 + c4 f(y); unless `whole`, c1 = c2 = c3 = 0 and z is not read."""
        numbers = self._numbers(*c[:4], c[4] * self.scale)
        sweep = kernels.whole if len(self.rings) == 1 else kernels.slabs
        sweep(y, z, y0, f0, self.rings, numbers, self.well, self.box, whole, self.degenerate)
        self.evaluations += 1


class Euler(Padded):
    """phi <- phi + dt f(phi) (Lanzoni et al. 2024, section 2.1)."""

    def __init__(
        self, phi: NDArray[Any], medium: Medium, *, dt: float, dtype: Any = np.float64, threads: int = 1
    ) -> None:
        super().__init__(phi, medium, dtype, threads, 2)
        limit = stable_dt(phi.ndim, medium)
        if not 0 < dt <= limit:
            raise InputError(
                f"dt is {dt:g}: explicit Euler is stable for 0 < dt <= {limit:.3g} here "
                f"(eps {medium.eps:g}, dx {medium.dx:g}, mobility {medium.mobility:g}, phi within -0.05 to 1.05); "
                "lower it, or use the scheme rkl2, which chooses its own steps"
            )
        self.dt = dt

    def advance(self, duration: float) -> None:
        """March on by `duration`, in equal steps of at most dt."""
        steps = ceil(duration / self.dt * (1 - 1e-9))
        numbers = self._numbers(1, 0, 0, 0, duration / steps * self.scale)
        if len(self.rings) == 1:
            kernels.euler(*self.fields, self.rings, numbers, self.well, self.box, self.degenerate, steps)
            self.evaluations += steps
            if steps % 2:
                self.fields.reverse()
            return
        for _ in range(steps):
            self.combine(self.fields[1], self.fields[0], 1.0, duration / steps)
            self.fields.reverse()


class Rkl2(Padded):
    """Runge-Kutta-Legendre super-time-stepping of second order with an adaptive step (Meyer, Balsara & Aslam 2014).

    The local error rms(0.8 (y0 - y1) + 0.4 dt (f0 + f1)) is held near `tolerance` by dt <- dt min(2, max(0.3,
    0.9 (tolerance / error)^(1/3))); a step with more than twice the tolerance is taken again. Stages follow from dt,
    at most `most_stages`.
    """

    def __init__(
        self, phi: NDArray[Any], medium: Medium, *, tolerance: float, dtype: Any = np.float64, threads: int = 1,
        dt: float | None = None, most_stages: int = MOST_STAGES,
    ) -> None:  # fmt: skip
        super().__init__(phi, medium, dtype, threads, 5)
        if not 0 < tolerance < np.inf:
            raise InputError(f"tolerance is {tolerance}: it must be positive, such as 1e-4")
        self.tolerance = tolerance
        self.limit = stable_dt(phi.ndim, medium)
        self.longest = self.limit * (most_stages**2 + most_stages - 2) / 4
        self.dt = min(self.limit if dt is None else dt, self.longest)
        """The step that the error control would take next; with phi the whole state, from which a run can go on."""
        self.steps = self.rejected = 0
        self.combine(self.fields[1], self.fields[0], 0.0, 1.0)  # y0 and its rate f0; three are to work in

    def advance(self, duration: float) -> None:
        """March on by `duration`."""
        left = duration
        while left > 0:
            steps = ceil(left / self.dt * (1 - 1e-9))
            # the last two are made equal, so that none is tiny
            dt = left / steps if steps <= 2 else self.dt
            error, reached = self.step(dt)
            if not np.isfinite(error):
                raise InputError("the field grew without bound: rescale phi to 0 to 1, or lower the tolerance")
            factor = min(2.0, max(0.3, 0.9 * (self.tolerance / max(error, 1e-300)) ** (1 / 3)))
            if error > 2 * self.tolerance:
                self.rejected += 1
                self.dt = dt * factor
                continue
            self.steps += 1
            self.fields = reached
            left = 0.0 if steps == 1 else left - dt
            # a step cut short to end on a stored time says little about the next one
            self.dt = min(max(dt * factor, self.dt if factor >= 1 else 0.0), self.longest)

    def step(self, dt: float) -> tuple[float, list[NDArray[Any]]]:
        """One step from fields[0], which stays; the error, and the fields in the order that accepts the step."""
        y0, f0, older, newer, f1 = self.fields
        first, *rest = rkl2_coefficients(stages_for(dt / self.limit))
        np.copyto(older, y0)
        np.multiply(f0, self.type(first * dt), out=newer)
        newer += y0
        for mu, nu, own, fresh, initial in rest:
            self.stage(older, newer, y0, f0, (mu, nu, own, initial * dt, fresh * dt))
            older, newer = newer, older
        self.combine(f1, newer, 0.0, 1.0)
        return float(kernels.error_norm(y0, newer, f0, f1, dt, self.box)), [newer, f1, older, y0, f0]


def stages_for(ratio: float) -> int:
    """The least odd s >= 3 with (s^2 + s - 2) / 4 >= ratio = dt / (Euler limit)."""
    s = ceil((sqrt(9 + 16 * ratio) - 1) / 2 * (1 - 1e-12))
    return max(3, s + 1 - s % 2)


def rkl2_coefficients(s: int) -> list[Any]:
    """mu~_1, then (mu_j, nu_j, 1 - mu_j - nu_j, mu~_j, gamma~_j) of the stages j = 2 ... s.

    y_j = mu_j y_{j-1} + nu_j y_{j-2} + (1 - mu_j - nu_j) y_0 + mu~_j dt f(y_{j-1}) + gamma~_j dt f(y_0), after
    y_1 = y_0 + mu~_1 dt f(y_0) (Meyer et al. 2014, eq. 16-18).
    """
    w = 4 / (s**2 + s - 2)
    b = [1 / 3, 1 / 3, *((j**2 + j - 2) / (2 * j * (j + 1)) for j in range(2, s + 1))]
    found: list[Any] = [b[1] * w]
    for j in range(2, s + 1):
        mu = (2 * j - 1) / j * b[j] / b[j - 1]
        nu = -(j - 1) / j * b[j] / b[j - 2]
        fresh = mu * w
        found.append((mu, nu, 1 - mu - nu, fresh, -(1 - b[j - 1]) * fresh))
    return found


def integrate(
    phi: NDArray[Any],
    times: NDArray[Any],
    *,
    medium: Medium = Medium(),
    scheme: Scheme = "rkl2",
    dt: float | None = None,
    tolerance: float = 1e-4,
    dtype: Any = np.float64,
    threads: int = 1,
    show: Callable[[float], None] | None = None,
) -> Trajectory:
    """The evolution of `phi`, given at times[0], at all `times`.

    Arguments
    ---------
    phi: initial field (x, y) or (x, y, z), cells of one size, at least 4 per side.
    times: ascending; the first frame is the initial field.
    medium: constants of the equation, grid and boundary.
    scheme: `rkl2` adapts its step to `tolerance`; `euler` and `spectral` take steps of at most `dt`
        (by default 1.25e-3 and 0.01 for eps = 3, dx = 1, M = 1, scaled with the stability limit).
    dtype: float64, or float32 for short runs: rounding then drifts the mean by 1e-7 in 50 and 1e-4 in 500 time units.
    threads: used for boxes of 96^3 cells and more.
    show: called with each stored time that is reached.

    Raises InputError for a field, a time or a step that cannot be used.
    """
    times = np.asarray(times, dtype=np.float64)
    stepper = make_stepper(phi, medium, scheme, dt=dt, tolerance=tolerance, dtype=dtype, threads=threads)
    if times.ndim != 1 or not len(times) or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise InputError("times must be finite and ascending, such as 0, 0.5, 1")
    frames = np.empty((len(times), *phi.shape), dtype)
    energy, mean = np.empty(len(times)), np.empty(len(times))
    evaluations = np.empty(len(times), np.int64)
    for number, field in enumerate(march(stepper, times)):
        frames[number] = field
        energy[number] = free_energy(field, medium.eps, medium.dx, medium.walls)
        mean[number] = np.mean(field, dtype=np.float64)
        evaluations[number] = stepper.evaluations
        if show:
            show(times[number])
    return Trajectory(times, frames, energy, mean, evaluations)


def march(stepper: Stepper, times: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The field at each of `times`, the first of which is now; a view, valid until the next one is asked for."""
    for number, time in enumerate(times):
        if number:
            stepper.advance(time - times[number - 1])
        if not np.isfinite(stepper.phi).all():
            raise InputError(f"the field is not finite any more at t = {time:g}: lower dt, or use the scheme rkl2")
        yield stepper.phi


def make_stepper(
    phi: NDArray[Any], medium: Medium, scheme: Scheme, *, dt: float | None = None, tolerance: float = 1e-4,
    dtype: Any = np.float64, threads: int = 1,
) -> Stepper:  # fmt: skip
    """The solver of that name, at the initial field `phi`; arguments and errors as of `integrate`."""
    check_field(phi)
    if scheme == "rkl2":
        return Rkl2(phi, medium, tolerance=tolerance, dtype=dtype, threads=threads)
    step = default_dt(scheme, phi.ndim, medium) if dt is None else dt
    if scheme == "euler":
        return Euler(phi, medium, dt=step, dtype=dtype, threads=threads)
    if scheme == "spectral":
        from phasemill.spinodal.spectral import SemiImplicit

        return SemiImplicit(phi, medium, dt=step)
    raise InputError(f"scheme {scheme!r} is unknown; use 'rkl2', 'euler' or 'spectral'")


def default_dt(scheme: Scheme, dimensions: int, medium: Medium) -> float:
    """The paper's time step, scaled with the stability limit; the spectral scheme takes 8 times as long ones."""
    return (8 if scheme == "spectral" else 1) * DT * (stable_dt(dimensions, medium) / stable_dt(3, Medium()))


def check_field(phi: NDArray[Any]) -> None:
    """Refuse what cannot be evolved, with one sentence."""
    if phi.ndim not in (2, 3) or min(phi.shape) < 4:
        raise InputError(f"phi has shape {phi.shape}: give a 2-D or 3-D field of at least 4 cells per side")
    if not np.isfinite(phi).all():
        raise InputError(f"phi holds {np.count_nonzero(~np.isfinite(phi))} values that are not finite: repair them")
    low, high = float(phi.min()), float(phi.max())
    if low < -0.5 or high > 1.5:
        raise InputError(f"phi spans {low:.3g} to {high:.3g}: it is a concentration between 0 and 1; rescale it")


def geometric_times(until: float, frames: int, interval: float) -> Floats:
    """0 and about `frames` multiples of `interval` up to `until`, evenly spaced in log t; equal ones count once."""
    steps = np.unique(np.round(np.geomspace(1, round(until / interval), frames)))
    return np.concatenate([[0.0], interval * steps])
