"""Polycrystals: Voronoi grains that were let to round off, then followed by the N-phase solver."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.core.seeds import branch
from phasemill.grains.config.polycrystal import Polycrystals, PolycrystalTruthJob
from phasemill.grains.datasets.cases import REFERENCES, coordinate
from phasemill.grains.initial import one_hot, voronoi
from phasemill.grains.metrics import first_times
from phasemill.grains.physics import Floats, Medium
from phasemill.grains.polycrystal import Polycrystal

EQUATION = (
    "d(phi_a)/dt = mu sigma (I_a - mean of I over the phases present), I = lap(phi) + pi^2/eta^2 phi, on the simplex"
)
SPLITS = ("train", "test")

log = logging.getLogger("phasemill")


def simulate(job: PolycrystalTruthJob, output: Path, *, threads: int = 1) -> None:
    """Make and follow all polycrystals; deterministic in `job`."""
    clock, wanted = Clock(), job.polycrystal
    medium, times, name = medium_of(wanted), frame_times(wanted), output.stem
    seeds = branch(job.seed, name, wanted.train + wanted.test)
    variables = {
        "phi": store.Variable(("sim", "time", "grain", "x", "y"), "1", "phase field of each grain"),
        "area": store.Variable(("sim", "time", "grain"), "1", "area of each grain", dtype="float64"),
        "energy": store.Variable(("sim", "time"), "1", "free energy F", dtype="float64"),
        "grains": store.Variable(("sim", "time"), "1", "number of grains with an area", dtype="float64"),
        "extinction": store.Variable(
            ("sim", "grain"),
            "1",
            "first frame's time without the grain; nan where it lives to the end",
            dtype="float64",
        ),
    }
    with store.create(output, _coords(wanted, times), variables, describe(wanted)) as writer:
        for sim, seed in enumerate(seeds):
            writer.write(sim, **follow(wanted, medium, times, np.random.default_rng(seed)))
            log.info("%s: polycrystal %d of %d", name, sim + 1, len(seeds))
        writer.provenance = clock.record(f"simulate {name}", job.model_dump(), threads=threads)


def follow(wanted: Polycrystals, medium: Medium, times: Floats, rng: np.random.Generator) -> dict[str, Any]:
    """The frames of one polycrystal, from `relax` after its Voronoi start."""
    shape = (wanted.cells, wanted.cells)
    crystal = Polycrystal(one_hot(voronoi(rng, shape, wanted.grains), wanted.grains), medium)
    crystal.advance(wanted.relax)
    phi, area, energy = [crystal.phi], [crystal.volumes], [crystal.energy]
    for step in np.diff(times):
        crystal.advance(float(step))
        phi.append(crystal.phi)
        area.append(crystal.volumes)
        energy.append(crystal.energy)
    areas = np.array(area)
    return {
        "phi": np.array(phi),
        "area": areas,
        "energy": np.array(energy),
        "grains": (areas > 0).sum(axis=1).astype(float),
        "extinction": first_times(times, areas <= 0),
    }


def medium_of(wanted: Polycrystals) -> Medium:
    """The solver's constants; dx = 1/(cells - 1), as in the other benchmarks."""
    dx = 1 / (wanted.cells - 1)
    return Medium(eta=wanted.eta * dx, mu=wanted.mu, sigma=wanted.sigma, dx=dx)


def frame_times(wanted: Polycrystals) -> Floats:
    """Times of the frames since the first one."""
    return np.linspace(0, wanted.until, wanted.frames + 1)


def describe(wanted: Polycrystals) -> dict[str, Any]:
    """The attributes of the store."""
    medium = medium_of(wanted)
    return {
        "title": "polycrystals",
        "equation": EQUATION,
        "scheme": "explicit Euler, projected on the simplex, lists of the phases present, float64",
        "stencil": "5-point Laplacian, periodic; forward differences in the energy",
        "boundary": "periodic",
        "dx": medium.dx,
        "eta": medium.eta,
        "eta_over_dx": wanted.eta,
        "mu": wanted.mu,
        "sigma": wanted.sigma,
        "interval": wanted.until / wanted.frames,
        "dtype": "float32",
        "references": REFERENCES,
    }


def _coords(wanted: Polycrystals, times: Floats) -> xr.Dataset:
    count, centres = wanted.train + wanted.test, np.arange(wanted.cells) / (wanted.cells - 1)
    splits = ["train"] * wanted.train + ["test"] * wanted.test
    return xr.Dataset(
        coords={
            "time": coordinate(times, "time", "time since the first frame"),
            "sim": coordinate(np.arange(count), "sim", "simulation"),
            "grain": coordinate(np.arange(wanted.grains), "grain", "grain"),
            "x": coordinate(centres, "x", "x coordinate"),
            "y": coordinate(centres, "y", "y coordinate"),
            "split": store.flags(splits, SPLITS, "sim", "split"),
        }
    )
