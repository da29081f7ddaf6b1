"""Data sets beyond the training: boxes with longer sides, and shapes unlike any mixture. Frames every few tau."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import xarray as xr

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.core.seeds import branch
from phasemill.spinodal.config.data import Medium
from phasemill.spinodal.config.rollout import LargeJob, Long, ShapesDataJob
from phasemill.spinodal.datasets import mixtures as dataset
from phasemill.spinodal.shapes import NAMES, initial_field
from phasemill.spinodal.solver import Floats, integrate

log = logging.getLogger("phasemill")


def large(job: LargeJob, output: Path, *, threads: int = 1) -> None:
    """Integrate mixtures drawn as for training, in the larger boxes."""
    seeds = branch(job.seed, output.stem, job.large.simulations)
    starts = [dataset.draw(job.mixtures, job.sequences, job.medium, seed) for seed in seeds]
    means = np.array([start["mean"] for start in starts])
    coords = {"mean_drawn": dataset.coordinate(means, "sim", "mean concentration imposed")}
    fields = [start["phi"] for start in starts]
    _evolve(output, job.medium, job.large, fields, coords, job.model_dump(), threads, title="larger boxes")


def shapes(job: ShapesDataJob, output: Path, *, threads: int = 1) -> None:
    """Integrate every shape of `shapes.NAMES`."""
    medium, wanted = job.medium, job.shapes
    # one seed for both white noises: the second is the first, one tau later
    slice_seed, white_seed = (np.random.default_rng(seed) for seed in branch(job.seed, output.stem, 2))
    white = initial_field("white", wanted.size, medium.eps, medium.dx, white_seed)
    known = {"white": white, "white_after": _one_tau_later(white, medium, wanted)}
    fields = [
        known[name] if name in known else initial_field(name, wanted.size, medium.eps, medium.dx, slice_seed)
        for name in NAMES
    ]
    coords = {"shape": store.flags(NAMES, NAMES, "sim", "shape")}
    _evolve(output, medium, wanted, fields, coords, job.model_dump(), threads, title="shapes")


def _one_tau_later(phi: Floats, medium: Medium, wanted: Long) -> Floats:
    times = np.array([0.0, medium.interval])
    run = integrate(phi, times, medium=dataset.solver_medium(medium), tolerance=wanted.tolerance)
    return np.asarray(run.frames[-1])


def _evolve(
    output: Path,
    medium: Medium,
    wanted: Long,
    fields: list[Floats],
    coords: dict[str, xr.DataArray],
    spec: dict[str, object],
    threads: int,
    *,
    title: str,
) -> None:
    """Integrate all fields and store their frames."""
    clock = Clock()
    times = medium.interval * np.arange(0, wanted.steps + 1, wanted.every)
    time = dataset.coordinate(times, "time", "time")
    sims = dataset.coordinate(np.arange(len(fields)), "sim", "simulation")
    axes = dataset.space(wanted.size, medium.dx)
    head = xr.Dataset(coords={"sim": sims, "time": time, **axes, **coords})
    attrs = dataset.describe(medium, title=f"{output.stem}: {title}", tolerance=wanted.tolerance)
    with store.create(output, head, dataset.variables(("sim", "time")), attrs) as writer:
        for sim, phi in enumerate(fields):
            run = integrate(
                phi, times, medium=dataset.solver_medium(medium), tolerance=wanted.tolerance, threads=threads
            )
            writer.write(sim, phi=run.frames, energy=run.energy, mean=run.mean)
            log.info("%s: simulation %d of %d", output.stem, sim + 1, len(fields))
        writer.provenance = clock.record(f"simulate {output.stem}", spec, threads=threads)
