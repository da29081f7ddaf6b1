"""The end of a recurrent network's training: whole roll-outs.

A speed that is wrong by a part in a thousand costs a window less than the noise between windows, but it adds up along a
roll-out. Where all its intervals are seen at once there is no such noise, and at the minimum of J no mean residual is
left in any direction that the output layer spans.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from phasemill.core import loop
from phasemill.grains.march import cosine
from phasemill.grains.network import SCALE, State, Stepper
from phasemill.grains.simplex import Phases
from phasemill.grains.variation import Interval

Carry = Callable[[Stepper, Tensor, Tensor, State], tuple[Tensor, State]]
"""(network, fields, their pinned force, state) -> (fields after an interval, next state)."""
Begin = Callable[[int], Tensor]
"""Number of a step -> fields (batch, x, y), or (batch, phase, x, y)."""


def settle(
    network: Stepper, begin: Begin, intervals: int, physics: Interval | Phases, carry: Carry, *,
    steps: int, learning_rate: float, seed: int, label: str, checkpoints: Path, key: str,
) -> loop.Result:  # fmt: skip
    """Train on; a step minimises J over all intervals of the network's own way.

    Arguments
    ---------
    begin: where the roll-out of a step begins.
    physics: whose J is minimised; the gradient stays within each interval.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: cosine(step, steps, 0.05))

    def step(number: int) -> dict[str, float]:
        begun, field = time.process_time(), begin(number)
        held = network.at_rest(field.flatten(0, -3))
        total = squares = 0.0
        optimizer.zero_grad()
        for _ in range(intervals):
            force = physics.pinned_force(field)
            source = field + force / 2
            found, held = carry(network, field, force, held)
            loss = physics.energy(found, source).mean() / intervals / SCALE**2
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
            field, held = found.detach(), tuple(part.detach() for part in held)
            total += float(loss.detach())
            squares += float(physics.residual(field, source).square().mean()) / intervals
        optimizer.step()
        return {"loss": total, "residual": squares**0.5, "cpu": time.process_time() - begun}

    return loop.train(
        loop.Training({"network": network}, optimizer, schedule), step, steps=steps, every=max(1, steps // 10),
        seed=seed, checkpoints=checkpoints / "settling", key=key, history=checkpoints / "settling.csv",
        label=f"{label}, whole roll-outs",
    )  # fmt: skip
