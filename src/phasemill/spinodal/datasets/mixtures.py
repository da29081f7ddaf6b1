"""The data sets of demixing boxes: RKL2 truth in float64, stored as float32 frames with their diagnostics.

Each simulation has its own seed, so that any one of them can be made again by itself, and the split into training and
validation is by simulation. Networks see a coarser grid, `coarsen`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.core.seeds import branch
from phasemill.spinodal import physics
from phasemill.spinodal.config.data import CahnHilliardJob, HeldOutJob, Medium, Mixtures, Sequences, Training
from phasemill.spinodal.initial import perlin_mixture
from phasemill.spinodal.solver import Trajectory, integrate

SPLITS = ("train", "validation", "test")
STENCIL = "7-point Laplacian of phi and of mu, periodic; forward differences in the energy"
EQUATION = "d(phi)/dt = M lap(mu), mu = 36/eps phi (1 - phi) (1 - 2 phi) - eps lap(phi)"
REFERENCES = "Lanzoni et al. 2024 (equations, eps, tau); Meyer, Balsara & Aslam 2014 (RKL2)"

Downscale = Literal["nearest", "average", "none"]

log = logging.getLogger("phasemill")


def simulate(job: CahnHilliardJob | HeldOutJob, output: Path, *, threads: int = 1) -> None:
    """Integrate all boxes and store them; deterministic in `job`."""
    clock = Clock()
    wanted, medium = job.sequences, job.medium
    name = output.stem
    seeds = branch(job.seed, name, wanted.simulations)
    draws = [draw(job.mixtures, wanted, medium, seed) for seed in seeds]
    attrs = describe(medium, title=f"{name}: spinodal decomposition", tolerance=wanted.tolerance)
    with store.create(output, _coords(wanted, medium, draws), variables(("sim", "time")), attrs) as writer:
        for sim, start in enumerate(draws):
            run = evolve(start, wanted, medium)
            writer.write(sim, phi=run.frames, energy=run.energy, mean=run.mean)
            log.info("%s: simulation %d of %d, mean %.3f", name, sim + 1, wanted.simulations, start["mean"])
        writer.provenance = clock.record(f"simulate {name}", job.model_dump(), threads=threads)


def draw(mixtures: Mixtures, wanted: Sequences, medium: Medium, seed: np.random.SeedSequence) -> dict[str, Any]:
    """The initial mixture that belongs to `seed`, and when the first frame is taken."""
    rng = np.random.default_rng(seed)
    drawn = draw_parameters(mixtures, rng)
    late, when = rng.uniform(), rng.uniform(np.log(wanted.late_times.low), np.log(wanted.late_times.high))
    start = medium.interval * max(1, round(np.exp(when) / medium.interval)) if late < wanted.late else 0.0
    return {**drawn, "start": start, "phi": perlin_mixture(rng, (wanted.size,) * 3, **drawn)}


def draw_parameters(mixtures: Mixtures, rng: np.random.Generator) -> dict[str, Any]:
    """Arguments of `perlin_mixture`, at random."""
    mean = rng.normal(mixtures.mean, mixtures.mean_deviation)
    while not mixtures.mean_range.low <= mean <= mixtures.mean_range.high:
        mean = rng.normal(mixtures.mean, mixtures.mean_deviation)
    return {
        "mean": mean,
        "deviation": rng.uniform(mixtures.deviation.low, mixtures.deviation.high),
        "lattice": int(rng.choice(mixtures.lattice)),
        "octaves": int(rng.integers(1, mixtures.octaves, endpoint=True)),
    }


def evolve(start: dict[str, Any], wanted: Sequences, medium: Medium) -> Trajectory:
    """The frames of one box: from its start on, every interval."""
    times = start["start"] + medium.interval * np.arange(wanted.frames)
    late = start["start"] > 0
    run = integrate(
        start["phi"],
        np.concatenate([[0.0], times]) if late else times,
        medium=solver_medium(medium),
        tolerance=wanted.tolerance,
    )
    first = 1 if late else 0
    return Trajectory(times, run.frames[first:], run.energy[first:], run.mean[first:], run.evaluations[first:])


def solver_medium(medium: Medium) -> physics.Medium:
    """The solver's constants of a configured medium."""
    return physics.Medium(eps=medium.eps, mobility=medium.mobility, dx=medium.dx)


