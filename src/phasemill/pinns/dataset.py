"""The data sets `burgers_truth`, `poisson_truth` and `allen_cahn_truth`, in float64, with their own errors beside them.

Errors of a network reach 1e-5, so that float32 would be a part of what is measured.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from phasemill.core import store
from phasemill.core.blocks import Job
from phasemill.core.errors import InputError
from phasemill.core.provenance import Clock
from phasemill.pinns import reference
from phasemill.pinns.config.data import AllenCahnTruthJob, BurgersTruthJob, PoissonTruthJob
from phasemill.pinns.physics import EQUATIONS, AllenCahn, Bounds, Burgers, Equation, Floats, Poisson
from phasemill.pinns.reference import Reference

PAPER = "DN-PINN (Deguchi and Asai 2023), section 4"
SPACE_AND_TIME = ("time", "x", "y")
STARTS: tuple[reference.Start, ...] = ("sampled", "projected")
LONG_NAMES = {
    "time": "time",
    "x": "x coordinate",
    "y": "y coordinate",
    "viscosity": "viscosity",
    "omega": "wave number of u",
    "diffusion": "diffusion rate",
    "reaction": "reaction rate",
    "solved_on": "points along x on which it was solved",
}

log = logging.getLogger("phasemill")


def open_truth(path: Path, problem: str) -> xr.Dataset:
    """The store of a problem.

    Raises InputError for another problem's.
    """
    dataset = store.open_dataset(path)
    if (found := dataset.attrs.get("problem", "no problem of this wing")) != problem:
        raise InputError(f"{path} holds {found}, not {problem}; give the store that {problem}_truth makes")
    return dataset


def equation(dataset: xr.Dataset, bounds: Bounds = "paper") -> Equation:
    """The equation of a store, with its coefficients."""
    kind = EQUATIONS[str(dataset.attrs["problem"])]
    names = [field.name for field in dataclasses.fields(kind) if field.name != "bounds"]
    return kind(bounds=bounds, **{name: float(dataset[name].values[-1]) for name in names})


def load(dataset: xr.Dataset, equation: Equation, sim: int = -1) -> Reference:
    """The part of a simulation inside the equation's domain: of Burgers with the code's bounds t up to 0.99.

    The last simulation is the best; the first one of Allen-Cahn is solved as is usual.
    """
    field = dataset["u"].isel(sim=sim)
    first, second = (np.asarray(dataset[dim].values, np.float64) for dim in field.dims)
    chosen = [
        (low - 1e-9 <= axis) & (axis <= high + 1e-9)
        for axis, low, high in zip((first, second), equation.low, equation.high, strict=True)
    ]
    u = np.asarray(field.values, np.float64)[np.ix_(*chosen)]
    return Reference(first[chosen[0]], second[chosen[1]], u)


def burgers(job: BurgersTruthJob, output: Path, *, threads: int = 1) -> None:
    """Evaluate Burgers' solution and store it."""
    clock, wanted = Clock(), job.burgers_data
    t, x = np.linspace(0, 1, wanted.frames + 1), np.linspace(-1, 1, wanted.points)
    u = reference.burgers(t[:, None], x, wanted.viscosity)
    other = reference.burgers_trapezoid(t[:, None], x, wanted.viscosity)
    attrs = {
        "title": "Burgers' equation: a sine steepens into a shock",
        "scheme": "Cole-Hopf, Gauss-Hermite quadrature",
        "stencil": "none: each point by itself",
        "boundary": "u = 0 at both ends",
        "interval": 1 / wanted.frames,
        "dx": 2 / (wanted.points - 1),
        "grid_of_the_paper": "all frames but the last: its reference ends at t = 0.99",
        "references": f"{PAPER}, eqs. 28 to 30; Hopf 1950; Cole 1951",
    }
    checks = {"quadrature_error": "largest difference of u from the trapezoid rule"}
    coords = {"time": t, "x": x, "viscosity": [wanted.viscosity]}
    sim = {"u": u, "quadrature_error": _apart(u, other)}
    _write(_Truth(Burgers(), attrs, coords, [sim], checks), job, output, clock, threads)


def poisson(job: PoissonTruthJob, output: Path, *, threads: int = 1) -> None:
    """Evaluate the solution of the Poisson equation and store it."""
    clock, wanted = Clock(), job.poisson_data
    exact, side = Poisson(omega=wanted.omega), np.linspace(0, 1, wanted.points)
    points = Reference(side, side, np.empty(0)).points
    u, source = (values.reshape(len(side), len(side)) for values in (exact.exact(points), exact.source(points)))
    attrs = {
        "title": "Poisson equation: an oscillating source on the unit square",
        "scheme": "closed form",
        "stencil": "none: each point by itself",
        "boundary": "u given on the four edges",
        "dx": 1 / (wanted.points - 1),
        "references": f"{PAPER}, eqs. 31 to 33",
    }
    checks = {"residual_error": "largest |lap u - f| / max |f| inside, lap by 4th-order differences of the stored u"}
    error = _apart(laplacian(u, side[1]), source[2:-2, 2:-2]) / np.abs(source).max()
    coords = {"x": side, "y": side, "omega": [wanted.omega]}
    _write(_Truth(exact, attrs, coords, [{"u": u, "residual_error": error}], checks), job, output, clock, threads)


