"""The data set `other_physics`: videos of four systems beyond the heat equation, converged in time.

The integrator is classical Runge-Kutta on the same stencil as the frozen operator, far below its stability limit, so
that what an operator with few sub-steps gets wrong is its own error and not that of the data. How far the data are
from converged is stored with each simulation.
"""

from __future__ import annotations

import logging
from math import ceil
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.core.seeds import branch
from phasemill.transport.config.physics import OtherPhysics, OtherPhysicsJob
from phasemill.transport.initial import gaussian_random_field
from phasemill.transport.systems import SYSTEMS, System, advance

Floats = NDArray[np.float64]

SAFETY = 0.2
"""Time step of the data over the longest stable one; the check with twice the step must be stable as well."""
PARAMETERS = tuple(dict.fromkeys(name for system in SYSTEMS.values() for name in system.parameters))

log = logging.getLogger("phasemill")


def simulate(job: OtherPhysicsJob, output: Path, *, threads: int = 1) -> None:
    """Integrate `simulations` videos of each system and store them; deterministic in `job`."""
    clock, data = Clock(), job.physics_data
    names = [name for name in SYSTEMS for _ in range(data.simulations)]
    seeds = branch(job.seed, "other_physics", len(names))
    thetas = [_draw(data, name, np.random.default_rng(seed)) for name, seed in zip(names, seeds, strict=True)]
    frame = ("sim", "time", "x", "y")
    variables = {
        "u": store.Variable(frame, "1", "first field of the system"),
        "v": store.Variable(frame, "1", "second field of the system; zero where it has one"),
        "mean": store.Variable(("sim", "time"), "1", "spatial mean of u", dtype="float64"),
        "step_error": store.Variable(
            ("sim",), "1", "largest difference of the last frame from a run with twice the time step", dtype="float64"
        ),
    }
    with store.create(output, _coords(data, names, thetas), variables, _attrs(job)) as writer:
        for sim, (name, seed, theta) in enumerate(zip(names, seeds, thetas, strict=True)):
            system, draw = SYSTEMS[name], data.of(name)
            first = initial(system, np.random.default_rng(seed.spawn(1)[0]), data.size, data.dx)
            fine, coarse = (
                integrate(
                    system,
                    first,
                    theta,
                    start=draw.start,
                    interval=draw.interval,
                    frames=data.frames,
                    dx=data.dx,
                    coarser=coarser,
                )
                for coarser in (1, 2)
            )
            error = np.abs(fine[-1] - coarse[-1]).max()
            u, v = fine[:, 0], fine[:, 1] if len(system.fields) > 1 else np.zeros_like(fine[:, 0])
            writer.write(sim, u=u, v=v, mean=u.mean(axis=(1, 2)), step_error=error)
            log.info("other_physics: simulation %d of %d, %s, step error %.1e", sim + 1, len(names), name, error)
        writer.provenance = clock.record("simulate other_physics", job.model_dump(), threads=threads)


def integrate(
    system: type[System],
    first: Floats,
    theta: Floats,
    *,
    start: float,
    interval: float,
    frames: int,
    dx: float,
    coarser: int = 1,
) -> Floats:
    """Frames (frames, field, x, y) at start, start + interval, ... of the state `first` (field, x, y) at time 0.

    The time step is `coarser` times the house step, 0.2 of the longest stable one, shortened to fit the interval.
    """
    step = SAFETY * coarser * system.stable_step(theta, dx, "runge_kutta")
    video, state = [], first[None]
    for elapsed in (start, *[interval] * (frames - 1)):
        steps = ceil(elapsed / step)
        state = advance(system, state, theta, dx=dx, interval=elapsed, substeps=steps, scheme="runge_kutta")
        video.append(state[0])
    return np.stack(video)


def initial(system: type[System], rng: np.random.Generator, size: int, dx: float) -> Floats:
    """The state (field, x, y) at time 0, from a Gaussian random field eta of correlation length 3 cells.

    Soft islands s = 1 / (1 + exp(-6 (eta - 1))) for Fisher-KPP (u = s) and Gray-Scott (u = 1 - s / 2, v = s / 4);
    for the double wells a quench, u = 0.3 eta.
    """
    eta = gaussian_random_field(rng, size, dx, 3 * dx)
    islands = 1 / (1 + np.exp(-6 * (eta - 1)))
    if len(system.fields) == 2:
        return np.stack([1 - islands / 2, islands / 4])
    return np.asarray((islands if system.name == "fisher_kpp" else 0.3 * eta)[None])


def video(dataset: xr.Dataset, sim: int) -> tuple[type[System], Floats, Floats, float]:
    """System, frames (time, field, x, y) in float64, true parameters and frame interval of a simulation."""
    chosen = dataset.isel(sim=sim).load()
    system = SYSTEMS[store.meanings(chosen.system)[0]]
    frames = np.stack([chosen[field].values for field in system.fields], axis=1).astype(np.float64)
    theta = np.array([float(chosen[name]) for name in system.parameters])
    return system, frames, theta, float(chosen.interval)


def _draw(data: OtherPhysics, name: str, rng: np.random.Generator) -> Floats:
    ranges = [getattr(data.of(name), parameter) for parameter in SYSTEMS[name].parameters]
    return np.array([rng.uniform(drawn.low, drawn.high) for drawn in ranges])


def _coords(data: OtherPhysics, names: list[str], thetas: list[Floats]) -> xr.Dataset:
    def along(dim: str, values: object, long_name: str) -> xr.DataArray:
        return xr.DataArray(np.asarray(values), dims=dim, attrs={"units": "1", "long_name": long_name})

    parameters = {
        parameter: along(
            "sim",
            [
                dict(zip(SYSTEMS[name].parameters, theta, strict=True)).get(parameter, np.nan)
                for name, theta in zip(names, thetas, strict=True)
            ],
            f"true {parameter}; nan where the system has none",
        )
        for parameter in PARAMETERS
    }
    cells = data.dx * np.arange(data.size)
    return xr.Dataset(
        coords={
            "sim": along("sim", np.arange(len(names)), "simulation"),
            "frame": along("time", np.arange(data.frames), "frame number"),
            "elapsed": xr.DataArray(  # the frames of one system are not those of another
                [data.of(name).start + data.of(name).interval * np.arange(data.frames) for name in names],
                dims=("sim", "time"),
                attrs={"units": "1", "long_name": "time of the frame"},
            ),
            "x": along("x", cells, "x"),
            "y": along("y", cells, "y"),
            "system": store.flags(names, tuple(SYSTEMS), "sim", "system"),
            "start": along("sim", [data.of(name).start for name in names], "time of the first frame"),
            "interval": along("sim", [data.of(name).interval for name in names], "time between frames"),
            **parameters,
        }
    )


def _attrs(job: OtherPhysicsJob) -> dict[str, str | float | int]:
    return {
        "title": "Fisher-KPP, Allen-Cahn, Cahn-Hilliard and Gray-Scott, converged in time",
        "equation": "; ".join(f"{system.name}: {system.equation}" for system in SYSTEMS.values()),
        "scheme": f"classical Runge-Kutta, time step {SAFETY} of the longest stable one",
        "stencil": "5-point Laplacian, periodic",
        "dx": job.physics_data.dx,
        "seed": job.seed,
        "seed_rule": "numpy SeedSequence([seed, crc32('other_physics')]).spawn(systems x simulations)",
        "units": "non-dimensional",
        "references": "SAFE-PIT-CM, arXiv 2603.13280v1, abstract and section 5 (other equations, no numbers)",
    }