def variables(dims: tuple[str, ...]) -> dict[str, store.Variable]:
    """Fields and diagnostics of a store with these leading dims."""
    return {
        "phi": store.Variable((*dims, "x", "y", "z"), "1", "concentration"),
        "energy": store.Variable(dims, "1", "free energy", dtype="float64"),
        "mean": store.Variable(dims, "1", "mean concentration", dtype="float64"),
    }


def describe(medium: Medium, *, title: str, tolerance: float) -> dict[str, Any]:
    """The attributes of a store of solver truth."""
    return {
        "title": title,
        "equation": EQUATION,
        "scheme": "RKL2 super-time-stepping, adaptive, float64",
        "tolerance": tolerance,
        "stencil": STENCIL,
        "boundary": "periodic",
        "eps": medium.eps,
        "dx": medium.dx,
        "eps_over_dx": medium.eps / medium.dx,
        "mobility": medium.mobility,
        "interval": medium.interval,
        "dtype": "float32",
        "references": REFERENCES,
    }


def coordinate(values: Any, dim: str, long_name: str) -> xr.DataArray:
    """A coordinate along one dim; all units are 1."""
    return xr.DataArray(values, dims=(dim,), attrs={"units": "1", "long_name": long_name})


def space(size: int, dx: float) -> dict[str, xr.DataArray]:
    """Coordinates of the cell centres of a cube."""
    centres = dx * (np.arange(size) + 0.5)
    return {axis: coordinate(centres, axis, f"{axis} coordinate") for axis in ("x", "y", "z")}


def _coords(wanted: Sequences, medium: Medium, draws: list[dict[str, Any]]) -> xr.Dataset:
    count = wanted.simulations
    trained = count - wanted.validation if isinstance(wanted, Training) else 0
    splits = [("train" if sim < trained else "validation") if trained else "test" for sim in range(count)]

    def column(name: str, long_name: str) -> xr.DataArray:
        return coordinate([start[name] for start in draws], "sim", long_name)

    return xr.Dataset(
        coords={
            "time": coordinate(medium.interval * np.arange(wanted.frames), "time", "time since the first frame"),
            "sim": coordinate(np.arange(count), "sim", "simulation"),
            **space(wanted.size, medium.dx),
            "start": column("start", "time of the first frame"),
            "mean_drawn": column("mean", "mean concentration imposed"),
            "deviation": column("deviation", "standard deviation of phi0 before clipping"),
            "lattice": column("lattice", "cells of the noise's lattice per 64 cells"),
            "octaves": column("octaves", "octaves of noise"),
            "split": store.flags(splits, SPLITS, "sim", "split"),
        }
    )


def coarsen(phi: NDArray[Any], factor: int, downscale: Downscale = "nearest") -> NDArray[Any]:
    """The last three axes on the networks' grid: every n-th cell (nearest), the mean of n^3 cells, or all (none)."""
    if downscale == "none" or factor == 1:
        return phi
    if downscale == "nearest":
        return np.ascontiguousarray(phi[..., ::factor, ::factor, ::factor])
    *lead, x, y, z = phi.shape
    blocks = phi.reshape(*lead, x // factor, factor, y // factor, factor, z // factor, factor)
    return np.ascontiguousarray(blocks.mean(axis=(-1, -3, -5)), dtype=phi.dtype)


def load(dataset: xr.Dataset, split: str, factor: int, downscale: Downscale = "nearest") -> NDArray[np.float32]:
    """All frames of a split on the networks' grid, in memory: (sim, time, x, y, z)."""
    chosen = [sim for sim, name in enumerate(store.meanings(dataset["split"])) if name == split]
    return np.stack([coarsen(dataset["phi"][sim].values, factor, downscale) for sim in chosen])
