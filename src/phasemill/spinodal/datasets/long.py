"""The data sets of long evolutions: coarsening to the stationary state, and ensembles.

Frames are evenly spaced in log t, as float32; energy, mean and topology are those of the float64 field behind each.
A coarsening run survives a kill: its frames so far lie in a folder beside the data set and are taken up again.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.core.seeds import branch
from phasemill.spinodal import metrics
from phasemill.spinodal.config.data import Medium
from phasemill.spinodal.config.long import CoarseningJob, EnsembleTruthJob, Evolutions
from phasemill.spinodal.datasets.mixtures import coordinate, describe, draw_parameters, solver_medium, space
from phasemill.spinodal.initial import perlin_mixture
from phasemill.spinodal.physics import free_energy
from phasemill.spinodal.resume import resumable
from phasemill.spinodal.solver import geometric_times, integrate

NO_AXIS = -1
"""Value of `lamella` for a field that is none."""

log = logging.getLogger("phasemill")


def coarsening(job: CoarseningJob, output: Path, *, threads: int = 1) -> None:
    """Integrate boxes of Perlin noise for as long as asked, with all diagnostics; deterministic in `job`.

    The frames so far are kept in `NAME_frames/` beside the store, which goes once that is complete.
    """
    clock = Clock()
    wanted, name = job.coarsening, output.stem
    times = geometric_times(wanted.until, wanted.frames, job.medium.interval)
    medium = solver_medium(job.medium)
    frames = output.with_name(f"{name}_frames")
    # the branch has a fixed name, so that a run under another file name goes on from the same frames
    seeds = branch(job.seed, "spinodal_coarsening", wanted.simulations)
    attrs = {
        **describe(job.medium, title=f"{name}: coarsening of Perlin noise", tolerance=wanted.tolerance),
        "mean": wanted.mean,
        "deviation": wanted.deviation,
        "lattice": wanted.lattice,
        "spec": job.model_dump_json(),
    }
    found, total = evaluations_in(frames), 0
    coords = _coords(wanted, job.medium, times).assign_coords(axis=coordinate(np.arange(3), "axis", "axis of the box"))
    with store.create(output, coords, _variables(), attrs) as writer:
        for sim, seed in enumerate(seeds):
            phi = perlin_mixture(
                np.random.default_rng(seed), (wanted.size,) * 3,
                mean=wanted.mean, deviation=wanted.deviation, lattice=wanted.lattice,
            )  # fmt: skip
            run = resumable(phi, times, frames, medium=medium, tolerance=wanted.tolerance, threads=threads)
            stored = diagnose(run, times, job.medium)
            writer.write(sim, **stored)
            total += int(stored["evaluations"][-1])
            log.info(
                "%s: simulation %d of %d, F/N %.6f at the end, %d right-hand sides",
                name, sim + 1, wanted.simulations, stored["energy"][-1] / phi.size, stored["evaluations"][-1],
            )  # fmt: skip
        # seconds are those of this process alone, which may have found most of the work done
        facts = {"evaluations": total, "evaluations_found": found} if found else {"evaluations": total}
        writer.provenance = clock.record(f"simulate {name}", job.model_dump(), threads=threads, **facts)
    shutil.rmtree(frames, ignore_errors=True)


def ensemble(job: EnsembleTruthJob, output: Path, *, threads: int = 1) -> None:
    """Integrate many boxes of random mixtures; deterministic in `job`."""
    clock = Clock()
    wanted, name = job.ensemble_truth, output.stem
    times = geometric_times(wanted.until, wanted.frames, job.medium.interval)
    starts = []
    for seed in branch(job.seed, name, wanted.simulations):
        rng = np.random.default_rng(seed)
        starts.append({**draw_parameters(job.mixtures, rng), "rng": rng})
    coords = _coords(wanted, job.medium, times).assign_coords(
        mean_drawn=coordinate([start["mean"] for start in starts], "sim", "mean concentration imposed"),
        deviation=coordinate(
            [start["deviation"] for start in starts], "sim", "standard deviation of phi0 before clipping"
        ),
        lattice=coordinate([start["lattice"] for start in starts], "sim", "cells of the noise's lattice per 64 cells"),
        octaves=coordinate([start["octaves"] for start in starts], "sim", "octaves of noise"),
    )
    attrs = describe(job.medium, title=f"{name}: ensemble of spinodal decompositions", tolerance=wanted.tolerance)
    kept = ("phi", "energy", "mean")
    with store.create(output, coords, {key: _variables()[key] for key in kept}, attrs) as writer:
        for sim, start in enumerate(starts):
            rng = start.pop("rng")
            run = integrate(
                perlin_mixture(rng, (wanted.size,) * 3, **start), times,
                medium=solver_medium(job.medium), tolerance=wanted.tolerance, threads=threads,
            )  # fmt: skip
            writer.write(sim, phi=run.frames, energy=run.energy, mean=run.mean)
            log.info("%s: simulation %d of %d, mean %.3f", name, sim + 1, wanted.simulations, start["mean"])
        writer.provenance = clock.record(f"simulate {name}", job.model_dump(), threads=threads)


def evaluations_in(frames: Path) -> int:
    """Right-hand sides behind the frames that an interrupted run has left."""
    last = {path.parent: path for path in sorted(frames.glob("*/frame-*.npz"))}
    total = 0
    for path in last.values():
        with np.load(path) as stored:
            total += int(stored["evaluations"])
    return total


def diagnose(
    run: Iterable[tuple[NDArray[Any], int]], times: NDArray[np.float64], medium: Medium
) -> dict[str, NDArray[Any]]:
    """The variables of one coarsening run: each frame with energy, mean, topology and wavelength."""
    frames: NDArray[np.float32] | None = None
    rows: list[dict[str, Any]] = []
    for number, (phi, evaluations) in enumerate(run):
        if frames is None:
            frames = np.empty((len(times), *phi.shape), np.float32)
        frames[number] = phi
        axis = metrics.lamella_axis(phi)
        rows.append(
            {
                "energy": free_energy(phi, medium.eps, medium.dx),
                "mean": float(np.mean(phi)),
                "evaluations": evaluations,
                **metrics.topology(phi),
                "wavelength": metrics.mean_wavelength(phi, medium.dx),
                "lamella": NO_AXIS if axis is None else axis,
            }
        )
        log.info("coarsening: t = %g, F/N %.6f", times[number], rows[-1]["energy"] / phi.size)
    assert frames is not None
    return {"phi": frames, **{key: np.array([row[key] for row in rows]) for key in rows[0]}}


def _variables() -> dict[str, store.Variable]:
    dims = ("sim", "time")
    return {
        "phi": store.Variable((*dims, "x", "y", "z"), "1", "concentration"),
        "energy": store.Variable(dims, "1", "free energy", "float64"),
        "mean": store.Variable(dims, "1", "mean concentration", "float64"),
        "evaluations": store.Variable(dims, "1", "right-hand sides computed so far", "int64"),
        "euler": store.Variable(dims, "1", "Euler characteristic of the domains of phi > 1/2", "int64"),
        "components": store.Variable(dims, "1", "connected domains of phi > 1/2", "int64"),
        "components_other": store.Variable(dims, "1", "connected domains of phi <= 1/2", "int64"),
        "percolation": store.Variable((*dims, "axis"), "1", "whether a domain spans the box along the axis", "int8"),
        "wavelength": store.Variable(dims, "1", "mean wavelength, from the structure factor", "float64"),
        "lamella": store.Variable(dims, "1", f"axis across the two interfaces that are left, {NO_AXIS}: more", "int8"),
    }


def _coords(wanted: Evolutions, medium: Medium, times: NDArray[np.float64]) -> xr.Dataset:
    return xr.Dataset(
        coords={
            "time": coordinate(times, "time", "time"),
            "sim": coordinate(np.arange(wanted.simulations), "sim", "simulation"),
            **space(wanted.size, medium.dx),
        }
    )
