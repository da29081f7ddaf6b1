"""Training of recurrent networks with different cells: one march, one loss, as many steps as cost about the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import nn

from phasemill.core import loop, store
from phasemill.core.model_files import load_model
from phasemill.core.seeds import number_seeds
from phasemill.core.session import Options, Session
from phasemill.grains.config.cells import Arm, Cells, CellsNetworksJob
from phasemill.grains.datasets.cases import load
from phasemill.grains.march import March
from phasemill.grains.network import Stepper
from phasemill.grains.train.march import cpu_by_row, cpu_seconds, interval_of, marches, runs
from phasemill.grains.train.stepper import fit, taught_place


def train(job: CellsNetworksJob, data: Path, output: Path, *, start: Path, **options: Unpack[Options]) -> None:
    """Train all arms with all seeds on the first march in the file `start`; the truth scores alone."""
    session = Session(job, data, **options)
    taught = marches(job.shrink_64, job.shrink_64_learn, job.marching)
    parent = load_model(start, taught)
    first, sim, _ = runs(job.shrink_64, job.shrink_64_learn, job.seed)[0]
    march = taught[first].to(session.where)
    assert isinstance(march, March)
    truth = torch.from_numpy(load(store.open_dataset(data))[sim]).to(session.where)
    trained, seeds = networks(job.cells), number_seeds(job.seed, "grains_cells", job.cells.seeds)
    for name, arm, number in plan(job.cells):
        torch.manual_seed(seeds[number])
        network = Stepper(arm.cell, arm.channels).to(session.where)
        place = taught_place(session, name, seeds[number], parent)
        result = fit(
            network, march.frames, interval_of(job.shrink_64), job.recurrent, arm.steps, seeds[number], name, place,
            truth=truth, every=max(1, arm.steps // job.cells.looks),
        )  # fmt: skip
        trained[name].load_state_dict(network.state_dict())
        facts = {
            "steps": result.step,
            "residual": result.rows[-1]["residual"],
            "cpu": cpu_seconds(result),
            "curve": list(_curve(result)),
        }
        session.add(name, facts, result.rows)
    session.save(output, "cells", "grains_cells_networks", trained.state_dict())


def plan(settings: Cells) -> Iterator[tuple[str, Arm, int]]:
    """(name, arm, number of the seed) of all trainings."""
    for arm in settings.arms:
        for number in range(settings.seeds):
            yield f"{arm.name}_{number}", arm, number


def networks(settings: Cells) -> nn.ModuleDict:
    """All networks, untrained."""
    return nn.ModuleDict({name: Stepper(arm.cell, arm.channels) for name, arm, _ in plan(settings)})


def _curve(result: loop.Result) -> Iterator[dict[str, Any]]:
    """Scores of the roll-outs by the CPU seconds spent until then."""
    for row, spent in zip(result.rows, cpu_by_row(result), strict=True):
        yield {"step": row["step"], "cpu": spent, "mse": row["mse"], "residual": row["residual"]}
