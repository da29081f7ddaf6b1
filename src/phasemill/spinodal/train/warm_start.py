"""First weights from a trained network with another input or another divergence: all else is copied.

The first or the last convolution is replaced by the one that comes closest to the known one on real fields (least
squares). So the published input, phi alone, starts from what a network with the terms of the chemical potential has
learnt, and fluxes on faces start from the mean of those at the two cells beside each face.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from phasemill.core.errors import InputError
from phasemill.spinodal.network import ConvGRU, change, features

SAMPLES = 64
"""Fields that the regression sees."""
STEPS = 10
"""Steps of the roll-outs whose fluxes the regression sees."""


def warm_start(network: ConvGRU, teacher: ConvGRU, frames: NDArray[np.float32], seed: int) -> None:
    """Fill `network` from `teacher`; frames (sim, time, x, y, z) are the fields to regress on.

    Raises InputError where no such start exists.
    """
    changed = [name for name in ("inputs", "output") if getattr(network, name) != getattr(teacher, name)]
    to = [getattr(network, name) for name in changed]
    if network.channels != teacher.channels or to not in ([], ["centred"], ["staggered"]) or (
        to == ["staggered"] and teacher.output != "central"
    ):  # fmt: skip
        raise InputError(
            f"training.start is a network of {teacher.channels} channels, input {teacher.inputs} and output "
            f"{teacher.output}, which is no start for {network.channels}, {network.inputs}, {network.output}: it may "
            "differ in its input, where the new one is raw or centred, or in its output, central before and staggered "
            "after"
        )
    own, known = network.state_dict(), teacher.state_dict()
    known |= {name: own[name] for name in own if own[name].shape != known[name].shape}
    network.load_state_dict(known)
    if not changed:
        return
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, frames.shape[:2], size=(SAMPLES, 2))
    phi = torch.from_numpy(np.stack([frames[sim, time] for sim, time in chosen]))
    with torch.no_grad():
        if changed == ["inputs"]:
            source = teacher.first.from_input[0]
            fit(network.first.from_input[0], (2 * phi - 1)[:, None], source(features(phi, teacher.inputs)))
        else:
            seen, flux = _fluxes(teacher, phi)
            # the change by faces is u(i-1) - u(i), that by cells u(i-1) - u(i+1): they agree for the sum of neighbours
            faces = torch.stack([flux[:, d] + flux[:, d].roll(-1, d + 1) for d in range(3)], dim=1)
            fit(network.to_flux[-1], seen, faces)


def fit(convolution: nn.Module, seen: Tensor, wanted: Tensor) -> None:
    """Give a periodic 3^3 convolution the weights with the least squared error of `wanted` from `seen`.

    seen: (batch, channels in, x, y, z); wanted: (batch, channels out, x, y, z).
    """
    assert isinstance(convolution, nn.Conv3d)
    assert convolution.bias is not None
    near = neighbours(seen)
    values = wanted.movedim(1, -1).reshape(-1, wanted.shape[1]).double()
    found = torch.linalg.lstsq(near.T @ near, near.T @ values, driver="gelsd").solution
    kernel = found[:-1].T.reshape(wanted.shape[1], 3, 3, 3, seen.shape[1])
    convolution.weight.copy_(kernel.movedim(-1, 1))
    convolution.bias.copy_(found[-1])


def neighbours(x: Tensor) -> Tensor:
    """The 27 cells around each cell with all their channels, and a one: (cells, 27 channels + 1), float64."""
    wide = F.pad(x, (1,) * 6, mode="circular")
    sides = x.shape[2:]
    columns = [
        wide[:, :, i : i + sides[0], j : j + sides[1], k : k + sides[2]].movedim(1, -1).reshape(-1, x.shape[1])
        for i, j, k in product(range(3), repeat=3)
    ]
    return torch.cat([*columns, columns[0].new_ones(len(columns[0]), 1)], dim=1).double()


def _fluxes(network: ConvGRU, phi: Tensor) -> tuple[Tensor, Tensor]:
    """What the last convolution sees and gives in the first steps of roll-outs from phi."""
    seen, fluxes, state = [], [], network.start(phi)
    for step in range(STEPS):
        hidden_1 = network.first(features(phi, network.inputs), state[0])
        hidden_2 = network.second(hidden_1, state[1])
        inner = network.to_flux[:-1](hidden_2)
        flux = network.to_flux[-1](inner)
        # the first step, whose change is the largest, with all samples; of each later one its share
        kept = slice(None) if step == 0 else slice(step, None, STEPS)
        seen.append(inner[kept])
        fluxes.append(flux[kept])
        phi, state = phi + change(flux, network.output), (hidden_1, hidden_2, step + 1)
    return torch.cat(seen), torch.cat(fluxes)
