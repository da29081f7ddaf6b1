"""Free roll-outs of networks on their coarse grid, and how they are scored against decimated truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import Tensor

from phasemill.spinodal.network import Step

Floats = NDArray[np.float64]


def rollout(step: Step, phi: NDArray[Any], steps: int, *, start_state: Any = None) -> Iterator[NDArray[np.float32]]:
    """The fields after 1, 2, ... `steps` steps from phi, (batch, x, y, z) each.

    phi is carried in float64 beside the network: the change of each step is added there, so that rounding does not
    drift the mean over 10,000 steps. Memory does not grow with the number of steps.
    """
    precise = torch.from_numpy(np.array(phi, dtype=np.float64))
    state = start_state
    with torch.no_grad():
        for _ in range(steps):
            rounded = precise.float()
            following, state = step(rounded, state)
            precise += (following - rounded).double()
            yield precise.float().numpy()


def predict_at(step: Step, phi: NDArray[Any], marks: Sequence[int], batch: int = 8) -> NDArray[np.float32]:
    """The frames after each of `marks` steps, (sim, mark, x, y, z); 0 is the start, and other frames are not kept.

    phi: (sim, x, y, z), `batch` of them rolled out at a time.
    """
    kept = np.empty((len(phi), len(marks), *phi.shape[1:]), np.float32)
    for first in range(0, len(phi), batch):
        part = slice(first, first + batch)
        for mark, field in zip(range(max(marks) + 1), _from_start(step, phi[part], max(marks)), strict=True):
            if mark in marks:
                kept[part, list(marks).index(mark)] = field
    return kept


def _from_start(step: Step, phi: NDArray[Any], steps: int) -> Iterator[NDArray[np.float32]]:
    yield np.asarray(phi, np.float32)
    yield from rollout(step, phi, steps)


def exchange_averaged(step: Step) -> Step:
    """phi' = (N(phi) + 1 - N(1 - phi)) / 2: a step that treats both phases alike, as the equation does."""

    def both(phi: Tensor, state: Any) -> tuple[Tensor, Any]:
        following, state = step(torch.cat([phi, 1 - phi]), state)
        own, exchanged = following.chunk(2)
        return (own + 1 - exchanged) / 2, state

    return both


def repeat(phi: NDArray[Any], factor: int) -> NDArray[Any]:
    """The nearest value of phi[::f, ::f, ::f] in every cell of the fine grid."""
    for axis in (-3, -2, -1):
        phi = np.repeat(phi, factor, axis)
    return phi


def refine(phi: NDArray[Any], factor: int) -> Floats:
    """Fourier interpolation of phi[::f, ::f, ::f] back to the fine grid; exact where no mode is aliased."""
    spectrum = scipy.fft.fftn(phi, axes=(-3, -2, -1))
    for axis in (-3, -2, -1):
        spectrum = _insert_modes(spectrum, axis, factor)
    return np.asarray(scipy.fft.ifftn(spectrum, axes=(-3, -2, -1)).real) * factor**3


def _insert_modes(spectrum: NDArray[Any], axis: int, factor: int) -> NDArray[Any]:
    """Zeros between the positive and the negative wavenumbers; the Nyquist mode of an even side is shared by both."""
    n = spectrum.shape[axis]
    moved = np.moveaxis(spectrum, axis, -1)
    out = np.zeros((*moved.shape[:-1], n * factor), complex)
    half = n // 2
    out[..., :half] = moved[..., :half]
    out[..., -half:] = moved[..., -half:]
    if n % 2 == 0:
        out[..., half] = out[..., -half] = moved[..., half] / 2
    else:
        out[..., half] = moved[..., half]
    return np.moveaxis(out, -1, axis)
