"""The two-phase data sets: explicit truth in float64, stored as float32 frames with radii and energy beside them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.grains.config.data import Case, Discs, Hole, RandomDiscs, Square, Start, TruthJob
from phasemill.grains.initial import disc, discs, draw_radii, place, published_disc, square
from phasemill.grains.metrics import diagnostics, extinction_time, grain_extinctions
from phasemill.grains.physics import Floats, Medium, stable_dt
from phasemill.grains.solver import CFL, Trajectory, integrate

EQUATION = (
    "d(phi)/dt = mu sigma [lap(phi) + pi^2/(2 eta^2) (2 phi - 1)] + mu pi/eta sqrt(phi (1 - phi)) dg, 0 <= phi <= 1"
)
REFERENCES = "PINN-Phase (equations, benchmarks); Steinbach 2009 (multi-phase field)"
LONGEST = 1500 / 1499
"""The paper's time step; ours is as long or shorter."""

MEASURED = {
    "energy": "free energy F",
    "radius": "radius of the volume, sqrt(int phi / pi)",
    "radius_half": "radius of the area phi > 0.5, all grains together",
    "radius_visible": "radius of the area phi > 0.05, all grains together",
    "grains": "number of grains, connected domains of phi > 0.5",
    "grain_radius": "mean over the grains of sqrt(area / pi)",
}
GRAIN = "grain of the first frame, the largest first"
GONE = "first frame's time without the grain; nan where it lives to the end or there are fewer"

log = logging.getLogger("phasemill")


def simulate(job: TruthJob, output: Path, *, threads: int = 1) -> None:
    """Integrate all microstructures of a benchmark and store them; deterministic in `job`."""
    clock, case = Clock(), job.case
    medium, times, name = medium_of(case), frame_times(case), output.stem
    dt = min(LONGEST, CFL * stable_dt(2, medium))
    runs = []
    for label, start in case.starts.items():
        runs.append(integrate(draw(start, case), times, medium, dt=dt))
        log.info("%s: %s", name, label)
    gone = [extinction_time(times, run.frames) for run in runs]
    each = [grain_extinctions(times, run.frames) for run in runs]
    attrs = {**describe(case), "title": f"{name}: grains in two phases", "dt": dt}
    most = max(map(len, each))
    with store.create(output, _coords(case, times, gone, most), variables(), attrs) as writer:
        for sim, run in enumerate(runs):
            writer.write(sim, phi=run.frames, grain_extinction=filled(each[sim], most), **measure(run, medium.dx))
        writer.provenance = clock.record(f"simulate {name}", job.model_dump(), threads=threads)


def measure(run: Trajectory, dx: float) -> dict[str, Floats]:
    """The `MEASURED` of a simulation, one number per frame."""
    found = [diagnostics(phi, dx) for phi in run.frames]
    return {"energy": run.energy, **{key: np.array([one[key] for one in found]) for key in found[0]}}


def medium_of(case: Case) -> Medium:
    """The solver's constants: dx = 1/(cells - 1), as the paper's code has it."""
    dx = 1 / (case.cells - 1)
    return Medium(eta=case.eta * dx, mu=case.mu, sigma=case.sigma, dx=dx, dg=case.dg)


def frame_times(case: Case) -> Floats:
    """The times of all frames, the start among them."""
    return np.linspace(0, case.until, case.frames + 1)


def interval_length(case: Case) -> float:
    """Time between two frames."""
    return case.until / case.frames


def draw(start: Start, case: Case) -> Floats:
    """The initial field of a simulation."""
    medium, shape = medium_of(case), (case.cells, case.cells)
    side = case.cells * medium.dx
    if isinstance(start, RandomDiscs):
        rng = np.random.default_rng(start.seed)
        radii = draw_radii(rng, start.number, start.mean, start.variation)
        centres = place(rng, radii, np.ones(2), start.gap)
    elif isinstance(start, Discs):
        radii = np.array([one.radius for one in start.discs])
        centres = np.array([[one.x, one.y] for one in start.discs])
    elif isinstance(start, Square):
        return square(shape, medium.dx, np.array([start.x, start.y]) * side, start.side * side, medium.eta)
    elif isinstance(start, Hole):
        return 1 - disc(shape, medium.dx, np.array([start.x, start.y]) * side, start.radius * side, medium.eta)
    else:
        return published_disc(case.cells)
    return discs(shape, medium.dx, centres * side, radii * side, medium.eta)


def variables() -> dict[str, store.Variable]:
    """Fields and diagnostics of a store."""
    lines = {name: store.Variable(("sim", "time"), "1", text, dtype="float64") for name, text in MEASURED.items()}
    return {
        "phi": store.Variable(("sim", "time", "x", "y"), "1", "phase field, 1 in the grains"),
        "grain_extinction": store.Variable(("sim", "grain"), "1", GONE, dtype="float64"),
        **lines,
    }


def filled(values: Floats, number: int) -> Floats:
    """Values, and nan behind them up to a number of them."""
    return np.append(values, np.full(number - len(values), np.nan))


def describe(case: Case) -> dict[str, Any]:
    """The attributes of a store."""
    medium = medium_of(case)
    return {
        "equation": EQUATION,
        "scheme": "explicit Euler, projected on 0 <= phi <= 1, float64",
        "stencil": "5-point Laplacian, periodic; forward differences in the energy",
        "boundary": "periodic",
        "dx": medium.dx,
        "eta": medium.eta,
        "eta_over_dx": case.eta,
        "mu": case.mu,
        "sigma": case.sigma,
        "dg": case.dg,
        "interval": interval_length(case),
        "dtype": "float32",
        "references": REFERENCES,
    }


def load(dataset: xr.Dataset) -> NDArray[np.float32]:
    """All frames: (sim, time, x, y)."""
    return np.asarray(dataset["phi"].values, np.float32)


def coordinate(values: Any, dim: str, long_name: str) -> xr.DataArray:
    """A coordinate along one dim; all units are 1."""
    return xr.DataArray(values, dims=(dim,), attrs={"units": "1", "long_name": long_name})


def _coords(case: Case, times: Floats, gone: list[float], grains: int) -> xr.Dataset:
    centres, names = np.arange(case.cells) / (case.cells - 1), tuple(case.starts)
    return xr.Dataset(
        coords={
            "time": coordinate(times, "time", "time"),
            "sim": coordinate(np.arange(len(names)), "sim", "simulation"),
            "grain": coordinate(np.arange(grains), "grain", GRAIN),
            "x": coordinate(centres, "x", "x coordinate"),
            "y": coordinate(centres, "y", "y coordinate"),
            "start": store.flags(names, names, "sim", "initial microstructure"),
            "extinction": coordinate(
                gone, "sim", "first frame's time without phi > 0.5; nan where it has one to the end"
            ),
        }
    )
