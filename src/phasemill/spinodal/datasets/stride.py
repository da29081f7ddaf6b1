"""The data set of large strides: long RKL2 evolutions with frames at geometric times, stored on the networks' grid."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.core.seeds import branch
from phasemill.spinodal.config.stride import StridesJob
from phasemill.spinodal.datasets.mixtures import (
    SPLITS,
    coarsen,
    coordinate,
    describe,
    draw_parameters,
    solver_medium,
    variables,
)
from phasemill.spinodal.initial import perlin_mixture
from phasemill.spinodal.solver import Trajectory, integrate

log = logging.getLogger("phasemill")


def simulate(job: StridesJob, output: Path, *, threads: int = 1) -> None:
    """Integrate all boxes, `threads` at a time, and store every `factor`-th cell; deterministic in `job`."""
    clock = Clock()
    wanted, factor, name = job.strides, job.medium.factor, output.stem
    times = np.array(wanted.times(job.medium.interval))
    seeds = branch(job.seed, name, wanted.simulations)

    def evolve(seed: np.random.SeedSequence) -> tuple[NDArray[Any], Trajectory]:
        rng = np.random.default_rng(seed)
        phi = perlin_mixture(rng, (wanted.size,) * 3, **draw_parameters(job.mixtures, rng))
        run = integrate(phi, np.array([0.0, *times]), medium=solver_medium(job.medium), tolerance=wanted.tolerance)
        return coarsen(run.frames[1:], factor).astype(np.float32), run

    means = [draw_parameters(job.mixtures, np.random.default_rng(seed))["mean"] for seed in seeds]
    attrs = {
        **describe(job.medium, title=f"{name}: spinodal decomposition at geometric times", tolerance=wanted.tolerance),
        "grid": f"cells 0, {factor}, {2 * factor}, ... of the solver's {wanted.size}^3 along each side",
        "size": wanted.size,
        "factor": factor,
    }
    with (
        store.create(output, _coords(job, times, means), variables(("sim", "time")), attrs) as writer,
        ThreadPoolExecutor(threads) as pool,
    ):
        for sim, (frames, run) in enumerate(pool.map(evolve, seeds)):
            writer.write(sim, phi=frames, energy=run.energy[1:], mean=run.mean[1:])
            log.info("%s: simulation %d of %d, mean %.3f", name, sim + 1, wanted.simulations, means[sim])
        writer.provenance = clock.record(f"simulate {name}", job.model_dump(), threads=threads)


def _coords(job: StridesJob, times: NDArray[np.float64], means: list[float]) -> xr.Dataset:
    wanted, medium = job.strides, job.medium
    trained = wanted.simulations - wanted.validation
    splits = ["train" if sim < trained else "validation" for sim in range(wanted.simulations)]

    centres = medium.dx * (np.arange(0, wanted.size, medium.factor) + 0.5)
    return xr.Dataset(
        coords={
            "time": coordinate(times, "time", "time"),
            "sim": coordinate(np.arange(wanted.simulations), "sim", "simulation"),
            **{axis: coordinate(centres, axis, f"{axis} coordinate") for axis in ("x", "y", "z")},
            "mean_drawn": coordinate(means, "sim", "mean concentration imposed"),
            "split": store.flags(splits, SPLITS, "sim", "split"),
        }
    )
