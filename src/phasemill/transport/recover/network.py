"""kappa of one simulation by a fresh network trained on that simulation alone, without labels."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phasemill.transport.network import PhysicsEstimator
from phasemill.transport.operator import SpectralLoss
from phasemill.transport.spectra import FrameSpectra, SafeScheme

CONVERGED = 0.01
"""A step counts as converged when kappa stays this close to the minimiser of the loss from there on."""


@dataclass(frozen=True)
class ZeroShot:
    """The result of a zero-shot recovery."""

    kappa: float
    history: NDArray[np.float64]
    """kappa after 0, 1, ... updates."""
    loss: float
    """Normalised SAFE loss at the final kappa."""
    seconds: float

    def converged_step(self, minimum: float) -> int:
        """First update from which |kappa - minimum| stays below 0.01; one more than the updates if none is."""
        away = np.flatnonzero(np.abs(self.history - minimum) >= CONVERGED)
        return int(away[-1]) + 1 if away.size else 0


def zero_shot_network(
    frames: NDArray[Any],
    scheme: SafeScheme,
    *,
    steps: int = 200,
    stride: int = 1,
    learning_rate: float = 1e-3,
    features: int = 64,
    seed: int = 0,
) -> ZeroShot:
    """Adam on the estimator's weights for L_SAFE(kappa(frames)), with the encoder and decoder at their identity start.

    The loss is over all pairs of frames whatever the network sees. A frozen identity encoder leaves the latent video
    equal to the frames, so their pooled frames and their spectra are constants: each step costs the estimator alone,
    in proportion to the frames that it sees.

    Arguments:
        frames: (time, x, y) of one simulation.
        scheme: interval, sub-steps and direction.
        steps: number of updates.
        stride: the network sees every stride-th frame.
        learning_rate: of Adam.
        features: width of the estimator.
        seed: of the network's initial weights; the caller's random state is left as it was.

    Source: SAFE-PIT-CM, section 2.7.
    """
    start = time.perf_counter()
    spectra = FrameSpectra.from_frames(frames, scheme)
    loss_of = SpectralLoss([spectra])
    video = torch.from_numpy(np.ascontiguousarray(frames[::stride], dtype=np.float32))[None]
    pooled = PhysicsEstimator.pool(video)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        estimator = PhysicsEstimator(features)
    optimiser = torch.optim.Adam(estimator.parameters(), lr=learning_rate)
    history = np.empty(steps + 1)
    for step in range(steps):
        kappa = estimator.from_pooled(pooled)
        history[step] = kappa.item()
        optimiser.zero_grad()
        loss_of(kappa).sum().backward()
        optimiser.step()
    with torch.no_grad():
        history[steps] = estimator.from_pooled(pooled).item()
    final = float(history[-1])
    seconds = time.perf_counter() - start
    return ZeroShot(final, history, float(spectra.loss(final)), seconds)
