"""Truth of the grains that a trained network has not seen: several setups in one store."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.grains.config.data import Case
from phasemill.grains.config.unseen import Unseen, UnseenTruthJob
from phasemill.grains.datasets.cases import (
    EQUATION,
    GRAIN,
    LONGEST,
    REFERENCES,
    coordinate,
    draw,
    filled,
    frame_times,
    interval_length,
    measure,
    medium_of,
    variables,
)
from phasemill.grains.metrics import grain_extinctions
from phasemill.grains.physics import stable_dt
from phasemill.grains.solver import CFL, integrate

log = logging.getLogger("phasemill")


def simulate(job: UnseenTruthJob, output: Path, *, threads: int = 1) -> None:
    """Integrate every start of every setup; deterministic in `job`."""
    clock, wanted = Clock(), job.unseen
    runs, gone = [], []
    for start, case in wanted.starts.items():
        dt = min(LONGEST, CFL * stable_dt(2, medium_of(case)))
        run = integrate(draw(case.starts[start], case), frame_times(case), medium_of(case), dt=dt)
        runs.append((run, medium_of(case).dx))
        gone.append(grain_extinctions(run.time, run.frames))
        log.info("%s: %s", output.stem, start)
    most, cells = max(map(len, gone)), largest(wanted)
    grains = coordinate(np.arange(most), "grain", GRAIN)
    with store.create(output, coords(wanted).assign_coords(grain=grains), variables(), _attrs()) as writer:
        for sim, (run, dx) in enumerate(runs):
            extinctions = filled(gone[sim], most)
            writer.write(sim, phi=padded(run.frames, cells), grain_extinction=extinctions, **measure(run, dx))
        writer.provenance = clock.record(f"simulate {output.stem}", job.model_dump(), threads=threads)


def load(dataset: xr.Dataset, sim: int) -> NDArray[np.float32]:
    """The frames of one simulation on its own grid: (time, x, y)."""
    cells = int(dataset["cells"][sim])
    return np.asarray(dataset["phi"][sim, :, :cells, :cells].values, np.float32)


def padded(frames: NDArray[Any], cells: int) -> NDArray[Any]:
    """Frames (..., x, y) in the corner of a larger grid, nan around them."""
    found = np.full((*frames.shape[:-2], cells, cells), np.nan)
    found[..., : frames.shape[-2], : frames.shape[-1]] = frames
    return found


def largest(wanted: Unseen) -> int:
    """Cells per side of the largest grid."""
    return max(case.cells for case in wanted.setups.values())


def coords(wanted: Unseen) -> xr.Dataset:
    """Simulations with the constants of each; time counts intervals, cells are numbered."""
    names, cases = tuple(wanted.starts), list(wanted.starts.values())

    def column(name: str, long_name: str) -> xr.DataArray:
        return coordinate([float(_constants(case)[name]) for case in cases], "sim", long_name)

    cells = np.arange(largest(wanted))
    return xr.Dataset(
        coords={
            "time": coordinate(np.arange(wanted.frames + 1), "time", "number of intervals since the start"),
            "sim": coordinate(np.arange(len(names)), "sim", "simulation"),
            "x": coordinate(cells, "x", "cell along x"),
            "y": coordinate(cells, "y", "cell along y"),
            "start": store.flags(names, names, "sim", "initial microstructure"),
            "cells": coordinate([case.cells for case in cases], "sim", "cells per side; phi is nan beyond"),
            "interval": column("interval", "time between frames"),
            **{name: column(name, name) for name in ("eta", "mu", "sigma", "dg", "dx")},
        }
    )


def _constants(case: Case) -> dict[str, float]:
    return {**vars(medium_of(case)), "interval": interval_length(case)}


def _attrs() -> dict[str, Any]:
    return {
        "title": "grains that a trained network has not seen",
        "equation": EQUATION,
        "scheme": "explicit Euler, projected on 0 <= phi <= 1, float64",
        "stencil": "5-point Laplacian, periodic; forward differences in the energy",
        "boundary": "periodic",
        "dtype": "float32",
        "references": REFERENCES,
    }
