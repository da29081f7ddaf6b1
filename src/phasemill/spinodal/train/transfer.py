"""Training of the transfer stages: the first one, then each other one from it and from scratch.

Both ways have the same steps, batches and sequences, and are tried at the same learning rates; of each the training
with the least validation error is kept. The first stage's steps come on top for transfer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, Unpack

import xarray as xr
from torch import nn

from phasemill.core.seeds import number_seeds
from phasemill.core.session import Options
from phasemill.spinodal.config.transfer import STAGES, TARGETS, Transfer, TransferStagesJob
from phasemill.spinodal.datasets.stages import load_stage
from phasemill.spinodal.network import ConvGRU
from phasemill.spinodal.train.many import Task, start, train_all


class Run(NamedTuple):
    """One network: that of the best learning rate."""

    stage: str
    origin: Literal["scratch", "transfer"]
    sequences: int
    """That it may see; 0 stands for all of the first stage."""
    seed: int

    @property
    def name(self) -> str:
        """As its module is called."""
        return "_".join(map(str, self))


def first_run(seed: int) -> Run:
    """The first stage of a seed."""
    return Run(STAGES[0], "scratch", 0, seed)


def plan(settings: Transfer) -> Iterator[Run]:
    """All networks, each after the one that it starts from."""
    for seed in range(settings.seeds):
        yield first_run(seed)
        for stage in TARGETS:
            for sequences in settings.sequences:
                yield Run(stage, "scratch", sequences, seed)
                yield Run(stage, "transfer", sequences, seed)


def networks(job: Any) -> nn.ModuleDict:
    """The untrained networks of all runs."""
    settings = job.network
    return nn.ModuleDict({run.name: ConvGRU(**settings.model_dump()) for run in plan(job.transfer)})


def train(job: TransferStagesJob, data: Path, output: Path, **options: Unpack[Options]) -> None:
    """Train all runs at all their learning rates and store the chosen networks in one file, with their curves."""
    trained = networks(job)
    train_all(
        job, "spinodal_transfer_stages", data, output, trained, lambda dataset: tasks(job, dataset, trained), **options
    )


def tasks(job: TransferStagesJob, dataset: xr.Dataset, trained: nn.ModuleDict) -> Iterator[Task]:
    """Every run; one by transfer begins with the weights that `trained` holds of its first stage by then."""
    frames = {
        stage: {split: load_stage(dataset, stage, split, job.medium.factor) for split in ("train", "validation")}
        for stage in STAGES
    }
    seeds = number_seeds(job.seed, "spinodal_transfer", job.transfer.seeds)
    for run in plan(job.transfer):
        network = start(job.network, seeds[run.seed])
        if run.origin == "transfer":
            network.load_state_dict(trained[first_run(run.seed).name].state_dict())
        chosen = dict(frames[run.stage])
        if run.sequences:
            chosen["train"] = chosen["train"][: run.sequences]
        candidates = job.transfer.candidates if run.stage in TARGETS else [job.transfer.first]
        yield Task(run.name, run._asdict(), network, chosen, candidates, seeds[run.seed])