def allen_cahn(job: AllenCahnTruthJob, output: Path, *, threads: int = 1) -> None:
    """Integrate the Allen-Cahn equation twice and store both.

    `sampled` is solved on the stored points from the values of u(0, x) there, as usual; `projected` on many more, from
    Fourier coefficients of u(0, x), and is the truth.
    """
    clock, wanted = Clock(), job.allen_cahn_data
    rates, numbers = (wanted.diffusion, wanted.reaction), (wanted.points, wanted.fine)
    sims: list[dict[str, Any]] = []
    for start, points in zip(STARTS, numbers, strict=True):
        usual: dict[str, Any] = {"points": points, "frames": wanted.frames, "steps": wanted.steps, "start": start}
        u = reference.allen_cahn(*rates, **usual)
        longer = reference.allen_cahn(*rates, **usual | {"steps": wanted.steps // 2})
        split = reference.allen_cahn_splitting(*rates, **usual)
        finer = reference.allen_cahn_splitting(*rates, **usual | {"points": 2 * points})
        sims.append(
            {
                "u": u[:, :: points // wanted.points],
                "energy": reference.allen_cahn_energy(u, *rates),
                "step_error": _apart(u, longer),
                "splitting_error": _apart(u, split),
                "grid_error": _apart(finer[:, ::2], split),
            }
        )
        log.info("allen_cahn_truth: %s, %d points", start, points)
    for sim in sims:
        sim["truth_error"] = _apart(sim["u"], sims[-1]["u"])
    attrs = {
        "title": "Allen-Cahn equation: fronts between two phases",
        "scheme": "ETDRK4 on Fourier modes",
        "stencil": "none: Fourier collocation",
        "boundary": "periodic",
        "interval": 1 / wanted.frames,
        "dt": 1 / (wanted.frames * wanted.steps),
        "dx": 2 / wanted.points,
        "references": f"{PAPER}, eqs. 34 to 37; Cox and Matthews 2002; Kassam and Trefethen 2005",
    }
    checks = {
        "step_error": "largest difference of u from a run with twice the time step",
        "splitting_error": "largest difference of u from operator splitting with the same points",
        "grid_error": "largest difference of u between this number of points and twice as many",
        "truth_error": "largest difference of u from the last simulation",
    }
    coords = {
        "time": np.linspace(0, 1, wanted.frames + 1),
        "x": reference.grid(wanted.points),
        "diffusion": [wanted.diffusion] * 2,
        "reaction": [wanted.reaction] * 2,
        "solved_on": list(numbers),
        "start": store.flags(STARTS, STARTS, "sim", "how u(0, x) is given to the Fourier modes"),
    }
    _write(_Truth(AllenCahn(), attrs, coords, sims, checks), job, output, clock, threads)


def laplacian(u: Floats, dx: float) -> Floats:
    """lap u at all but the outer two rows, by central differences of order 4."""
    stencil = np.array([-1, 16, -30, 16, -1]) / (12 * dx**2)
    n = len(u) - 4
    return np.asarray(sum(w * (u[k : k + n, 2:-2] + u[2:-2, k : k + n]) for k, w in enumerate(stencil)))


@dataclasses.dataclass(frozen=True)
class _Truth:
    """What a store will hold: coordinates, one set of arrays per simulation, and what its checks mean."""

    equation: Equation
    attrs: Mapping[str, Any]
    coords: Mapping[str, Any]
    sims: Sequence[Mapping[str, Any]]
    checks: Mapping[str, str]


def _write(truth: _Truth, job: Job, output: Path, clock: Clock, threads: int) -> None:
    name, one = output.stem, truth.equation
    space = tuple(dim for dim in SPACE_AND_TIME if dim in truth.coords)
    variables = {"u": store.Variable(("sim", *space), "1", f"solution of the {one.title} equation", "float64")}
    if "energy" in truth.sims[0]:
        variables["energy"] = store.Variable(("sim", "time"), "1", "free energy F", "float64")
    variables |= {check: store.Variable(("sim",), "1", text, "float64") for check, text in truth.checks.items()}
    attrs = {"problem": one.name, "equation": one.formula, **truth.attrs, "dtype": "float64", "seed_rule": "none"}
    with store.create(output, _coords(truth.coords, len(truth.sims)), variables, attrs) as writer:
        for sim, arrays in enumerate(truth.sims):
            writer.write(sim, **arrays)
            log.info("%s: %s", name, ", ".join(f"{check} {arrays[check]:.1e}" for check in truth.checks))
        writer.provenance = clock.record(f"simulate {name}", job.model_dump(), threads=threads)


def _coords(coords: Mapping[str, Any], sims: int) -> xr.Dataset:
    def line(name: str, values: Any) -> xr.DataArray:
        if isinstance(values, xr.DataArray):
            return values
        dim = name if name in SPACE_AND_TIME else "sim"
        return xr.DataArray(values, dims=(dim,), attrs={"units": "1", "long_name": LONG_NAMES[name]})

    numbers = xr.DataArray(np.arange(sims), dims=("sim",), attrs={"units": "1", "long_name": "simulation"})
    return xr.Dataset(coords={"sim": numbers, **{name: line(name, values) for name, values in coords.items()}})


def _apart(one: Floats, other: Floats) -> float:
    return float(np.abs(one - other).max())
