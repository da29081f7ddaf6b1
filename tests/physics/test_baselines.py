"""The ways to find kappa that stand beside direct minimisation, on videos with a known answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phasemill.transport.datasets.videos import Row
from phasemill.transport.evaluate.zero_shot_comparison import different_simulations
from phasemill.transport.recover import recover_direct
from phasemill.transport.recover.baselines import (
    Found,
    PeriodicField,
    differential_evolution,
    grid_search,
    inverse_pinn,
)
from phasemill.transport.recover.network import zero_shot_network
from phasemill.transport.recover.next_frame import FrameMap, _spectra, next_frame_network
from phasemill.transport.spectra import FrameSpectra, SafeScheme
from tests.heat import eigenvalues, euler_growth

pytestmark = pytest.mark.physics

KAPPA = 0.37
SCHEME = SafeScheme(interval=0.25, substeps=50, dx=0.5)


def video(kappa: float = KAPPA, smooth: float = 0.3) -> np.ndarray:
    """Float32 frames of explicit Euler with dt = 0.005, every 50th step; `smooth` is the age of the first frame."""
    start = np.fft.fft2(np.random.default_rng(0).standard_normal((32, 32))) * np.exp(-smooth * eigenvalues())
    return (3 * np.fft.ifft2(start * euler_growth(kappa, 21)).real + 0.5).astype(np.float32)


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("points", [11, 200])
def test_grid_misses_by_at_most_half_its_spacing(direction: int, points: int) -> None:
    found = grid_search(video()[::direction], replace(SCHEME, direction=direction), points=points, bounds=(0.1, 0.9))
    assert abs(found.kappa - KAPPA) <= 0.8 / (points - 1) / 2 + 1e-6
    assert np.isclose(np.linspace(0.1, 0.9, points), found.kappa, rtol=1e-12).sum() == 1
    assert found.evaluations == points


@pytest.mark.parametrize("direction", [1, -1])
def test_differential_evolution_agrees_with_direct_minimisation_at_more_evaluations(direction: int) -> None:
    frames, scheme = video()[::direction], replace(SCHEME, direction=direction)
    found, direct = differential_evolution(frames, scheme), recover_direct(FrameSpectra.from_frames(frames, scheme))
    assert found.kappa == pytest.approx(direct.kappa, abs=1e-6)
    assert found.evaluations > 2 * direct.evaluations
    assert differential_evolution(frames, scheme).kappa == found.kappa  # the seed decides


def test_derivatives_of_the_pinn_are_those_of_automatic_differentiation() -> None:
    torch.manual_seed(0)
    field = PeriodicField((16.0, 12.0), duration=5.0, waves=3, width=8).double()
    points = torch.rand(7, 3, dtype=torch.float64, requires_grad=True)
    u, rate, laplacian = (
        torch.stack([quantity[i, i] for i in range(len(points))]) for quantity in field(points[:, :2], points[:, 2])
    )
    (first,) = torch.autograd.grad(u.sum(), points, create_graph=True)
    second = [torch.autograd.grad(first[:, axis].sum(), points, retain_graph=True)[0][:, axis] for axis in (0, 1)]
    torch.testing.assert_close(rate, first[:, 2], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(laplacian, second[0] + second[1], rtol=1e-10, atol=1e-12)


def test_field_of_the_pinn_is_periodic_in_a_box_with_unequal_sides() -> None:
    field = PeriodicField((16.0, 12.0), duration=5.0, waves=3, width=8).double()
    cells, times = torch.rand(5, 2, dtype=torch.float64), torch.linspace(0, 5, 4, dtype=torch.float64)
    shifted = cells + torch.tensor([16.0, -24.0], dtype=torch.float64)
    torch.testing.assert_close(field(shifted, times)[0], field(cells, times)[0], rtol=0, atol=1e-6)  # k is float32


@pytest.mark.parametrize("direction", [1, -1])
def test_pinn_finds_kappa_of_a_smooth_video(direction: int) -> None:
    """Only waves that the PINN has and the grid resolves: both of its errors are small."""
    frames = video(smooth=3.0)[::direction]
    found = inverse_pinn(frames, replace(SCHEME, direction=direction), adam=100, lbfgs=60)
    assert found.kappa == pytest.approx(KAPPA, rel=0.05)
    assert found.evaluations >= 160


@pytest.mark.parametrize("mode", ["reverse", "forward_euler"])
@pytest.mark.parametrize("direction", [1, -1])
def test_spectra_of_all_pairs_are_those_of_the_video(direction: int, mode: str) -> None:
    scheme = replace(SCHEME, direction=direction, mode=mode)
    whole = FrameSpectra.from_frames(video(), scheme)
    pairs = _spectra(*scheme.pairs(video()), scheme)
    for name in ("power", "cross", "persistence"):
        np.testing.assert_allclose(getattr(pairs, name), getattr(whole, name), rtol=1e-9)
    assert pairs.loss(0.3) == pytest.approx(whole.loss(0.3), rel=1e-9)


def test_next_frame_network_starts_as_persistence() -> None:
    frames = torch.rand(3, 1, 8, 8)
    assert torch.equal(FrameMap(4)(frames), frames)


@pytest.mark.parametrize("direction", [1, -1])
def test_next_frame_network_beats_persistence_but_not_the_operator(direction: int) -> None:
    found = next_frame_network(video()[::direction], replace(SCHEME, direction=direction), steps=80)
    assert found.rmse_operator < 1e-6
    assert 100 * found.rmse_operator < found.rmse < 0.5 * found.rmse_persistence
    assert found.kappa == pytest.approx(KAPPA, rel=0.25)


@pytest.mark.parametrize("method", ["pinn", "next_frame"])
def test_networks_depend_on_their_seed_alone_and_leave_the_random_state_as_it_was(method: str) -> None:
    def run(seed: int) -> Found:
        if method == "pinn":
            return inverse_pinn(video(), SCHEME, adam=3, lbfgs=2, seed=seed)
        return next_frame_network(video(), SCHEME, steps=3, seed=seed)

    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = run(1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert run(1).kappa == first.kappa != run(2).kappa


def test_zero_shot_network_sees_fewer_frames_but_its_loss_all() -> None:
    frames = video()
    frames[1:3] += 0.05  # frames that the thinned network does not see
    thinned = zero_shot_network(frames, SCHEME, steps=1, stride=5, features=8)
    other = zero_shot_network(video(), SCHEME, steps=1, stride=5, features=8)
    assert thinned.history[0] == other.history[0]
    assert thinned.loss == pytest.approx(float(FrameSpectra.from_frames(frames, SCHEME).loss(thinned.kappa)))
    assert thinned.loss != pytest.approx(other.loss, rel=1e-3)
    assert thinned.history[0] != zero_shot_network(frames, SCHEME, steps=1, features=8).history[0]


@pytest.mark.parametrize(("count", "expected"), [(1, [0]), (2, [0, 3]), (3, [0, 3, 4])])
def test_compared_videos_are_different_simulations_in_turns_of_direction(count: int, expected: list[int]) -> None:
    frames = np.zeros((2, 2, 2))
    rows = [Row(base, direction, 0.3, frames, 1) for base in (7, 8, 9) for direction in (1, -1)]
    assert different_simulations(rows, count) == expected
