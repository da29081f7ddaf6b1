"""What the two networks of a benchmark are trained on: intervals of a march, windows, and the weight of a mixture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from phasemill.core import loop
from phasemill.grains.config.learned import Marching, Recurrent
from phasemill.grains.initial import disc
from phasemill.grains.march import March, rms
from phasemill.grains.network import SCALE, Coordinates, State, Stepper
from phasemill.grains.physics import Medium
from phasemill.grains.train.march import solve_all
from phasemill.grains.train.stepper import Hybrid, Pool, fit, mix, scored_rollout
from phasemill.grains.variation import Interval

pytestmark = pytest.mark.physics

INTERVAL = Interval.of(Medium(eta=5.0, mu=1.0), 0.3)
FRAMES = torch.stack(
    [
        torch.from_numpy(disc((12, 12), 1.0, np.array([6.0, 6.0]), radius, 5.0).astype(np.float32))
        for radius in (4.5, 4.42, 4.34, 4.26, 4.18, 4.1)
    ]
)
"""Stands for a march of five intervals."""
SETTINGS = Recurrent(cell="gru", channels=4, learning_rate=0.01, settling_rate=1e-3, batch=2, window=2, refresh=10)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(6)


def moving(kind: type[Stepper] = Stepper) -> Stepper:
    """A network that moves something, though not as it should."""
    network = kind("gru", 4)
    torch.nn.init.normal_(network.out.weight, std=0.5)
    return network


def place(folder: Path) -> dict[str, Any]:
    return {"checkpoints": folder, "key": "toy".ljust(16, "_")}


def march(intervals: int = 3) -> March:
    found = March(Coordinates((12, 12), waves=2, width=8, depth=1), intervals)
    found.begin(FRAMES[0].numpy())
    return found


def adam(one: March, rate: float = 0.01) -> torch.optim.Adam:
    return torch.optim.Adam(one.network.parameters(), lr=rate, betas=(0.9, 0.99))


@torch.no_grad()
def states(network: Stepper, frames: Tensor) -> list[State]:
    """Before each frame's interval, of a network that was shown the ones before."""
    found = [network.at_rest(frames[:1])]
    for phi in frames[:-1]:
        found.append(network(phi[None], INTERVAL.pinned_force(phi[None]), found[-1])[1])
    return found


def test_windows_begin_at_frames_of_the_march_and_of_its_own() -> None:
    network = moving()
    pool = Pool(network, FRAMES, INTERVAL)
    own, _ = scored_rollout(network, FRAMES[0], len(FRAMES) - 1, INTERVAL)
    assert float((own[1] - FRAMES[1]).abs().max()) > 1e-3
    sources = [FRAMES, own]
    held = [states(network, source) for source in sources]
    drawn: list[set[int]] = [set(), set()]
    for number in range(15):
        fields, (state,), numbers = pool.draw(np.random.default_rng(number), 4, 2)
        for sample, frame in enumerate(numbers.tolist()):
            torch.testing.assert_close(fields[sample], sources[sample % 2][frame], rtol=0, atol=1e-6)
            torch.testing.assert_close(state[sample], held[sample % 2][frame][0][0], rtol=0, atol=1e-6)
            drawn[sample % 2].add(frame)
    # two intervals fit behind the first four of six frames
    assert drawn == [{0, 1, 2, 3}] * 2


def test_windows_stay_where_they_are_until_they_are_refreshed() -> None:
    network = moving()
    pool = Pool(network, FRAMES, INTERVAL)

    def own() -> Tensor:
        return pool.draw(np.random.default_rng(2), 2, 1)[0][1]

    before = own()
    torch.nn.init.constant_(network.out.bias, 1.0)  # type: ignore[arg-type]  # there is one
    assert torch.equal(own(), before)
    pool.refresh(network)
    assert not torch.allclose(own(), before)


class Watched(Stepper):
    """Notes, while it is trained, which of its inputs have a gradient: fields or force, state."""

    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        self.seen: list[tuple[bool, bool]] = []

    def forward(self, phi: Tensor, force: Tensor, state: State) -> tuple[Tensor, State]:
        if torch.is_grad_enabled():
            self.seen.append((phi.requires_grad or force.requires_grad, state[0].requires_grad))
        return super().forward(phi, force, state)


def test_gradients_reach_back_through_the_state_alone(tmp_path: Path) -> None:
    network, settings = moving(Watched), SETTINGS.model_copy(update={"window": 3})
    fit(network, FRAMES, INTERVAL, settings, 1, 1, "toy", place(tmp_path))
    assert isinstance(network, Watched)
    assert network.seen == [(False, False), (False, True), (False, True)]


def test_the_loss_of_a_window(tmp_path: Path) -> None:
    """J of the interval that was drawn, over s^2; a network that has learnt nothing leaves the field where it is."""
    settings = SETTINGS.model_copy(update={"batch": 1, "window": 1})
    network = Stepper("gru", 4)
    phi, _, _ = Pool(network, FRAMES, INTERVAL).draw(loop.rng(3, 0), 1, 1)
    (row,) = fit(network, FRAMES, INTERVAL, settings, 1, 3, "toy", place(tmp_path)).rows
    assert row["loss"] == pytest.approx(float(INTERVAL.energy(phi, INTERVAL.source(phi))) / SCALE**2, rel=1e-5)


