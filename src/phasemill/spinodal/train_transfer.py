"""Training of the transfer stages: the first one, then each other one from it and from scratch, at equal cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from phasemill.core import loop, store
from phasemill.core.provenance import Clock, config_hash
from phasemill.core.weights import save_model
from phasemill.spinodal.config.learned import Curriculum
from phasemill.spinodal.config.transfer import STAGES, TARGETS, Transfer, TransferStagesJob
from phasemill.spinodal.fused import Fused
from phasemill.spinodal.network import ConvGRU
from phasemill.spinodal.stages_dataset import load_stage
from phasemill.spinodal.train import fit
from phasemill.spinodal.train_variants import facts, number_seeds, start, write_curves


class Run(NamedTuple):
    """One training."""

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
    """All trainings, each after the one that it starts from."""
    for seed in range(settings.seeds):
        yield first_run(seed)
        for stage in TARGETS:
            for sequences in settings.sequences:
                yield Run(stage, "scratch", sequences, seed)
                yield Run(stage, "transfer", sequences, seed)


def networks(job: Any) -> nn.ModuleDict:
    """The untrained networks of all runs."""
    settings = job.network
    return nn.ModuleDict(
        {run.name: ConvGRU(settings.inputs, settings.output, settings.channels) for run in plan(job.transfer)}
    )


def train(
    job: TransferStagesJob, data: Path, output: Path, *, checkpoints: Path, history: Path, threads: int, device: str
) -> None:
    """Train all runs and store the networks in one file, with their curves in its card."""
    torch.set_num_threads(threads)
    clock, where = Clock(), loop.pick_device(device)
    dataset, digest = store.open_dataset(data), store.digest(data)
    frames = {
        stage: {split: load_stage(dataset, stage, split, job.medium.factor) for split in ("train", "validation")}
        for stage in STAGES
    }
    seeds = number_seeds(job.seed, "spinodal_transfer", job.transfer.seeds)
    trained, runs = networks(job), {}
    for run in plan(job.transfer):
        settings: Curriculum = job.transfer.first if run.stage == STAGES[0] else job.transfer.further
        network = start(job.network.inputs, job.network.output, job.network.channels, seeds[run.seed])
        if run.origin == "transfer":
            settings = settings.model_copy(update={"learning_rate": job.transfer.warm})
            network.load_state_dict(trained[first_run(run.seed).name].state_dict())
        chosen = dict(frames[run.stage])
        if run.sequences:
            chosen["train"] = chosen["train"][: run.sequences]
        key = config_hash({"run": run.name, "job": job.model_dump(), "data": digest})
        result, averaged = fit(
            network.to(where), Fused, chosen, settings, seeds[run.seed], checkpoints=checkpoints / run.name, key=key,
            history=checkpoints / run.name / "history.csv", label=run.name,
        )  # fmt: skip
        trained[run.name].load_state_dict(averaged.state_dict())
        runs[run.name] = {**run._asdict(), **facts(result)}
    write_curves(history, {name: content["curve"] for name, content in runs.items()})
    spec = job.model_dump()
    card = {
        "kind": "transfer",
        "runs": runs,
        "spec": spec,
        "data_digest": digest,
        "provenance": clock.record("train spinodal_transfer_stages", spec, threads=threads, device=str(where)),
    }
    save_model(output, trained, card)
