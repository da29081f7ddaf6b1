"""Training of the stride network: roll-outs over geometric times, in strides of several lengths.

The loss of a sample is its mean squared error over the roll-out divided by that of standing still, plus the squared
error in the logarithm of the free energy: phi alone would be content with blurred interfaces where it cannot know.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from torch import Tensor, nn

from phasemill.core import loop, store
from phasemill.core.model_files import save_model
from phasemill.core.provenance import config_hash
from phasemill.core.session import Options, Session
from phasemill.spinodal.config.data import Medium
from phasemill.spinodal.config.learned import Stage
from phasemill.spinodal.config.stride import StrideJob, StrideTraining
from phasemill.spinodal.datasets.mixtures import load
from phasemill.spinodal.stride_network import StrideNetwork
from phasemill.spinodal.train.curriculum import augment, average, stage_at, warm_cosine

REST = 3e-4
"""Added to the squared error of standing still, so that a mixture at rest does not outweigh all others."""


def train(job: StrideJob, data: Path, output: Path, **options: Unpack[Options]) -> None:
    """Train the network and store it in bfloat16, the precision in which it runs, with its card."""
    session, dataset = Session(job, data, **options), store.open_dataset(data)
    frames = {split: torch.from_numpy(load(dataset, split, 1)) for split in ("train", "validation")}
    times = torch.tensor(dataset["time"].values, dtype=torch.float32)
    torch.manual_seed(job.seed)
    settings = job.stride_network.model_dump()
    network = StrideNetwork(job.medium, **settings).to(session.where)
    network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch: 4-D only
    key = config_hash({"job": session.spec, "data": session.digest})
    result, averaged = fit(
        network, frames, times, job, checkpoints=session.checkpoints, key=key, history=session.history
    )
    card = {
        "kind": "stride",
        "interval": network.interval,
        "network": settings,
        "medium": job.medium.model_dump(),
        "downscale": "nearest",
        "training": {
            "steps": result.step,
            "seconds": result.seconds,
            "validation_energy": result.best,
            "best_step": result.best_step,
        },
        "box": int(dataset.attrs["size"]),
        "mean_range": [float(dataset["mean_drawn"].min()), float(dataset["mean_drawn"].max())],
        "time_range": [float(times[0]), float(times[-1])],
        **session.card("spinodal_stride"),
    }
    save_model(output, averaged.to(torch.bfloat16), card)


def fit(
    network: StrideNetwork, frames: dict[str, Tensor], times: Tensor, job: StrideJob, *, checkpoints: Path, key: str,
    history: Path,
) -> tuple[loop.Result, nn.Module]:  # fmt: skip
    """Train `network` through all stages; returns the moving average of its weights, the best one.

    Arguments
    ---------
    frames: `train` and `validation`, (sim, time, x, y, z).
    times: of the frames (time).
    """
    settings, medium = job.stride_training, job.medium
    where = next(network.parameters()).device
    averaged = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warm_cosine(step, settings))
    training = loop.Training({"network": network, "averaged": averaged}, optimizer, schedule)
    held = frames["validation"].to(where)

    def step(index: int) -> dict[str, float]:
        rng = loop.rng(job.seed, index)
        window, dt = draw_window(rng, frames["train"], times, settings, stage_at(settings, index))
        window = roll(rng, augment(rng, window)).to(where)
        optimizer.zero_grad()
        with torch.autocast(where.type, torch.bfloat16):
            predicted = rollout(network, window[:, 0], dt.to(where))
        error, energy = scores(predicted, window, medium)
        loss = error.mean() + settings.energy * (energy**2).mean()
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        optimizer.step()
        average(averaged, network, index, settings)
        return {
            "loss": float(loss.detach()),
            "relative_mse": float(error.mean().detach()),
            "energy_error": float(energy.abs().mean().detach()),
        }

    def validate() -> dict[str, float]:
        """A free roll-out over all times, in strides of the middle length."""
        chosen = torch.arange(0, len(times), sorted(settings.skips)[len(settings.skips) // 2])
        dt = times[chosen].diff().expand(len(held), -1).to(where)
        with torch.no_grad(), torch.autocast(where.type, torch.bfloat16):
            predicted = rollout(averaged, held[:, 0], dt)
        _, energy = scores(predicted, held[:, chosen], medium)
        return {
            "validation_mse": float(((predicted - held[:, chosen[1:]]) ** 2).mean()),
            "validation_energy": float(energy.abs().mean()),
            "validation_energy_last": float(energy[:, -1].mean()),
        }

    result = loop.train(
        training, step, steps=settings.steps, every=settings.every, seed=job.seed, checkpoints=checkpoints, key=key,
        history=history, validate=validate, monitor="validation_energy", select_after=settings.steps // 2,
        label="stride network",
    )  # fmt: skip
    return result, averaged


def draw_window(
    rng: np.random.Generator, truth: Tensor, times: Tensor, settings: StrideTraining, stage: Stage
) -> tuple[Tensor, Tensor]:
    """Windows (batch, rollout + 1, x, y, z) of frames `skip` apart, and the strides between them (batch, rollout)."""
    windows, strides = [], []
    possible = [skip for skip in settings.skips if skip * stage.rollout < len(times)]
    for sim in rng.choice(len(truth), settings.batch, replace=len(truth) < settings.batch):
        skip = int(rng.choice(possible))
        first = int(rng.integers(0, len(times) - skip * stage.rollout))
        chosen = first + skip * torch.arange(stage.rollout + 1)
        windows.append(truth[sim, chosen])
        strides.append(times[chosen].diff())
    return torch.stack(windows), torch.stack(strides)


def roll(rng: np.random.Generator, window: Tensor) -> Tensor:
    """The batch shifted around the box at random: folding knows odd from even cells, coarsening does not."""
    return window.roll([int(shift) for shift in rng.integers(0, window.shape[-1], 3)], (2, 3, 4))


def rollout(network: nn.Module, phi: Tensor, dt: Tensor) -> Tensor:
    """Frames (batch, steps, x, y, z) after the strides dt (batch, steps) from phi; each has a gradient of its own."""
    frames = []
    for step in range(dt.shape[1]):
        phi = network(phi.detach(), dt[:, step])
        frames.append(phi)
    return torch.stack(frames, dim=1)


def scores(predicted: Tensor, window: Tensor, medium: Medium) -> tuple[Tensor, Tensor]:
    """Squared error over that of standing still (batch), and log F - log F_true (batch, steps)."""
    target = window[:, 1:]
    error = ((predicted - target) ** 2).mean(dim=(1, 2, 3, 4))
    still = ((target - window[:, :1]) ** 2).mean(dim=(1, 2, 3, 4))
    return error / (still + REST), (free_energy(predicted, medium) / free_energy(target, medium)).log()


def free_energy(phi: Tensor, medium: Medium) -> Tensor:
    """`physics.free_energy` of the last three axes on the networks' grid, with a gradient."""
    dx = medium.dx * medium.factor
    density = 18 / medium.eps * phi**2 * (1 - phi) ** 2
    for axis in (-1, -2, -3):
        density = density + medium.eps / 2 * ((phi.roll(-1, axis) - phi) / dx) ** 2
    return density.sum(dim=(-3, -2, -1)) * dx**3
