"""Pieces of work timed in turn: a step of the explicit kernel beside what the core could do, and a training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phasemill.core.machine import bandwidth, multiply_adds
from phasemill.spinodal.config.speed import Timing
from phasemill.spinodal.evaluate.speed_marches import Roll
from phasemill.spinodal.evaluate.speed_rows import PRECISIONS, clock
from phasemill.spinodal.fused import Fused
from phasemill.spinodal.network import ConvGRU
from phasemill.spinodal.physics import Medium
from phasemill.spinodal.solver import DT, Euler

OPERATIONS = 15
"""Additions and multiply-adds of a cell and step: 8 for mu (by Horner, a factor left to the update), 7 for the rest."""
SLOWER = 10
"""So many times fewer steps are timed of numpy's rolls."""


def keep_pages() -> None:
    """Free a block of nearly 32 MB: the allocator keeps smaller ones from now on; numpy is two to four times faster."""
    np.ones(30 * 2**17)


def in_turn(pieces: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The least CPU seconds of each piece over `repeats` rounds, after one that warms up."""
    found: dict[str, list[float]] = {name: [] for name in pieces}
    for _ in range(repeats + 1):
        for name, piece in pieces.items():
            started = clock("cpu")
            piece()
            found[name].append(clock("cpu") - started)
    return {name: min(seconds[1:]) for name, seconds in found.items()}


def explicit_steps(phi: NDArray[Any], medium: Medium, timing: Timing) -> dict[str, dict[str, float]]:
    """By precision: nanoseconds per cell and step, compiled and by numpy rolls, and the machine's limits for it.

    `arithmetic`: `OPERATIONS`, fused where they can be, at the measured rate of multiply-adds.
    `memory`: one read and one write of phi at the measured bandwidth of a working set of two fields.
    """
    few = max(1, timing.steps // SLOWER)
    pieces: dict[str, Callable[[], object]] = {}
    for name, kind in PRECISIONS.items():
        compiled, rolled = Euler(phi, medium, dt=DT, dtype=kind), Roll(phi, medium, DT, name)
        pieces[f"compiled {name}"] = partial(compiled.advance, timing.steps * DT)
        pieces[f"numpy {name}"] = partial(rolled.advance, few * DT)
    seconds = in_turn(pieces, timing.repeats)
    found = {}
    for name, kind in PRECISIONS.items():
        size = np.dtype(kind).itemsize
        found[name] = {
            "compiled": 1e9 * seconds[f"compiled {name}"] / timing.steps / phi.size,
            "numpy": 1e9 * seconds[f"numpy {name}"] / few / phi.size,
            "arithmetic": 1e9 * OPERATIONS / multiply_adds(kind),
            "memory": 1e9 * 2 * size / bandwidth(2 * size * phi.size, kind),
        }
    return found


def training_steps(frames: NDArray[Any], timing: Timing) -> dict[int, dict[str, float]]:
    """By batch size: CPU seconds of a training step of the published network, module by module and fused.

    frames: (time, x, y, z) on the networks' grid, the window that is learned.
    """
    truth = torch.from_numpy(np.ascontiguousarray(frames[: timing.rollout + 1], np.float32))
    found = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for batch in timing.batches:
            window = truth.expand(batch, *truth.shape).contiguous()
            pieces = {
                "modules": _training_step(ConvGRU(), window, lambda network: network),
                "fused": _training_step(ConvGRU(), window, Fused),
            }
            found[batch] = in_turn(pieces, timing.repeats)
    return found


def _training_step(network: ConvGRU, window: torch.Tensor, stepper: Callable[[ConvGRU], Any]) -> Callable[[], None]:
    """Roll-out, gradient and update."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)

    def run() -> None:
        optimizer.zero_grad()
        step, phi, state = stepper(network), window[:, 0], None
        loss = torch.zeros(())
        for frame in range(1, window.shape[1]):
            phi, state = step(phi, state)
            loss = loss + (phi - window[:, frame]).square().mean()
        torch.autograd.backward(loss)
        optimizer.step()

    return run
