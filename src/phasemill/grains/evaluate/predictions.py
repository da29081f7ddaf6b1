"""What each method makes of a benchmark from its first frame: networks, exact implicit steps, and plain guesses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phasemill.core.metrics import frame_mse
from phasemill.grains import metrics
from phasemill.grains.march import March
from phasemill.grains.network import State, advance
from phasemill.grains.physics import Floats, Medium, free_energy
from phasemill.grains.solver import Scheme, implicit_march
from phasemill.grains.train.stepper import Hybrid
from phasemill.grains.variation import Interval

PAPER_GAMMA = 0.9466
"""gamma of the paper's last epoch: its hybrid output is gamma times the feed-forward network's where the rest is 0."""


@dataclass(frozen=True)
class Prediction:
    """One method from one first frame."""

    method: str
    frames: NDArray[Any]
    """(time, x, y)"""
    seconds: float | None = None
    """CPU seconds of the roll-out."""
    role: str = "network"
    """One of those of `store.flags`."""


@torch.no_grad()
def networks(march: March, hybrid: Hybrid, phi: NDArray[Any], interval: Interval) -> Iterator[Prediction]:
    """The feed-forward, the recurrent and the hybrid network, each on its own from the first frame."""
    begun = time.process_time()
    increments = [march.increment(number) for number in range(len(march.weights))]
    evaluated = time.process_time() - begun
    first, stepper = torch.from_numpy(np.asarray(phi, np.float32))[None], hybrid.stepper

    def roll(method: str) -> Prediction:
        begun = time.process_time()
        field, state, frames = first, stepper.at_rest(first), [first]
        for increment in increments:
            field, state = _step(method, field, state, increment)
            frames.append(field)
        spent = time.process_time() - begun + (0.0 if method == "recurrent" else evaluated)
        return Prediction(method, torch.cat(frames).numpy(), spent)

    def _step(method: str, field: Tensor, state: State, increment: Tensor) -> tuple[Tensor, State]:
        if method == "feed-forward":
            return advance(field, increment), state
        force = interval.pinned_force(field)
        if method == "recurrent":
            g, state = stepper(field, force, state)
        else:
            g, state = hybrid(field, force, increment, state)
        return advance(field, g), state

    for method in ("feed-forward", "recurrent", "hybrid"):
        yield roll(method)


def references(truth: NDArray[Any], times: Floats, medium: Medium) -> Iterator[Prediction]:
    """What costs no training: the field of zeros, no motion, the truth times gamma, exact implicit intervals."""
    yield Prediction("zero field", np.zeros_like(truth), role="trivial")
    yield Prediction("no motion", np.broadcast_to(truth[:1], truth.shape), role="trivial")
    yield Prediction(f"{PAPER_GAMMA:g} of the truth", PAPER_GAMMA * truth, role="check")
    names: dict[Scheme, str] = {"backward": "backward Euler, exact", "crank-nicolson": "Crank-Nicolson, exact"}
    for scheme, name in names.items():
        begun = time.process_time()
        frames = np.stack(list(implicit_march(truth[0], times, medium, scheme)))
        yield Prediction(name, frames, time.process_time() - begun, role="solver")


def score(truth: NDArray[Any], found: Prediction, medium: Medium, interval: Interval) -> dict[str, Any]:
    """Errors by frame and in the mean, the start included; radii in units of length."""
    frames = np.asarray(found.frames, np.float64)
    squares = frame_mse(truth, frames, 2)
    radii, expected = (np.array([metrics.volume_radius(phi, medium.dx) for phi in run]) for run in (frames, truth))
    seen, visible = (
        np.array([metrics.threshold_radius(phi, metrics.VISIBLE, medium.dx) for phi in run]) for run in (frames, truth)
    )
    energy, own = (np.array([free_energy(phi, medium) for phi in run]) for run in (truth, frames))
    measured = [metrics.diagnostics(phi, medium.dx) for phi in frames]
    alive, grains = expected > medium.dx, np.array([one["grains"] for one in measured])
    return {
        "mse": float(squares.mean()),
        "mse_worst": float(squares.max()),
        "mse_by_frame": squares.tolist(),
        "radius": radii.tolist(),
        "radius_visible": seen.tolist(),
        "radius_error": float(np.abs(radii[alive] / expected[alive] - 1).mean()),
        "radius_error_worst": float(np.abs(radii[alive] / expected[alive] - 1).max()),
        "radius_visible_error": float(np.abs(seen - visible).max()),
        "energy": own.tolist(),
        "energy_error": float(np.abs(own - energy).max() / energy[0]),
        "grains": grains.tolist(),
        "grain_radius": [one["grain_radius"] for one in measured],
        "grains_off": float(np.abs(grains - [metrics.diagnostics(phi, medium.dx)["grains"] for phi in truth]).max()),
        "residual": residual(frames, interval),
        "roughness": float(np.abs(np.diff(radii, 2)).sum()),
        "seconds": found.seconds,
    }


def residual(frames: NDArray[Any], interval: Interval) -> float:
    """Root of the mean square residual of all intervals."""
    phi = torch.from_numpy(np.asarray(frames, np.float32))
    found = interval.residual(phi[1:], interval.source(phi[:-1]))
    return float(found.square().mean().sqrt())
