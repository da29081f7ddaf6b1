"""The data set of the transfer stages: from noise, late windows, and evolutions under the degenerate mobility."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from phasemill.core import store
from phasemill.core.blocks import Range
from phasemill.core.provenance import Clock
from phasemill.core.seeds import branch
from phasemill.spinodal.config.data import Medium, Mixtures, Sequences
from phasemill.spinodal.config.transfer import STAGES, Stages, StagesJob
from phasemill.spinodal.datasets.mixtures import (
    SPLITS,
    coarsen,
    coordinate,
    describe,
    draw,
    solver_medium,
    space,
    variables,
)
from phasemill.spinodal.solver import Trajectory, integrate

BRANCH = "cahn_hilliard_stages second"
"""Of the seed tree. The settings of the transfer were changed after a first design had been scored on the test boxes of
the branch `cahn_hilliard_stages`: those boxes are used up, and none of them is met here, not even for validation."""

log = logging.getLogger("phasemill")


def simulate(job: StagesJob, output: Path, *, threads: int = 1) -> None:
    """Integrate all boxes of all stages and store them; deterministic in `job`."""
    clock, wanted = Clock(), job.stages
    rows = [(stage, number) for stage in STAGES for number in range(wanted.simulations)]
    draws = [first(job.mixtures, wanted, job.medium, job.seed, stage, number) for stage, number in rows]
    attrs = describe(job.medium, title="cahn_hilliard_stages: early, late, surface", tolerance=wanted.tolerance)
    attrs["mobility_law"] = "constant; in the stage surface M(phi) = 16 M phi^2 (1 - phi)^2"
    with store.create(output, _coords(job, rows, draws), variables(("sim", "time")), attrs) as writer:
        for sim, (stage, _) in enumerate(rows):
            times = job.medium.interval * np.arange(wanted.frames)
            run = evolve(draws[sim], times, stage, wanted, job.medium)
            writer.write(sim, phi=run.frames, energy=run.energy, mean=run.mean)
            log.info("cahn_hilliard_stages: simulation %d of %d, %s", sim + 1, len(rows), stage)
        writer.provenance = clock.record("simulate cahn_hilliard_stages", job.model_dump(), threads=threads)


def first(mixtures: Mixtures, wanted: Stages, medium: Medium, seed: int, stage: str, number: int) -> dict[str, Any]:
    """The initial mixture of one simulation of a stage, and the time of its first frame."""
    window = wanted.surface_times if stage == "surface" else wanted.late_times
    return _draw(mixtures, wanted, medium, window, stage != "early", stage, seed, number)


def late_box(mixtures: Mixtures, wanted: Stages, medium: Medium, seed: int, number: int) -> dict[str, Any]:
    """An initial mixture that no stage holds, with its first frame at the beginning of the late windows."""
    drawn = _draw(mixtures, wanted, medium, wanted.late_times, True, "late roll-out", seed, number)
    return drawn | {"start": medium.interval * round(wanted.late_times.low / medium.interval)}


def _draw(
    mixtures: Mixtures, wanted: Stages, medium: Medium, window: Range, late: bool, name: str, seed: int, number: int
) -> dict[str, Any]:
    sequences = Sequences(
        size=wanted.size, simulations=wanted.simulations, frames=wanted.frames, tolerance=wanted.tolerance,
        late=float(late), late_times=window,
    )  # fmt: skip
    return draw(mixtures, sequences, medium, branch(seed, f"{BRANCH} {name}", number + 1)[number])


def evolve(start: dict[str, Any], times: Any, stage: str, wanted: Stages, medium: Medium) -> Trajectory:
    """Frames at `start` + times, under the stage's law from the beginning on."""
    law = replace(solver_medium(medium), law="degenerate" if stage == "surface" else "constant")
    schedule = start["start"] + np.asarray(times)
    late = start["start"] > 0
    run = integrate(
        start["phi"], np.concatenate([[0.0], schedule]) if late else schedule, medium=law, tolerance=wanted.tolerance
    )
    skip = int(late)
    return Trajectory(schedule, run.frames[skip:], run.energy[skip:], run.mean[skip:], run.evaluations[skip:])


def load_stage(dataset: xr.Dataset, stage: str, split: str, factor: int) -> np.ndarray:
    """All frames of a split of a stage on the networks' grid: (sim, time, x, y, z)."""
    labels = zip(store.meanings(dataset["stage"]), store.meanings(dataset["split"]), strict=True)
    chosen = [sim for sim, label in enumerate(labels) if label == (stage, split)]
    return np.stack([coarsen(dataset["phi"][sim].values, factor) for sim in chosen])


def _coords(job: StagesJob, rows: list[tuple[str, int]], draws: list[dict[str, Any]]) -> xr.Dataset:
    wanted = job.stages
    splits = ["train"] * wanted.train + ["validation"] * wanted.validation + ["test"] * wanted.test

    def column(name: str, long_name: str) -> xr.DataArray:
        return coordinate([drawn[name] for drawn in draws], "sim", long_name)

    time = job.medium.interval * np.arange(wanted.frames)
    return xr.Dataset(
        coords={
            "time": coordinate(time, "time", "time since the first frame"),
            "sim": coordinate(np.arange(len(rows)), "sim", "simulation"),
            **space(wanted.size, job.medium.dx),
            "start": column("start", "time of the first frame"),
            "mean_drawn": column("mean", "mean concentration imposed"),
            "deviation": column("deviation", "standard deviation of phi0 before clipping"),
            "lattice": column("lattice", "cells of the noise's lattice per 64 cells"),
            "octaves": column("octaves", "octaves of noise"),
            "stage": store.flags([stage for stage, _ in rows], STAGES, "sim", "stage"),
            "split": store.flags([splits[number] for _, number in rows], SPLITS, "sim", "split"),
        }
    )
