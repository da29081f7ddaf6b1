"""A training step of the recurrent network, fused, against its modules one by one: 32^3, forward and backward, K = 3."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from phasemill.spinodal.fused import Fused
from phasemill.spinodal.network import ConvGRU, Step

pytestmark = pytest.mark.performance

SIDE, ROLLOUT = 32, 3


@pytest.mark.parametrize(("batch", "at_least"), [(1, 4), (2, 2)])
def test_faster_than_module_by_module(compare: Callable[..., float], batch: int, at_least: float) -> None:
    torch.manual_seed(0)
    network = ConvGRU("features", "central", 10)
    phi, target = torch.rand(batch, SIDE, SIDE, SIDE), torch.rand(batch, SIDE, SIDE, SIDE)

    def train_step(step: Step) -> Tensor:
        network.zero_grad()
        field, state, loss = phi, None, torch.zeros(())
        for _ in range(ROLLOUT):
            field, state = step(field, state)
            loss = loss + ((field - target) ** 2).mean()
        loss.backward()
        return loss.detach()

    torch.testing.assert_close(train_step(Fused(network, torch.float32)), train_step(network), rtol=1e-5, atol=0)
    key = f"spinodal training step, batch {batch} of {SIDE}^3, fused against module by module"
    assert compare(key, lambda: train_step(Fused(network)), lambda: train_step(network), 5) >= at_least
