"""Many short trainings in one job: each with its own checkpoint, all networks in one file.

A training may have several candidate settings. All of them are run, and the one with the least validation error is
kept, so that no arm of a comparison is favoured by settings that suit another one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import numpy as np
import torch
import xarray as xr
from torch import nn

from phasemill.core import loop, store
from phasemill.core.session import Options, Session
from phasemill.spinodal.config.learned import Curriculum, Network
from phasemill.spinodal.config.transfer import TransferStagesJob
from phasemill.spinodal.config.variants import VariantsJob
from phasemill.spinodal.fused import Fused
from phasemill.spinodal.network import ConvGRU
from phasemill.spinodal.train.curriculum import FRAMES, fit, initialise, rollout_errors


class Task(NamedTuple):
    """One network to train."""

    name: str
    labels: dict[str, Any]
    """What the card says about it."""
    network: ConvGRU
    """With its first weights."""
    frames: dict[str, np.ndarray]
    """`train` and `validation`: (sim, time, x, y, z)."""
    candidates: Sequence[Curriculum]
    """Settings that differ in the learning rate."""
    seed: int
    fitted: bool = False
    """Whether the error on training sequences is measured too."""


def train_all(
    job: TransferStagesJob | VariantsJob,
    name: str,
    data: Path,
    output: Path,
    trained: nn.ModuleDict,
    plan: Callable[[xr.Dataset], Iterable[Task]],
    **options: Unpack[Options],
) -> None:
    """Train what `plan` yields, task by task, and store all networks with their curves in one file.

    Arguments
    ---------
    name: of the job, in its provenance.
    trained: the modules by the tasks' names, filled one after another: a task may begin with an earlier one's weights.
    plan: the tasks on a data set, made as they are asked for.
    """
    session = Session(job, data, **options)
    for task in plan(store.open_dataset(data)):
        tried: list[tuple[loop.Result, Any, Curriculum]] = []
        for settings in task.candidates:
            label = f"{task.name}_{settings.learning_rate:g}" if len(task.candidates) > 1 else task.name
            place = session.place(label)
            result, averaged = fit(
                copy.deepcopy(task.network).to(session.where), Fused, task.frames, settings, task.seed,
                history=place["checkpoints"] / "history.csv", label=label, **place,
            )  # fmt: skip
            tried.append((result, averaged, settings))
            session.rows += [{"run": label, **row} for row in curve(result)]
        result, averaged, settings = min(tried, key=lambda one: one[0].best)
        trained[task.name].load_state_dict(averaged.state_dict())
        session.runs[task.name] = {
            **task.labels,
            **facts(result, settings, task.frames["train"]),
            "seconds": round(sum(one.seconds for one, _, _ in tried), 1),
            "validation_by_rate": {f"{tuned.learning_rate:g}": one.best for one, _, tuned in tried},
        }
        if task.fitted:
            session.runs[task.name] |= fitted(averaged, task.frames)
    session.save(output, name, name, trained.state_dict())


def start(settings: Network, seed: int) -> ConvGRU:
    """A network before its training, the same for the same seed."""
    torch.manual_seed(seed)
    network = ConvGRU(**settings.model_dump())
    initialise(network)
    return network


def curve(result: loop.Result) -> list[dict[str, float]]:
    """Losses and validation errors by step."""
    return [{name: row[name] for name in ("step", "loss", "validation_mse")} for row in result.rows]


def facts(result: loop.Result, settings: Curriculum, truth: np.ndarray) -> dict[str, Any]:
    """Length, settings and curve of a training; `passes` is the frames it predicted over those it could predict."""
    predicted = settings.batch * sum(stage.steps * stage.rollout * stage.pieces for stage in settings.stages)
    return {
        "steps": result.step,
        "best_step": result.best_step,
        "learning_rate": settings.learning_rate,
        "batch": settings.batch,
        "sequences": len(truth),
        "passes": predicted / (len(truth) * (truth.shape[1] - 1)),
        "curve": curve(result),
    }


def fitted(network: ConvGRU, frames: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Error of the free roll-out on as many training sequences as there are for validation, and on those."""
    found: dict[str, float] = {}
    where = next(network.parameters()).device
    for split in ("train", "validation"):
        some = torch.from_numpy(frames[split][: len(frames["validation"]), : FRAMES + 1]).to(where)
        with torch.no_grad():
            errors, still = rollout_errors(Fused(network), some)
        found |= {f"{split}_mse": float(errors.mean()), f"{split}_persistence": float(still.mean())}
    return found
