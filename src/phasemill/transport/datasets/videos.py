"""The data set `voronoi_heat`: base simulations of the heat equation, and their exact reversal in time (mobility).

Only the base simulations are stored. A mobility video is a view of its base simulation with the time axis reversed
(SAFE-PIT-CM, eqs. 16-17), so the two share kappa, and the split into training, validation and test is by base
simulation: a reversed twin never crosses it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.core.seeds import branch
from phasemill.transport.config.videos import VoronoiHeat, VoronoiHeatJob
from phasemill.transport.initial import voronoi
from phasemill.transport.solver import Trajectory, integrate
from phasemill.transport.spectra import MobilityMode, SafeScheme

SPLITS = ("train", "validation", "test")
DIRECTIONS = (1, -1)  # smoothing (diffusion), sharpening (mobility)

log = logging.getLogger("phasemill")


@dataclass(frozen=True)
class Row:
    """One video: a base simulation in one direction of time."""

    base: int
    direction: int
    kappa: float
    frames: np.ndarray
    """(time, x, y), float32."""
    subdivisions: int

    @property
    def regime(self) -> str:
        """The paper's name of the direction."""
        return "diffusion" if self.direction > 0 else "mobility"


def simulate(job: VoronoiHeatJob, output: Path, *, threads: int = 1) -> None:
    """Integrate all base simulations and store them; deterministic in `job`."""
    clock = Clock()
    data = job.data
    seeds = branch(job.seed, "voronoi_heat", data.simulations)
    kappas = [draw_kappa(data, seed) for seed in seeds]
    variables = {
        "phi": store.Variable(("sim", "time", "x", "y"), "1", "order parameter"),
        "mean": store.Variable(("sim", "time"), "1", "spatial mean of phi", dtype="float64"),
        "energy": store.Variable(("sim", "time"), "1", "Dirichlet energy 1/2 sum |grad phi|^2 dx^2", dtype="float64"),
        "subdivisions": store.Variable(("sim",), "1", "Euler steps per dt, for stability", dtype="int64"),
    }
    with store.create(output, _coords(data, kappas), variables, _attrs(job)) as writer:
        for sim, (seed, kappa) in enumerate(zip(seeds, kappas, strict=True)):
            run = draw_simulation(data, seed)
            writer.write(sim, phi=run.frames, mean=run.mean, energy=run.energy, subdivisions=run.subdivisions)
            log.info("voronoi_heat: simulation %d of %d, kappa %.4f", sim + 1, data.simulations, kappa)
        writer.provenance = clock.record("simulate voronoi_heat", job.model_dump(), threads=threads)


def draw_kappa(data: VoronoiHeat, seed: np.random.SeedSequence) -> float:
    """kappa of the simulation that belongs to `seed`."""
    return float(np.random.default_rng(seed).uniform(data.kappa.low, data.kappa.high))


def draw_simulation(data: VoronoiHeat, seed: np.random.SeedSequence) -> Trajectory:
    """The base simulation that belongs to `seed`: its rough Voronoi tessellation, evolved with its kappa."""
    initial = np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, 0))  # a child, without counting it
    phi = voronoi(
        np.random.default_rng(initial),
        size=data.size,
        dx=data.dx,
        grains=(data.grains.low, data.grains.high),
        interface_width=data.interface_width,
        roughness=data.roughness,
        correlation_length=data.correlation_length,
    )
    kappa = draw_kappa(data, seed)
    return integrate(phi, kappa, dx=data.dx, dt=data.dt, steps=data.steps, save_every=data.save_every)


def rows(dataset: xr.Dataset, split: str, stride: int = 1) -> Iterator[Row]:
    """The videos of a split, both directions of each base simulation one after the other.

    A sharpening video is the base simulation reversed: its last frame is the sharpest.
    """
    for base in np.flatnonzero(np.array(store.meanings(dataset.split)) == split):
        simulation = dataset.isel(sim=int(base), time=slice(None, None, stride)).load()
        for direction in DIRECTIONS:
            yield Row(
                base=int(simulation.sim),
                direction=direction,
                kappa=float(simulation.kappa),
                frames=simulation.phi.values[::direction],
                subdivisions=int(simulation.subdivisions),
            )


def thinning(dataset: xr.Dataset, frames: int) -> int:
    """The stride that leaves `frames` evenly spaced frames."""
    return int((dataset.sizes["time"] - 1) // (frames - 1))


def scheme(dataset: xr.Dataset, row: Row, stride: int = 1, mode: MobilityMode = "reverse") -> SafeScheme:
    """The frozen operator of a video: one sub-step for each Euler step of the solver between two frames."""
    save_every = int(dataset.attrs["save_every"])
    return SafeScheme(
        interval=float(dataset.attrs["dt"]) * save_every * stride,
        substeps=save_every * row.subdivisions * stride,
        dx=float(dataset.attrs["dx"]),
        direction=row.direction,
        mode=mode,
    )


def mobility(dataset: xr.Dataset) -> xr.Dataset:
    """The data set with time reversed, lazily: psi(t) = phi(T - t) solves psi_t = -kappa lap psi (eq. 16)."""
    reverse = dataset.isel(time=slice(None, None, -1)).assign_coords(time=dataset.time)
    return reverse.assign_attrs(title=f"{dataset.title}, reversed in time", equation="d phi/dt = -kappa lap phi")


def _coords(data: VoronoiHeat, kappas: list[float]) -> xr.Dataset:
    def axis(name: str, values: np.ndarray, long_name: str) -> xr.DataArray:
        return xr.DataArray(values, dims=name, attrs={"units": "1", "long_name": long_name})

    train = data.simulations - data.validation - data.test
    splits = ["train"] * train + ["validation"] * data.validation + ["test"] * data.test
    cells = data.dx * np.arange(data.size)
    kappa = xr.DataArray(kappas, dims="sim", attrs={"units": "1", "long_name": "coefficient kappa"})
    return xr.Dataset(
        coords={
            "sim": axis("sim", np.arange(data.simulations), "base simulation"),
            "time": axis("time", data.dt * data.save_every * np.arange(data.steps // data.save_every + 1), "time"),
            "x": axis("x", cells, "x"),
            "y": axis("y", cells, "y"),
            "kappa": kappa,
            "split": store.flags(splits, SPLITS, "sim", "split by base simulation"),
        }
    )


def _attrs(job: VoronoiHeatJob) -> dict[str, str | float | int]:
    data = job.data
    return {
        "title": "Heat equation from rough periodic Voronoi tessellations",
        "equation": "d phi/dt = kappa lap phi",
        "scheme": "explicit Euler",
        "stencil": "5-point Laplacian, periodic",
        "dx": data.dx,
        "dt": data.dt,
        "save_every": data.save_every,
        "interface_width_over_dx": data.interface_width / data.dx,
        "kappa_low": data.kappa.low,
        "kappa_high": data.kappa.high,
        "seed": job.seed,
        "seed_rule": "numpy SeedSequence([seed, crc32('voronoi_heat')]).spawn(simulations)",
        "units": "non-dimensional",
        "references": "SAFE-PIT-CM, arXiv 2603.13280v1, section 2.2 and appendix A",
    }