def test_the_residual_of_the_roll_out_falls(tmp_path: Path) -> None:
    network = Stepper("gru", 4)
    _, still = scored_rollout(network, FRAMES[0], 5, INTERVAL)
    result = fit(network, FRAMES, INTERVAL, SETTINGS, 40, 1, "toy", place(tmp_path), every=20)
    assert result.rows[-1]["residual"] < 0.6 * still


def test_gamma_is_the_weight_of_the_march() -> None:
    hybrid, phi = Hybrid(Stepper("gru", 4)), FRAMES[:1]
    assert float(hybrid.gamma.detach()) == pytest.approx(0.9)
    hybrid.logit.data = torch.tensor(0.75).logit()
    torch.nn.init.constant_(hybrid.stepper.out.bias, 2.0)  # type: ignore[arg-type]  # there is one
    g, state = hybrid(phi, torch.zeros_like(phi), torch.full_like(phi, 10.0), hybrid.stepper.at_rest(phi))
    torch.testing.assert_close(g.detach(), torch.full_like(phi, 0.75 * 10 + 0.25 * 2))
    assert state[0].detach().any()


@pytest.mark.parametrize(("sign", "rises"), [(1.0, True), (-1.0, False)])
def test_gamma_goes_where_the_energy_falls(tmp_path: Path, sign: float, rises: bool) -> None:
    """Beside a network that moves nothing: towards a march that follows the equation, away from one that goes back."""
    teacher = march()
    optimizer = adam(teacher, 0.02)
    for number in range(3):
        teacher.solve(number, INTERVAL, optimizer, most=40, learning_rate=0.02, tolerance=1e-6)
    teacher.weights[:, -9:] *= sign  # the last layer: 8 weights and a bias
    hybrid = Hybrid(Stepper("gru", 2))
    rows = mix(hybrid, teacher, INTERVAL, 4, 1, "toy", place(tmp_path)).rows
    gammas = [0.9, *(row["gamma"] for row in rows)]
    assert gammas == sorted(gammas, reverse=not rises)
    assert abs(gammas[-1] - 0.9) > 0.01
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert float(hybrid.gamma.detach()) == pytest.approx(gammas[-1])


@pytest.mark.parametrize(("tolerance", "iterations", "solved"), [(1.5, 10, 1.0), (0.1, 30, 0.0)])
def test_an_interval_that_is_solved_stops(tolerance: float, iterations: int, solved: float) -> None:
    """At the first look, after ten iterations; one that is not goes on to the end. Measured by no motion's residual."""
    one = march()
    found = one.solve(0, INTERVAL, adam(one), most=30, learning_rate=0.01, tolerance=tolerance)
    assert (found["iterations"], found["solved"]) == (iterations, solved)
    source = INTERVAL.source(one.frames[:1])
    assert found["still"] == pytest.approx(rms(INTERVAL.residual(one.frames[:1], source)))
    assert found["residual"] == pytest.approx(rms(INTERVAL.residual(one.frames[1:2], source)), rel=1e-4)


def test_a_frame_that_is_shown_is_part_of_the_loss() -> None:
    phi, target = FRAMES[:1], FRAMES[5:]
    one = march()
    found = one.solve(0, INTERVAL, adam(one), most=1, learning_rate=0.02, tolerance=1e-9, target=target)
    expected = float(INTERVAL.energy(phi, INTERVAL.source(phi)) + (phi - target).square().mean()) / SCALE**2
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    apart = {}
    for name, shown in (("equation", None), ("shown", target)):
        torch.manual_seed(0)
        one = march()
        one.solve(0, INTERVAL, adam(one, 0.02), most=50, learning_rate=0.02, tolerance=1e-9, target=shown)
        apart[name] = rms(one.frames[1:2] - target)
    assert apart["shown"] < 0.95 * apart["equation"]


def test_only_the_first_frames_are_shown(tmp_path: Path) -> None:
    """And the first interval gets three times the iterations."""
    settings = Marching(width=8, depth=1, learning_rate=0.02, tolerance=1e-9)
    after_one, after_two = FRAMES[:4].clone(), FRAMES[:4].clone()
    after_one[1] += 0.5
    after_two[2] += 0.5
    found = {}
    for name, truth in (("plain", FRAMES[:4]), ("one", after_one), ("two", after_two)):
        torch.manual_seed(0)
        one = march()
        facts = solve_all(
            one, truth, INTERVAL, settings, iterations=2, shown=1, seed=1, label="toy", checkpoints=tmp_path / name,
            key="toy".ljust(16, "_"),
        )  # fmt: skip
        assert facts["iterations"] == [6, 2, 2]
        found[name] = one.frames
    assert torch.equal(found["two"], found["plain"])
    assert not torch.allclose(found["one"][1], found["plain"][1])
