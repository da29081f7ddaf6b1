"""What the published losses, its bottleneck and its attention say, measured without any training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phasemill.grains.network import SCALE
from phasemill.grains.published.losses import (
    Problem,
    coded_energy_imbalance,
    energies,
    energy_imbalance,
    frame_energy,
    frame_residual,
)
from phasemill.grains.published.network import interfaces
from phasemill.grains.published.train import Outcome

Floats = NDArray[np.float64]

FROZEN = 10
"""The frame at which the grain is stopped."""


def on_the_truth(truth: Floats, problem: Problem) -> dict[str, Any]:
    """Each loss on all frames of the truth, and in one interval for the truth and for a grain that stops there."""
    frames = torch.from_numpy(truth)
    place = min(FROZEN, len(truth) - 2)
    pairs = {"exact": frames[place : place + 2], "frozen": frames[[place, place]]}

    losses: dict[str, Callable[[Tensor], float]] = {
        "residual, as published": partial(_square, problem, False),
        "residual with the obstacle": partial(_square, problem, True),
        "incremental energy": lambda pair: float(frame_energy(pair, problem)) / SCALE**2,
    }
    return {
        "all": {name: loss(frames) for name, loss in losses.items()},
        **{kind: {name: loss(pair) for name, loss in losses.items()} for kind, pair in pairs.items()},
        "half": _square(problem, False, torch.full_like(frames[:2], 0.5)),
        "frame": place,
    }


def _square(problem: Problem, obstacle: bool, frames: Tensor) -> float:
    return float(frame_residual(frames, problem, obstacle=obstacle).square().mean())


def imbalance(frames: Floats, problem: Problem) -> dict[str, float]:
    """Mean absolute dF/dt + (1/L) int phi_t^2 over the intervals, what is coded for it, and mean absolute dF/dt."""
    fields = torch.from_numpy(np.array(frames))
    coded = coded_energy_imbalance(fields, problem)
    return {
        "mae": float(energy_imbalance(fields, problem).abs().mean()),
        "coded": float(coded.abs().mean()) if len(coded) else 0.0,
        "rate": float(energies(fields, problem).diff().abs().mean()) / problem.dt,
    }


def spread(outcome: Outcome, truth: Floats) -> dict[str, float]:
    """Whether drawn roll-outs of the variational bottleneck know how wrong they are, where the interface is.

    The share of cells with 0.01 < phi < 0.99 in the truth whose error is within two standard deviations, of the last
    frame (95 % if the spread were the error's), and both root mean squares.
    """
    inside = (truth[-1] > 0.01) & (truth[-1] < 0.99)
    error = (outcome.mean[-1].double().numpy() - truth[-1])[inside]
    deviation = outcome.spread[-1].double().numpy()[inside]
    return {
        "covered": float((np.abs(error) <= 2 * deviation).mean()),
        "error": float(np.sqrt((error**2).mean())),
        "spread": float(np.sqrt((deviation**2).mean())),
    }


def attention(outcome: Outcome) -> dict[str, float]:
    """The mean weight on the map of interfaces over the mean weight, before and after training, without the map too."""
    size = outcome.attention.shape[-1]
    looks = outcome.attention.double()
    maps = [
        interfaces(torch.nn.functional.avg_pool2d(frame[None], frame.shape[-1] // size)[0]).double()
        for frame in (outcome.frames[0], outcome.frames[-1])
    ]
    seen = (maps[0], maps[0], maps[1], maps[1])
    focus = [float((look * here).sum() / here.sum() / look.mean()) for look, here in zip(looks, seen, strict=True)]
    return {
        "begun": focus[0], "begun_without_map": focus[1], "trained": focus[2], "trained_without_map": focus[3],
        "share": float(maps[-1].mean()),
    }  # fmt: skip
