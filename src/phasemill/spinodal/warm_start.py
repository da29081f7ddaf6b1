"""First weights from a trained network that sees other channels: everything is copied but its first convolution.

That one is replaced by the linear map of phi's 27 neighbours that comes closest to it on real fields (least squares).
So the published input, phi alone, starts from what a network with the terms of the chemical potential has learnt.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from phasemill.core.errors import InputError
from phasemill.spinodal.network import ConvGRU, features

SAMPLES = 64
"""Fields that the regression sees."""


def warm_start(network: ConvGRU, teacher: ConvGRU, frames: NDArray[np.float32], seed: int) -> None:
    """Fill `network` from `teacher`; frames (sim, time, x, y, z) are the fields to regress on.

    Raises InputError if the two differ in more than their input.
    """
    if (network.output, network.channels) != (teacher.output, teacher.channels):
        raise InputError(
            f"training.start is a network of {teacher.channels} channels with output {teacher.output}, unlike the one "
            f"to train ({network.channels}, {network.output}): give one that differs in its input alone"
        )
    own, known = network.state_dict(), teacher.state_dict()
    first = ("first.from_input.0.weight", "first.from_input.0.bias")
    network.load_state_dict({name: own[name] if name in first else known[name] for name in own})
    if network.inputs == teacher.inputs:
        network.load_state_dict(known)
        return
    if network.inputs != "centred":
        raise InputError(f"training.start gives no first weights for the input {network.inputs}; use raw or centred")
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, frames.shape[:2], size=(SAMPLES, 2))
    phi = torch.from_numpy(np.stack([frames[sim, time] for sim, time in chosen]))
    source, target = teacher.first.from_input[0], network.first.from_input[0]
    assert isinstance(source, nn.Conv3d)
    assert isinstance(target, nn.Conv3d)
    assert target.bias is not None
    with torch.no_grad():
        wanted = source(features(phi, teacher.inputs)).movedim(1, -1).reshape(-1, source.out_channels)
        near = _neighbours(2 * phi - 1)
        found = torch.linalg.lstsq(near.T @ near, near.T @ wanted.double()).solution
        target.weight.copy_(found[:-1].T.reshape(target.weight.shape))
        target.bias.copy_(found[-1])


def _neighbours(q: Tensor) -> Tensor:
    """The 27 values around each cell and a one: (cells, 28), in the order of a 3^3 kernel, float64."""
    wide = F.pad(q[:, None], (1,) * 6, mode="circular")[:, 0]
    x, y, z = q.shape[1:]
    columns = [wide[:, i : i + x, j : j + y, k : k + z].reshape(-1) for i, j, k in product(range(3), repeat=3)]
    return torch.stack([*columns, torch.ones_like(columns[0])], dim=1).double()
