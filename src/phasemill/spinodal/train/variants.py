"""Training of the arms of the ablation: many short runs with the same first weights and batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import xarray as xr
from torch import nn

from phasemill.core.seeds import number_seeds
from phasemill.core.session import Options
from phasemill.spinodal.config.learned import Network
from phasemill.spinodal.config.variants import ARMS, VariantsJob
from phasemill.spinodal.datasets.mixtures import coarsen, load
from phasemill.spinodal.network import ConvGRU
from phasemill.spinodal.train.many import Task, start, train_all


def names(seeds: int) -> list[tuple[str, str, int]]:
    """(run, arm, number of the seed) of all trainings; the seed is the same for all arms."""
    return [(f"{arm}_{seed}", arm, seed) for arm in ARMS for seed in range(seeds)]


def networks(seeds: int, network: Network) -> nn.ModuleDict:
    """The untrained networks of all runs."""
    return nn.ModuleDict(
        {
            run: ConvGRU(ARMS[arm].inputs, ARMS[arm].output, network.channels, network.memory)
            for run, arm, _ in names(seeds)
        }
    )


def train(job: VariantsJob, data: Path, output: Path, **options: Unpack[Options]) -> None:
    """Train all arms with all seeds and store the networks in one file, with their curves in its card."""
    trained = networks(job.variants.seeds, job.network)
    train_all(job, "spinodal_variants", data, output, trained, lambda dataset: tasks(job, dataset), **options)


def tasks(job: VariantsJob, dataset: xr.Dataset) -> Iterator[Task]:
    """Every arm with every seed."""
    fine = {split: load(dataset, split, 1) for split in ("train", "validation")}
    fine["validation"] = fine["validation"][: job.variants.validation]
    seeds = number_seeds(job.seed, "spinodal_variants", job.variants.seeds)
    grids = {arm.downscale: coarse(fine, job.medium.factor, arm.downscale) for arm in ARMS.values()}
    for run, arm, number in names(job.variants.seeds):
        settings = job.settings(ARMS[arm], job.medium.factor)
        network = start(
            job.network.model_copy(update={"inputs": ARMS[arm].inputs, "output": ARMS[arm].output}), seeds[number]
        )
        yield Task(
            run, {"arm": arm, "seed": number}, network, grids[settings.downscale], [settings], seeds[number],
            fitted=arm == "reference",
        )  # fmt: skip


def coarse(fine: Mapping[str, np.ndarray], factor: int, downscale: Any) -> dict[str, np.ndarray]:
    """All splits on the networks' grid."""
    return {split: coarsen(frames, factor, downscale) for split, frames in fine.items()}
