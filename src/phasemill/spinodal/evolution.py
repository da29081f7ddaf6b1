"""Evolve a field of your own, `spinodal.evolve`: every solver, and the trained networks, behind one call."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import psutil
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from phasemill.core.errors import InputError, unknown
from phasemill.core.fields import AXES, as_field
from phasemill.spinodal.physics import WIDEST, Boundary, Floats, Medium, free_energy, stable_dt
from phasemill.spinodal.resume import resumable
from phasemill.spinodal.solver import Stepper, default_dt, make_stepper, march

Solver = Literal["rkl2", "euler", "spectral", "network"]
log = logging.getLogger("phasemill")

TOLERANCE, MODEL, FRAMES = 1e-4, "features", 50
MOST_FRAMES = 100_000
FINEST, LOOSEST = 1e-12, 0.1
"""Tolerances: rounding is near the one, and the other lets whole phases go wrong in a step."""
LONGEST = 20
"""Steps of the spectral scheme, over its default: stable beyond, but wrong by percents."""
FARTHEST = 0.2
"""How far beyond [0, 1] a concentration may stray."""
COARSEST = 2.0
"""Below this eps / dx the grid pins the interfaces."""
UNSTABLE = 0.289
"""Uniform mixtures within this distance of 1/2 demix: g'' < 0."""
TITLE = "Cahn-Hilliard evolution of"
SCHEMES = {
    "rkl2": "RKL2 super-time-stepping, adaptive, float64 (Meyer, Balsara & Aslam 2014)",
    "euler": "explicit Euler, float64",
    "spectral": "semi-implicit SBDF2 in Fourier or cosine space, same stencil, float64",
    "network": "trained conservative network, float32, on a coarser grid",
}
RATE = 100.0
"""Right-hand sides of rkl2 per unit of time for eps = 3, dx = 1, M = 1 at its default tolerance, early in a run."""
TRANSFORMS = 10
"""Cost of a spectral step, in right-hand sides."""
PACE = 2e8
"""Cells that one right-hand side covers in a second on one core, roughly."""


@dataclass(frozen=True)
class Setup:
    """What is asked for; `check` refuses what makes no sense."""

    medium: Medium
    until: float
    every: float | None = None
    solver: Solver = "rkl2"
    tolerance: float | None = None
    dt: float | None = None
    model: str | Path | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        if self.solver not in get_args(Solver):
            raise InputError(unknown(self.solver, get_args(Solver), "solver"))
        if not (np.isfinite(self.until) and self.until > 0):
            raise InputError(f"until is {self.until:g}: give the time to reach, a positive number such as 50")
        if self.every is not None and not 0 < self.every <= self.until:
            raise InputError(
                f"every is {self.every:g}: give a time between frames above 0 and at most until, {self.until:g}"
            )
        if self.tolerance is not None and not FINEST <= self.tolerance <= LOOSEST:
            raise InputError(
                f"tolerance is {self.tolerance:g}: give {FINEST:g} to {LOOSEST:g}, or leave it out for {TOLERANCE:g}"
            )
        if self.dt is not None and not (np.isfinite(self.dt) and self.dt > 0):
            raise InputError(f"dt is {self.dt:g}: it must be positive; leave it out for the default")
        for name, solvers in (("tolerance", ("rkl2",)), ("dt", ("euler", "spectral")), ("model", ("network",))):
            if getattr(self, name) is not None and self.solver not in solvers:
                raise InputError(
                    f"{name} is for the solver {' or '.join(solvers)}, not for {self.solver}: leave it out"
                )

    @property
    def times(self) -> Floats:
        """0, every, 2 every ... and until; by default 50 intervals."""
        every = self.until / FRAMES if self.every is None else self.every
        if self.until / every > MOST_FRAMES:
            raise InputError(
                f"every is {every:g}: that makes {self.until / every:.0f} frames, above {MOST_FRAMES}; make it longer"
            )
        times = np.asarray(every * np.arange(int(self.until / every * (1 + 1e-12)) + 1), np.float64)
        return times if self.until - times[-1] < 1e-9 * self.until else np.append(times, self.until)


@dataclass
class Course:
    """Frames to come, at which times and on which grid."""

    frames: Iterator[tuple[NDArray[Any], int]]
    times: Floats
    shape: tuple[int, ...]
    dx: float
    """Size of a stored cell."""
    first: float
    """Centre of the first cell, from the face of the box as given."""
    facts: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


def evolve(
    phi0: ArrayLike, *, until: float, every: float | None = None, solver: Solver = "rkl2",
    boundary: Boundary = "periodic", eps: float = 3.0, mobility: float = 1.0, dx: float = 1.0,
    tolerance: float | None = None, dt: float | None = None, model: str | Path | None = None, threads: int = 1,
) -> xr.Dataset:  # fmt: skip
    """Evolve a concentration in memory by the Cahn-Hilliard equation from t = 0 to `until`.

    phi_t = M lap(g'(phi) - eps lap phi), g = 18 / eps phi^2 (1 - phi)^2: interfaces have the free energy 1 per area.

    Arguments
    ---------
    phi0: concentration (x, y) or (x, y, z), 0 and 1 in the two phases; integers are stretched to 0 ... 1.
    until, every: time to reach, and between frames (default: until / 50). Demixing begins at about eps^3 / (27 M).
    solver: `rkl2` (super-time-stepping) adapts its step to `tolerance` (1e-4; 1e-3 for long runs); `euler` and
        `spectral` take steps of at most `dt` (default: a safe one); `network` is the trained `model` (`features`,
        `raw`, `stride`, or a file) on every second cell of a periodic 3-D box, default `features`.
    boundary: `periodic`, or `noflux` for walls.
    eps: interface width, at least 2 dx, better 3.
    mobility: M, a constant.
    dx: size of a cell, in the unit of eps.
    threads: used for boxes of 96^3 cells and more.

    Returns phi (time, x, y[, z]) in float32 and, by time in float64, energy (free energy), mean (conserved) and
    interface_area, in 2-D a length. The attributes tell the scheme, the parameters and the `warnings`, which are also
    logged. phi of a network is on its own, coarser grid, at times that are multiples of its interval.

    Raises InputError, one sentence with the remedy, for what cannot be evolved.

    Source: Lanzoni et al. 2024, eq. 1-2; rkl2: Meyer, Balsara & Aslam 2014.

    Examples
    --------
    >>> import numpy as np
    >>> import phasemill
    >>> phi0 = np.random.default_rng(0).uniform(0.4, 0.6, (32, 32))
    >>> result = phasemill.evolve(phi0, until=50, every=10)
    >>> result.phi.dims, bool((result.energy.diff("time") < 0).all())  # the free energy falls
    (('time', 'x', 'y'), True)
    >>> float(abs(result["mean"] - phi0.mean()).max()) < 1e-12  # and the mass is conserved
    True
    """
    if isinstance(phi0, xr.Dataset):
        raise InputError("evolve takes one array: choose a variable and a frame, such as ds.phi.isel(time=-1)")
    numbers = {"until": until, "eps": eps, "mobility": mobility, "dx": dx}
    given = {
        name: value for name, value in (("every", every), ("tolerance", tolerance), ("dt", dt)) if value is not None
    }
    for name, value in (numbers | given).items():
        if np.ndim(value) or np.asarray(value).dtype.kind not in "iuf":
            raise InputError(f"{name} is {value!r}: give a number")
    values, note = as_field(np.asarray(phi0), "phi0")
    setup = Setup(Medium(eps, mobility, dx, boundary), until, every, solver, tolerance, dt, model, threads)
    return run(values, setup, "phi0", [note] if note else []).isel(sim=0, drop=True)


def run(
    phi: Floats, setup: Setup, name: str, notes: Sequence[str] = (), *, folder: Path | None = None,
    show: Callable[[int, float], None] = lambda number, time: None,
) -> xr.Dataset:  # fmt: skip
    """The evolution as a data set with dims (sim, time, x, y[, z]), one simulation.

    `folder` takes the checkpoints of the solvers; `show` is called with the number and the time of each frame.
    """
    doubts = _doubts(phi, setup.medium)
    course = _learned(phi, setup) if setup.solver == "network" else _solved(phi, setup, folder)
    _affordable(course)
    said = [*notes, *doubts, *course.warnings]
    for sentence in said:
        log.warning("%s", sentence)
    medium, count = setup.medium, len(course.times)
    log.info("%s", _announcement(setup, course))
    frames = np.empty((count, *course.shape), np.float32)
    energy, mean, area = np.empty(count), np.empty(count), np.empty(count)
    evaluations = np.empty(count, np.int64)
    for number, (values, evaluations[number]) in enumerate(course.frames):
        frames[number] = values
        energy[number] = free_energy(values, medium.eps, course.dx, medium.walls)
        mean[number] = np.mean(values, dtype=np.float64)
        area[number] = interface_area(values, course.dx, medium.walls)
        show(number, float(course.times[number]))
    axes = AXES[: phi.ndim]
    attrs = _attrs(setup, course, name) | {"evaluations": int(evaluations[-1]), "warnings": "\n".join(said) or "none"}
    diagnostics = {
        "energy": (energy, "free energy"),
        "mean": (mean, "mean of phi, conserved"),
        "interface_area": (area, "area of the interfaces, in 2-D their length: sum |grad(phi^2 (3 - 2 phi))| dx^d"),
    }
    return xr.Dataset(
        {
            "phi": (("sim", "time", *axes), frames[None], {"units": "1", "long_name": "concentration"}),
            **{
                key: (("sim", "time"), values[None], {"units": "1", "long_name": words})
                for key, (values, words) in diagnostics.items()
            },
        },
        coords={
            "sim": ("sim", [0], {"units": "1", "long_name": "simulation"}),
            "time": ("time", course.times, {"units": "1", "long_name": "time"}),
            **{
                axis: (axis, course.first + course.dx * np.arange(n), {"units": "1", "long_name": axis})
                for axis, n in zip(axes, course.shape, strict=True)
            },
        },
        attrs=attrs,
    )


def interface_area(phi: NDArray[Any], dx: float, walls: bool = False) -> float:
    """A = sum |grad(phi^2 (3 - 2 phi))| dx^d with central differences: the area of the interfaces, in 2-D their length.

    By the coarea formula the integral is the mean area of the surfaces phi = c with the weight 6 c (1 - c), which
    vanishes in the two phases. It never exceeds the free energy in the continuum, and equals it at rest.
    On a grid it is exact for flat interfaces along an axis or a diagonal, and within 1 % for spheres of radius 2 eps.
    """
    field = np.pad(np.asarray(phi, dtype=np.float64), 1, mode="symmetric" if walls else "wrap")
    risen = field**2 * (3 - 2 * field)
    inner = (slice(1, -1),) * field.ndim
    slopes = [np.gradient(risen, axis=axis)[inner] for axis in range(field.ndim)]
    return float(np.sqrt(np.sum(np.square(slopes), axis=0)).sum()) * dx ** (field.ndim - 1)


def _solved(phi: Floats, setup: Setup, folder: Path | None) -> Course:
    medium, times, scheme = setup.medium, setup.times, setup.solver
    assert scheme != "network"
    tolerance = setup.tolerance or TOLERANCE
    stepper = make_stepper(phi, medium, scheme, dt=setup.dt, tolerance=tolerance, threads=setup.threads)
    if scheme == "spectral" and stepper.dt > (limit := LONGEST * default_dt(scheme, phi.ndim, medium)):
        raise InputError(
            f"dt is {stepper.dt:g}: the spectral scheme is too inaccurate above {limit:.3g} here; lower it, or use rkl2"
        )
    facts = {"tolerance": tolerance} if scheme == "rkl2" else {"dt": stepper.dt}
    if folder is None:
        frames = _marching(stepper, times)
    else:
        going_on = resumable(
            phi, times, folder, medium=medium, scheme=scheme, dt=setup.dt, tolerance=tolerance, threads=setup.threads
        )
        frames = _cleaning_up(going_on, folder)
    return Course(frames, times, phi.shape, medium.dx, medium.dx / 2, facts)


def _marching(stepper: Stepper, times: Floats) -> Iterator[tuple[NDArray[Any], int]]:
    return ((values, stepper.evaluations) for values in march(stepper, times))


def _cleaning_up(frames: Iterator[tuple[NDArray[Any], int]], folder: Path) -> Iterator[tuple[NDArray[Any], int]]:
    """A run that fails for good leaves no checkpoints behind; one that is killed does."""
    try:
        yield from frames
    except InputError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _learned(phi: Floats, setup: Setup) -> Course:
    from phasemill.spinodal.forecast import prepare
    from phasemill.spinodal.library import load_model

    model = setup.model or MODEL
    plan = prepare(phi, setup.medium, setup.times, load_model(model))
    facts = {"model": str(model), "interval": float(plan.times[1] / plan.marks[1]), "dx_network": plan.dx}
    said = [
        *plan.warnings,
        f"phi is given on the network's grid, {' x '.join(map(str, plan.start.shape))} cells of {plan.dx:g}",
    ]
    return Course(plan.frames(), plan.times, plan.start.shape, plan.dx, plan.first, facts, said)


def _doubts(phi: Floats, medium: Medium) -> list[str]:
    """Refuse what is no concentration; sentences about what is doubtful."""
    low, high = float(phi.min()), float(phi.max())
    if low < -FARTHEST or high > 1 + FARTHEST:
        remedy = "use (1 + phi) / 2" if low >= -1.5 and high <= 1.5 and low < -FARTHEST else "rescale it"
        raise InputError(
            f"phi spans {low:.3g} to {high:.3g}, but it is a concentration with the phases 0 and 1: {remedy}"
        )
    said = []
    if low < -WIDEST or high > 1 + WIDEST:
        said.append(f"phi spans {low:.3g} to {high:.3g}, beyond the phases 0 and 1")
    if medium.eps < COARSEST * medium.dx:
        said.append(
            f"eps / dx is {medium.eps / medium.dx:.2g}: interfaces so thin are pinned by the grid; 3 or more is safe"
        )
    elif medium.eps * 4 > medium.dx * min(phi.shape):
        said.append(
            f"eps is {medium.eps:g}, the box only {medium.dx * min(phi.shape):g} wide: interfaces hardly fit; lower eps"
        )
    if abs(phi.mean() - 0.5) > UNSTABLE and phi.std() < 0.05:
        said.append(f"phi is nearly uniform at {phi.mean():.3g}, a stable mixture: it will level out, not demix")
    return said


def _announcement(setup: Setup, course: Course) -> str:
    cells = " x ".join(map(str, course.shape))
    text = f"{cells} cells to t = {course.times[-1]:g} with {setup.solver}, {len(course.times)} frames"
    if setup.solver == "network":
        return text
    work = setup.until / _spacing(setup, course) * np.prod(course.shape) / PACE
    return f"{text}: roughly {_duration(work)}, and 10 s more to compile in the first run of all"


def _spacing(setup: Setup, course: Course) -> float:
    """Time units that cost one right-hand side, roughly."""
    if setup.solver == "rkl2":
        clock = stable_dt(3, setup.medium) / stable_dt(3, Medium())
        return float(clock / RATE * (course.facts["tolerance"] / TOLERANCE) ** 0.25)
    return float(course.facts["dt"]) / (TRANSFORMS if setup.solver == "spectral" else 1)


def _duration(seconds: float) -> str:
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (129600, 3600, "h")):
        if seconds < limit:
            return f"{max(1, round(seconds / unit))} {name}"
    return f"{seconds / 86400:.3g} days"


def _affordable(course: Course) -> None:
    count = len(course.times)
    need, free = 4.0 * count * np.prod(course.shape), psutil.virtual_memory().available
    if need > 0.8 * free:
        raise InputError(
            f"{count} frames of {' x '.join(map(str, course.shape))} cells need {need / 2**30:.1f} GiB of memory, "
            f"{free / 2**30:.1f} are free: give a longer time between frames, every"
        )


def _attrs(setup: Setup, course: Course, name: str) -> dict[str, Any]:
    medium = setup.medium
    gaps = np.diff(course.times)
    return {
        "title": f"{TITLE} {name}",
        "equation": "d phi/dt = M lap mu, mu = 36/eps phi (1 - phi) (1 - 2 phi) - eps lap phi",
        "scheme": SCHEMES[setup.solver],
        "solver": setup.solver,
        "stencil": f"{2 * len(course.shape) + 1}-point Laplacian of phi and of mu; forward differences in the energy",
        "boundary": medium.boundary,
        "eps": medium.eps,
        "mobility": medium.mobility,
        "dx": course.dx,
        "eps_over_dx": medium.eps / course.dx,
        **course.facts,
        "save_interval": float(gaps[0]),
        "seed_rule": "none: the initial field was given",
        "dtype": "float32; diagnostics float64, from the solver's own field",
        "units": "non-dimensional",
        "references": "Lanzoni et al. 2024",
    }
