"""Training of recurrent networks with different cells: one march, one loss, as many steps as cost about the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from phasemill.core import loop, store
from phasemill.core.provenance import Clock, config_hash
from phasemill.core.run import write_history
from phasemill.core.seeds import branch
from phasemill.core.weights import load_model, save_model
from phasemill.grains.config.cells import Arm, Cells, CellsNetworksJob
from phasemill.grains.dataset import load
from phasemill.grains.march import March
from phasemill.grains.network import Stepper
from phasemill.grains.train_march import cpu_seconds, interval_of, marches, runs
from phasemill.grains.train_stepper import fit


def train(
    job: CellsNetworksJob, data: Path, output: Path, *, checkpoints: Path, history: Path, threads: int, device: str,
    start: Path,
) -> None:  # fmt: skip
    """Train all arms with all seeds on the first march in the file `start`; the truth scores alone."""
    torch.set_num_threads(threads)
    clock, where = Clock(), loop.pick_device(device)
    spec, digest = job.model_dump(), store.digest(data)
    taught = marches(job.shrink_64, job.shrink_64_learn, job.marching)
    parent = load_model(start, taught)
    first, sim, _ = runs(job.shrink_64, job.shrink_64_learn, job.seed)[0]
    march = taught[first].to(where)
    assert isinstance(march, March)
    truth = torch.from_numpy(load(store.open_dataset(data))[sim]).to(where)
    trained, facts, rows = networks(job.cells), {}, []
    seeds = [int(seed.generate_state(1)[0]) for seed in branch(job.seed, "grains_cells", job.cells.seeds)]
    for name, arm, number in plan(job.cells):
        torch.manual_seed(seeds[number])
        network = Stepper(arm.cell, arm.channels).to(where)
        common = {"seed": seeds[number], "digest": digest, "march": parent["provenance"], "job": spec, "run": name}
        place = {"checkpoints": checkpoints / name, "key": config_hash(common)}
        result = fit(
            network, march.frames, interval_of(job.shrink_64), job.recurrent, arm.steps, seeds[number], name, place,
            truth=truth, every=max(1, arm.steps // job.cells.looks),
        )  # fmt: skip
        trained[name].load_state_dict(network.state_dict())
        facts[name] = {
            "steps": result.step,
            "residual": result.rows[-1]["residual"],
            "cpu": cpu_seconds(result),
            "curve": list(_curve(result)),
        }
        rows += [{"run": name, **row} for row in result.rows]
    write_history(history, rows)
    card = {
        "kind": "cells",
        "runs": facts,
        "spec": spec,
        "data_digest": digest,
        "provenance": clock.record("train grains_cells_networks", spec, threads=threads, device=str(where)),
    }
    save_model(output, trained, card)


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
    spent = last = 0.0
    for row in result.rows:
        spent += row["cpu"] * (row["step"] - last)
        last = row["step"]
        yield {"step": row["step"], "cpu": spent, "mse": row["mse"], "residual": row["residual"]}
