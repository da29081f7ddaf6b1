"""Training on whole roll-outs: what is minimised, with which states, and that it falls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from phasemill.core import loop
from phasemill.grains.initial import disc, one_hot, voronoi
from phasemill.grains.network import SCALE, State, Stepper
from phasemill.grains.physics import Medium
from phasemill.grains.simplex import Phases
from phasemill.grains.train import polycrystal as train_polycrystal
from phasemill.grains.train import stepper as train_stepper
from phasemill.grains.train.settle import settle
from phasemill.grains.variation import Interval

pytestmark = pytest.mark.physics

MEDIUM = Medium(eta=5.0, mu=1.0)
INTERVAL, MANY = Interval.of(MEDIUM, 0.3), Phases.of(MEDIUM, 0.3)
INTERVALS = 3
DISC = torch.from_numpy(disc((12, 12), 1.0, np.array([6.0, 6.0]), 4.0, 5.0).astype(np.float32))[None]
CRYSTAL = torch.from_numpy(one_hot(voronoi(np.random.default_rng(3), (8, 8), 3), 3).astype(np.float32))[None]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(5)


def settled(network: Stepper, folder: Path, steps: int, **options: object) -> loop.Result:
    chosen: dict[str, object] = {"begin": lambda _: DISC, "physics": INTERVAL, "carry": train_stepper.carry}
    chosen |= {"intervals": INTERVALS, "steps": steps, "learning_rate": 3e-3} | options
    return settle(network, **chosen, seed=1, label="toy", checkpoints=folder, key="toy".ljust(16, "_"))  # type: ignore[arg-type]


def moving(channels: int = 4) -> Stepper:
    """A network that moves something, though not as it should."""
    network = Stepper("gru", channels)
    torch.nn.init.normal_(network.out.weight, std=0.3)
    return network


@torch.no_grad()
def roll(network: Stepper, phi: Tensor, physics: Interval | Phases, intervals: int = INTERVALS) -> tuple[float, Tensor]:
    """Mean J of the intervals of a roll-out, over s^2, and the mean of each interval's residual."""
    carry = train_stepper.carry if isinstance(physics, Interval) else train_polycrystal.step
    state = network.at_rest(phi.flatten(0, -3))
    energies, residuals = [], []
    for _ in range(intervals):
        force, source = physics.pinned_force(phi), physics.source(phi)
        phi, state = carry(network, phi, force, state)
        energies.append(float(physics.energy(phi, source).mean()) / SCALE**2)
        residuals.append(physics.residual(phi, source).square().mean())
    return float(np.mean(energies)), torch.stack(residuals)


@pytest.mark.parametrize(
    ("physics", "carry", "start"),
    [(INTERVAL, train_stepper.carry, DISC), (MANY, train_polycrystal.step, CRYSTAL)],
    ids=["two phases", "many"],
)
def test_the_energy_of_the_roll_out_falls(
    tmp_path: Path, physics: Interval | Phases, carry: object, start: Tensor
) -> None:
    network = Stepper("gru", 4)
    still, off = roll(network, start, physics)
    result = settled(network, tmp_path, 30, learning_rate=0.02, physics=physics, carry=carry, begin=lambda _: start)
    energy, residual = roll(network, start, physics)
    assert energy < still
    assert float(residual.mean()) < 0.5 * float(off.mean())
    assert result.rows[-1]["loss"] < result.rows[0]["loss"]


def test_what_is_minimised_is_the_mean_of_the_intervals(tmp_path: Path) -> None:
    """Loss and residual of the first step are those of the weights before it, with src = phi + f_P/2."""
    network = moving()
    energy, residual = roll(network, DISC, INTERVAL)
    (row,) = settled(network, tmp_path, 1).rows
    assert row["loss"] == pytest.approx(energy, rel=1e-5)
    assert row["residual"] == pytest.approx(float(residual.mean().sqrt()), rel=1e-4)


def test_states_are_carried_and_gradients_stay_within_an_interval(tmp_path: Path) -> None:
    seen: list[tuple[Tensor, Tensor, State]] = []
    made: list[tuple[Tensor, State]] = []

    def carry(network: Stepper, phi: Tensor, force: Tensor, state: State) -> tuple[Tensor, State]:
        seen.append((phi, force, state))
        made.append(train_stepper.carry(network, phi, force, state))
        return made[-1]

    settled(moving(), tmp_path, 1, carry=carry)
    assert len(seen) == INTERVALS
    assert torch.equal(seen[0][0], DISC)
    assert not seen[0][2][0].any()
    for (phi, force, state), (found, after) in zip(seen[1:], made, strict=False):
        assert torch.equal(phi, found)
        assert torch.equal(force, INTERVAL.pinned_force(phi))
        assert torch.equal(state[0], after[0])
        assert state[0].any()
        assert found.requires_grad
        assert not phi.requires_grad
        assert not state[0].requires_grad


def test_each_step_begins_where_it_is_told(tmp_path: Path) -> None:
    numbers = []

    def begin(number: int) -> Tensor:
        numbers.append(number)
        return DISC.roll(number, -1)

    settled(Stepper("gru", 2), tmp_path, 3, begin=begin)
    assert numbers == [0, 1, 2]


def test_one_step_is_adams(tmp_path: Path) -> None:
    """Of the mean J of all intervals: each weight moves by the learning rate against its gradient."""
    network, other = moving(), moving()
    other.load_state_dict(network.state_dict())
    phi, state = DISC, other.at_rest(DISC)
    for _ in range(INTERVALS):
        source = INTERVAL.source(phi)
        found, state = train_stepper.carry(other, phi, INTERVAL.pinned_force(phi), state)
        INTERVAL.energy(found, source).mean().backward()  # type: ignore[no-untyped-call]  # untyped in torch
        phi, state = found.detach(), tuple(part.detach() for part in state)
    settled(network, tmp_path, 1, learning_rate=1e-3)
    for (name, after), before in zip(network.named_parameters(), other.parameters(), strict=True):
        assert before.grad is not None
        clear = before.grad.abs() > 1e-2 * before.grad.abs().max()
        expected = before - 1e-3 * before.grad.sign()
        torch.testing.assert_close(after[clear], expected[clear], rtol=0, atol=2e-5, msg=name)
