"""Training of networks that step through time, with roll-outs that grow.

The loss of a sample is its mean squared error over the roll-out, divided by that of standing still, so that slow late
frames count as much as fast early ones. Late stages carry the state on from piece to piece (truncated
back-propagation), far beyond what one gradient sees: that is what keeps long roll-outs stable.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from phasemill.core import loop, ranks, store
from phasemill.core.errors import InputError
from phasemill.core.model_files import save_model
from phasemill.core.provenance import config_hash
from phasemill.core.session import Options, Session
from phasemill.spinodal.config.learned import Curriculum, Optimisation, RecurrentJob, Stage
from phasemill.spinodal.config.variants import FnoJob, UnetJob
from phasemill.spinodal.datasets.mixtures import load
from phasemill.spinodal.fno import Fno
from phasemill.spinodal.fno import stepper as fno_step
from phasemill.spinodal.fused import Fused
from phasemill.spinodal.library import load_model
from phasemill.spinodal.network import ConvGRU, Step, to_raw
from phasemill.spinodal.train.warm_start import warm_start
from phasemill.spinodal.unet import Unet
from phasemill.spinodal.unet import stepper as unet_step

FRAMES = 49
"""Length of the validation's free roll-out, the paper's, where the data have as many frames."""


def train(job: RecurrentJob | FnoJob | UnetJob, data: Path, output: Path, **options: Unpack[Options]) -> None:
    """Train a network and store it with its card; under torchrun, by all processes together."""
    session, dataset = Session(job, data, **options), store.open_dataset(data)
    frames = {
        split: load(dataset, split, job.medium.factor, job.training.downscale) for split in ("train", "validation")
    }
    torch.manual_seed(job.seed)
    kind, settings, network, stepper = build(job, frames["train"])
    key = config_hash({"job": session.spec, "data": session.digest})
    with ranks.joined(session.where) as where:
        result, averaged = fit(
            network.to(where), stepper, frames, job.optimisation, job.seed,
            checkpoints=session.checkpoints, key=key, history=session.history, label=f"{kind} network",
        )  # fmt: skip
        processes, first = ranks.count(), ranks.rank() == 0
    if not first:
        return
    card = {
        "kind": kind,
        "interval": job.medium.interval,
        "network": settings,
        "medium": job.medium.model_dump(),
        "downscale": job.training.downscale,
        "training": {
            "steps": result.step,
            "seconds": result.seconds,
            "validation_mse": result.best,
            "best_step": result.best_step,
        },
        "box": int(dataset.sizes["x"]),
        "mean_range": [float(dataset["mean_drawn"].min()), float(dataset["mean_drawn"].max())],
        "data": {
            "simulations": dataset.sizes["sim"],
            "frames": dataset.sizes["time"],
            "mean": float(dataset["mean_drawn"].mean()),
            "deviation": float(dataset["mean_drawn"].std(ddof=1)),
        },
        **session.card(f"spinodal_{kind}", device=str(where), processes=processes),
    }
    folded = isinstance(job, RecurrentJob) and job.network.inputs == "raw"
    save_model(output, to_raw(averaged) if folded else averaged, card)


def build(
    job: RecurrentJob | FnoJob | UnetJob, frames: np.ndarray
) -> tuple[str, dict[str, Any], nn.Module, Callable[[Any], Step]]:
    """Kind, settings, and the untrained network with its step; raw input is trained centred and folded back."""
    if isinstance(job, FnoJob):
        settings = job.fno.model_dump(exclude={"learning_rate"}) | {"side": frames.shape[-1]}
        return "fno", settings, Fno(**settings), fno_step
    if isinstance(job, UnetJob):
        settings = job.unet.model_dump(exclude={"learning_rate"})
        return "unet", settings, Unet(**settings), unet_step
    inputs = "centred" if job.network.inputs == "raw" else job.network.inputs
    network = ConvGRU(**job.network.model_dump() | {"inputs": inputs})
    initialise(network)
    if job.training.start:
        teacher = load_model(job.training.start).network
        if not isinstance(teacher, ConvGRU):
            raise InputError(f"training.start {job.training.start} is no recurrent network; give one, such as features")
        warm_start(network, teacher, frames, job.seed)
    return "recurrent", job.network.model_dump(), network, Fused


def initialise(network: ConvGRU) -> None:
    """Weights 1.5 times PyTorch's default, a flux of a tenth: a small change at first, and gates that see something.

    Where phi is the only input, the first filters are mixtures of identity and Laplacian with some noise: the terms of
    the chemical potential, which random filters take very long to find.
    """
    first, last = network.first.from_input[0], network.to_flux[-1]
    assert isinstance(first, nn.Conv3d)
    assert isinstance(last, nn.Conv3d)
    assert last.bias is not None
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
        last.weight.mul_(0.1)
        last.bias.zero_()
        if first.in_channels == 1:
            filters = first.weight[:, 0].mul_(0.3)
            value, curvature = torch.rand(2, len(filters)).sub(0.5)
            filters[:, 1, 1, 1] += 3 * value - 6 * curvature
            for axis in range(3):
                for side in (0, 2):
                    place = [1, 1, 1]
                    place[axis] = side
                    filters[:, place[0], place[1], place[2]] += curvature


def fit(
    network: Any,
    stepper: Callable[[Any], Step],
    frames: dict[str, np.ndarray],
    settings: Curriculum,
    seed: int,
    *,
    checkpoints: Path,
    key: str,
    history: Path,
    label: str,
) -> tuple[loop.Result, Any]:
    """Train `network` on frames["train"] through all stages; returns the moving average of its weights, the best one.

    Arguments
    ---------
    network: the module, on its device.
    stepper: the network's step for its current weights.
    frames: `train` and `validation`, (sim, time, x, y, z), float32.

    Raises InputError for a batch that the processes of torchrun cannot share equally.
    """
    if settings.batch % ranks.count():
        raise InputError(f"a batch of {settings.batch} is not shared evenly by {ranks.count()} processes")
    where = next(network.parameters()).device
    averaged = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warm_cosine(step, settings))
    training = loop.Training({"network": network, "averaged": averaged}, optimizer, schedule)
    truth = torch.from_numpy(frames["train"])
    held = torch.from_numpy(frames["validation"])[:, : FRAMES + 1].to(where)

    def step(index: int) -> dict[str, float]:
        stage = stage_at(settings, index)
        rng = loop.rng(seed, index)
        # every process draws the whole batch, so that it does not depend on their number
        window = augment(rng, draw_window(rng, truth, settings, stage))[ranks.rank() :: ranks.count()].to(where)
        losses, state, phi = [], None, window[:, 0]
        for piece in range(stage.pieces):
            optimizer.zero_grad()
            first = piece * stage.rollout
            loss, phi, state = rollout_loss(stepper(network), window, phi, state, stage, first, settings.loss)
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
            loss = loss.detach()
            ranks.average([loss, *(weight.grad for weight in network.parameters() if weight.grad is not None)])
            nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
            optimizer.step()
            phi, state = phi.detach(), detach(state)
            losses.append(float(loss))
            if blown_up(phi):
                break
        average(averaged, network, index, settings)
        return {"loss": float(np.mean(losses))}

    def validate() -> dict[str, float]:
        with torch.no_grad():
            errors, still = rollout_errors(stepper(averaged), held)
        return {
            "validation_mse": float(errors.mean()),
            "validation_first": float(errors[0]),
            "validation_last": float(errors[-1]),
            "validation_relative": float(errors.mean() / still.mean()),
        }

    result = loop.train(
        training, step, steps=settings.steps, every=settings.every, seed=seed, checkpoints=checkpoints, key=key,
        history=history, validate=validate, monitor="validation_mse",
        select_after=settings.steps // 2, label=label,
    )  # fmt: skip
    return result, averaged


@torch.no_grad()
def average(averaged: nn.Module, network: nn.Module, step: int, settings: Optimisation) -> None:
    """Move the running mean of the weights on; over few steps at first, so that the start is forgotten."""
    decay = min(settings.average, (1 + step) / (10 + step))
    for mean, value in zip(averaged.parameters(), network.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)


def warm_cosine(step: int, settings: Optimisation) -> float:
    """The learning rate over its largest: a linear rise over `warm_up` steps, then half a cosine down to 1 %."""
    if step < settings.warm_up:
        return (step + 1) / settings.warm_up
    done = (step - settings.warm_up) / max(1, settings.steps - settings.warm_up)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, done))) / 2


def stage_at(settings: Optimisation, step: int) -> Stage:
    """The stage of the curriculum that a step belongs to."""
    for stage in settings.stages:
        if step < stage.steps:
            return stage
        step -= stage.steps
    return settings.stages[-1]


def draw_window(rng: np.random.Generator, truth: Tensor, settings: Curriculum, stage: Stage) -> Tensor:
    """A batch of windows (batch, time, x, y, z), long enough for the stage; many begin at the first frame."""
    length = stage.rollout * stage.pieces + 1
    last = truth.shape[1] - length
    chosen = []
    for sim in rng.choice(len(truth), settings.batch, replace=len(truth) < settings.batch):
        first = 0 if rng.uniform() < settings.from_start else int(rng.integers(0, last, endpoint=True))
        chosen.append(truth[sim, first : first + length])
    return torch.stack(chosen)


BLOWN_UP = 100.0
"""|phi| beyond which a roll-out is of no use."""
AXES = list(permutations((2, 3, 4)))


def augment(rng: np.random.Generator, window: Tensor) -> Tensor:
    """The batch after one of the 48 symmetries of the cube; half of the samples exchange the phases, phi -> 1 - phi."""
    window = window.permute(0, 1, *AXES[rng.integers(len(AXES))])
    flips = [axis for axis in (2, 3, 4) if rng.uniform() < 0.5]
    window = window.flip(flips) if flips else window
    exchanged = torch.from_numpy(rng.uniform(size=len(window)) < 0.5).view(-1, 1, 1, 1, 1)
    return torch.where(exchanged, 1 - window, window).contiguous()


def rollout_loss(
    step: Step, window: Tensor, phi: Tensor, state: Any, stage: Stage, first: int, kind: str
) -> tuple[Tensor, Tensor, Any]:
    """Loss over `stage.rollout` frames from window[:, first] on; returns it with the last field and state.

    The roll-out of a network that is not stable yet ends where it blows up: that much is enough to learn from, and a
    few frames later nothing would be finite.
    """
    error: Tensor = torch.zeros(len(window), device=window.device)
    for frame in range(first, first + stage.rollout):
        phi, state = step(window[:, frame] if frame < stage.given else phi, state)
        error = error + ((phi - window[:, frame + 1]) ** 2).mean(dim=(1, 2, 3))
        if blown_up(phi):
            break
    if kind == "relative":
        target = window[:, first + 1 : first + stage.rollout + 1]
        still = ((target - window[:, :1]) ** 2).mean(dim=(2, 3, 4)).sum(dim=1)
        return (error / (still + 1e-6 * stage.rollout)).mean(), phi, state
    return error.mean() / stage.rollout, phi, state


def blown_up(phi: Tensor) -> bool:
    """Whether a field has left all bounds."""
    return not bool(phi.detach().abs().amax() < BLOWN_UP)


def rollout_errors(step: Step, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squared error of each frame of a free roll-out from the first one, and of standing still."""
    phi, state = frames[:, 0], None
    errors, still = [], []
    for frame in range(1, frames.shape[1]):
        phi, state = step(phi, state)
        errors.append(((phi - frames[:, frame]) ** 2).mean())
        still.append(((frames[:, 0] - frames[:, frame]) ** 2).mean())
    return torch.stack(errors), torch.stack(still)


def detach(state: Any) -> Any:
    """The state without its history."""
    return None if state is None else tuple(part.detach() if isinstance(part, Tensor) else part for part in state)
