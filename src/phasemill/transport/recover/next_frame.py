"""A network that predicts the next frame and knows no equation, and the kappa that its predictions imply."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from phasemill.transport.recover.baselines import Found, Frames
from phasemill.transport.recover.direct import recover_direct
from phasemill.transport.spectra import FrameSpectra, SafeScheme

PAIRS = 8
"""Pairs of frames per step."""
HELD_OUT = 5
"""Of every five pairs the middle one is kept from the network and judges it."""


@dataclass(frozen=True)
class NextFrame(Found):
    """kappa as a next-frame network implies it, and the quality of its predictions of pairs it has not seen."""

    rmse: float
    """Of the network, in the unit of the field."""
    rmse_persistence: float
    """Of the forecast that nothing changes."""
    rmse_operator: float
    """Of the SAFE operator at the kappa that direct minimisation finds from the pairs of the training."""


class FrameMap(nn.Module):
    """u + f(u), f three periodic 3x3 convolutions with SiLU between them: the identity before training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            *(_periodic(1, channels), nn.SiLU(), _periodic(channels, channels), nn.SiLU()), _periodic(channels, 1)
        )
        for parameter in self.change[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, frames: Tensor) -> Tensor:
        """(frame, 1, x, y) -> the next frames, in the same shape."""
        result: Tensor = frames + self.change(frames)
        return result


def next_frame_network(
    frames: Frames,
    scheme: SafeScheme,
    *,
    steps: int,
    channels: int = 16,
    learning_rate: float = 1e-2,
    bounds: tuple[float, float] = (0.01, 2.0),
    seed: int = 0,
) -> NextFrame:
    """A convolutional network that predicts the next frame, min mean |net(u_t) - u_{t+1}|^2 by Adam, without physics.

    Its kappa is that of the SAFE operator nearest to it: recover_direct with net(u_t) in the place of the next frame,
    over pairs it has not seen. This asks what the network does to such fields, all modes weighed as in L_SAFE, and
    not what its weights are. A sharpening video is predicted backwards where the operator does so.

    Arguments:
        frames: (time, x, y) of one simulation, periodic; at least 4, or no pair is left to judge the network.
        scheme: interval, sub-steps and direction of the operator.
        steps: of Adam with 8 pairs each; its learning rate falls linearly to 0.
        channels: of the two hidden layers.
        learning_rate: the first one.
        bounds: the interval searched for kappa.
        seed: of the weights and of the batches.
    """
    begun = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = FrameMap(channels)
    source, target = scheme.pairs(np.asarray(frames, dtype=np.float32))
    unseen = np.arange(len(source)) % HELD_OUT == HELD_OUT // 2
    mean, spread = float(np.mean(frames)), float(np.std(frames))

    def standard(some: Frames) -> Tensor:
        return torch.from_numpy((some - mean) / spread)[:, None]

    inputs, outputs = standard(source[~unseen]), standard(target[~unseen])
    persistence = F.mse_loss(inputs, outputs)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=steps)
    for _ in range(steps):
        chosen = torch.randint(len(inputs), (PAIRS,), generator=generator)
        loss = F.mse_loss(network(inputs[chosen]), outputs[chosen]) / persistence
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        predicted = network(standard(source[unseen]))[:, 0].numpy() * spread + mean
    kappa = recover_direct(_spectra(source[unseen], predicted, scheme), bounds).kappa
    seconds = time.perf_counter() - begun
    seen = recover_direct(_spectra(source[~unseen], target[~unseen], scheme), bounds)
    judge = _spectra(source[unseen], target[unseen], scheme)
    return NextFrame(
        kappa,
        steps,
        seconds,
        rmse=float(np.sqrt(np.mean((predicted - target[unseen]) ** 2))),
        rmse_persistence=math.sqrt(judge.persistence),
        rmse_operator=math.sqrt(max(float(judge.loss(seen.kappa)), 0.0) * judge.persistence),
    )


def _periodic(channels_in: int, channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels, 3, padding=1, padding_mode="circular")


def _spectra(source: Frames, target: Frames, scheme: SafeScheme) -> FrameSpectra:
    """The spectra of pairs that do not follow each other: those of each pair, weighed by its persistence error."""
    forward = replace(scheme, direction=scheme.sign)  # a pair is already in the order of the prediction
    pairs = [FrameSpectra.from_frames(np.stack(pair), forward) for pair in zip(source, target, strict=True)]
    weights = np.array([pair.persistence for pair in pairs])
    share = (weights / weights.sum())[:, None]
    return replace(
        pairs[0],
        power=np.sum(share * [pair.power for pair in pairs], axis=0),
        cross=np.sum(share * [pair.cross for pair in pairs], axis=0),
        persistence=float(weights.mean()),
    )
