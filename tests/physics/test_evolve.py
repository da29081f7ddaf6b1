"""`spinodal.evolve`: interface area, laws of the evolution, its scaling with eps, dx and M, and networks on other media."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phasemill import spinodal
from phasemill.core.errors import InputError
from phasemill.core.model_files import save_model
from phasemill.spinodal.evolution import interface_area
from phasemill.spinodal.forecast import prepare
from phasemill.spinodal.initial import perlin_mixture
from phasemill.spinodal.library import Surrogate, load_model
from phasemill.spinodal.physics import Medium, free_energy, profile
from phasemill.spinodal.rollout import predict_at
from tests.mixtures import MEDIUM, card, small_network

pytestmark = pytest.mark.physics

MIXTURE = perlin_mixture(np.random.default_rng(0), (20, 20, 20))
FLAT = perlin_mixture(np.random.default_rng(1), (32, 24))


def distance_in(shape: tuple[int, ...]) -> np.ndarray:
    """From a point near the centre that is no cell's."""
    return np.sqrt(((np.indices(shape).T - np.array(shape) / 2 + 0.3) ** 2).sum(axis=-1)).T


@pytest.mark.parametrize(("radius", "error"), [(6, 0.012), (8, 0.008), (12, 0.006)])
def test_area_of_a_sphere(radius: float, error: float) -> None:
    ball = profile(radius - distance_in((40, 40, 40)), 3.0)
    assert interface_area(ball, 1.0) == pytest.approx(4 * np.pi * radius**2, rel=error)


def test_length_of_a_circle() -> None:
    assert interface_area(profile(12 - distance_in((40, 40)), 3.0), 0.5) == pytest.approx(
        0.5 * 2 * np.pi * 12, rel=0.01
    )


@pytest.mark.parametrize("normal", [(1, 0, 0), (1, 1, 0), (1, 1, 1), (2, 1, 0)])
def test_area_of_flat_interfaces(normal: tuple[int, ...]) -> None:
    """Two in a periodic box, along an axis, a diagonal, or between."""
    n = 40
    phase = np.tensordot(normal, np.indices((n, n, n)) + 0.2, 1) / n % 1.0
    thickness = n / np.linalg.norm(normal)
    lamella = profile((0.25 - np.abs(phase - 0.5)) * thickness, 3.0)
    assert interface_area(lamella, 1.0) == pytest.approx(2 * n**3 / thickness, rel=0.01)


def test_area_between_walls_ends_at_the_walls() -> None:
    half = np.broadcast_to(profile(np.arange(24) - 11.5, 3.0), (10, 24))
    assert interface_area(half, 1.0, walls=True) == pytest.approx(10, rel=1e-6)
    assert interface_area(half, 1.0) == pytest.approx(20, rel=1e-6)  # the jump through the periodic border counts


def test_area_stays_below_the_energy_of_a_resolved_interface() -> None:
    """Young's inequality: F - A = int (sqrt(g) - sqrt(eps/2) |grad phi|)^2 >= 0, 0 for the profile at rest."""
    distance = 20 - distance_in((48, 48))
    energy, area = (
        f(profile(distance, 8.0)) for f in (lambda x: free_energy(x, 8.0, 1.0), lambda x: interface_area(x, 1.0))
    )
    assert area == pytest.approx(energy, rel=0.01)
    assert free_energy(profile(distance, 12.0), 8.0, 1.0) > 1.04 * interface_area(profile(distance, 12.0), 1.0)


@pytest.mark.parametrize("boundary", ["periodic", "noflux"])
@pytest.mark.parametrize("field", [MIXTURE, FLAT], ids=["3-D", "2-D"])
def test_energy_falls_and_mass_stays(field: np.ndarray, boundary: Any) -> None:
    result = spinodal.evolve(field, until=10, every=0.5, boundary=boundary)
    assert (np.diff(result.energy) < 0).all()
    assert np.abs(result["mean"] - field.mean()).max() < 1e-13
    assert float(result.phi.isel(time=-1).std()) > 2 * field.std()
    assert result.energy[0] == pytest.approx(free_energy(field, 3.0, 1.0, boundary == "noflux"), rel=1e-14)


def test_eps_dx_and_mobility_scale_length_and_time() -> None:
    """x = l x', t = l^3 t' / M: the same numbers with eps 2, dx 2/3 and M = 4 at times 8 / 27 / 4 as long."""
    plain = spinodal.evolve(FLAT, until=8.0, every=2.0, tolerance=1e-5)
    scale = (2 / 3) ** 3 / 4
    other = spinodal.evolve(FLAT, until=8 * scale, every=2 * scale, eps=2.0, dx=2 / 3, mobility=4.0, tolerance=1e-5)
    np.testing.assert_allclose(other.phi, plain.phi, atol=1e-5)
    np.testing.assert_allclose(other.energy, (2 / 3) * plain.energy, rtol=1e-5)
    np.testing.assert_allclose(other.interface_area, (2 / 3) * plain.interface_area, rtol=1e-5)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network, untrained, of a medium with M = 2."""
    file = tmp_path_factory.mktemp("weights") / "small.safetensors"
    facts = card("staggered", medium={**MEDIUM, "mobility": 2.0}, mean_range=[0.3, 0.7])
    save_model(file, small_network("staggered"), facts)
    return file


@pytest.fixture(scope="module")
def network(path: Path) -> Surrogate:
    return load_model(path)


def test_the_network_is_its_own_roll_out(path: Path, network: Surrogate) -> None:
    """With the medium of the training: every second cell, every second step."""
    result = spinodal.evolve(MIXTURE, until=3.0, every=1.0, mobility=2.0, solver="network", model=path)
    frames = predict_at(network.step, MIXTURE[None, ::2, ::2, ::2].astype(np.float32), range(7))[0]
    np.testing.assert_array_equal(result.phi, frames[::2])
    np.testing.assert_allclose(result.time, [0, 1, 2, 3])
    assert result.attrs["dx"] == 2.0
    np.testing.assert_allclose(result.x[:2], [0.5, 2.5])
    assert np.abs(result["mean"] - result["mean"][0]).max() < 1e-7
    assert result.attrs["warnings"] == "phi is given on the network's grid, 10 x 10 x 10 cells of 2"


def test_mobility_and_eps_set_the_clock_of_the_network(path: Path) -> None:
    plain = spinodal.evolve(MIXTURE, until=2.0, every=0.5, mobility=2.0, solver="network", model=path)
    slow = spinodal.evolve(MIXTURE, until=16.0, every=4.0, mobility=2.0, eps=6.0, dx=2.0, solver="network", model=path)
    np.testing.assert_array_equal(slow.phi, plain.phi)
    np.testing.assert_allclose(slow.time, 8 * plain.time)
    halved = spinodal.evolve(MIXTURE, until=4.0, every=1.0, mobility=1.0, solver="network", model=path)
    np.testing.assert_array_equal(halved.phi, plain.phi)
    assert "one step of the network is 1 time units here" in halved.attrs["warnings"]


def test_another_resolution_is_resampled(network: Surrogate) -> None:
    """A field of few modes on a finer grid gives the same start as the field on the network's grid."""
    medium = Medium(eps=3.0, mobility=2.0, dx=1.0)

    def wave(n: int) -> np.ndarray:
        x, y, z = 2 * np.pi * np.indices((n, n, n)) / n
        return 0.5 + 0.2 * np.cos(x) * np.sin(2 * y + 1) + 0.1 * np.cos(z - 0.3)

    times = np.array([0.0, 0.5])
    coarse = prepare(wave(24), medium, times, network)
    fine = prepare(wave(36), Medium(eps=3.0, mobility=2.0, dx=2 / 3), times, network)
    np.testing.assert_allclose(fine.start, coarse.start, atol=1e-6)
    assert (fine.dx, fine.times.tolist()) == (2.0, coarse.times.tolist())
    assert fine.warnings == [
        "resampled from 36 x 36 x 36 to 24 x 24 x 24 cells: eps / dx is 4.5, the network was trained at 3"
    ]
    sharp = prepare((wave(36) > 0.5).astype(float), Medium(eps=3.0, mobility=2.0, dx=2 / 3), times, network)
    assert -0.1 < sharp.start.min() <= sharp.start.max() < 1.1


@pytest.mark.parametrize(("cells", "dx"), [(24, 1.0), (36, 2 / 3)])
@pytest.mark.parametrize(("downscale", "across"), [("nearest", 0.0), ("average", 0.5), ("none", 0.0)])
def test_coordinates_are_those_of_the_field_as_given(
    cells: int, dx: float, downscale: str, across: float, tmp_path: Path
) -> None:
    """A wave is found where it was put, whatever the grid; the mean of two cells lowers it by cos(k dx / 2)."""
    side, file = cells * dx, tmp_path / "small.safetensors"
    save_model(file, small_network("staggered"), card("staggered", downscale=downscale))
    x = (np.arange(cells) + 0.5) * dx
    field = np.broadcast_to(0.5 + 0.3 * np.cos(2 * np.pi * x / side - 1), (cells,) * 3)
    result = spinodal.evolve(field, until=0.5, every=0.5, dx=dx, solver="network", model=file)
    amplitude = 0.3 * np.cos(2 * np.pi / side * across)
    expected = 0.5 + amplitude * np.cos(2 * np.pi * result.z / side - 1)
    np.testing.assert_allclose(result.phi[0, 0, 0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("field", "times", "sentence"),
    [
        (MIXTURE + 0.3, [0.0, 0.5], "the mean is 0.800, the network was trained on 0.3 to 0.7"),
        (MIXTURE[:10], [0.0, 0.5], "the box has 10 x 20 x 20 cells, the network was trained in boxes of 16"),
        (np.tile(MIXTURE, (4, 1, 1)), [0.0, 0.5], "tested in up to 64"),
        (
            np.random.default_rng(0).random((16, 16, 16)),
            [0.0, 0.5],
            "too rough for the network's grid, like white noise",
        ),
        (MIXTURE, [0.0, 0.7, 1.4], "lie at multiples of 0.5: the times were moved"),
        (MIXTURE, [0.0, 0.5, 1.0], ""),
    ],
)
def test_what_the_network_has_not_seen_is_said(
    field: np.ndarray, times: list[float], sentence: str, network: Surrogate
) -> None:
    warnings = prepare(field, Medium(mobility=2.0), np.array(times), network).warnings
    assert len(warnings) == bool(sentence)
    assert sentence in " ".join(warnings)


def test_networks_of_demixed_fields_are_warned_of_younger_ones(network: Surrogate) -> None:
    """In a medium with eps 4 and M = 1 their first time, 2.5, is (4 / 3)^3 * 2 times as late."""
    late = replace(network, card=network.card | {"time_range": [2.5, 600.0]})
    medium, times = Medium(eps=4.0, dx=4 / 3), np.array([0.0, 50.0])
    young = prepare(MIXTURE, medium, times, late).warnings
    demixed = spinodal.evolve(MIXTURE, until=12.0, every=12.0, eps=4.0, dx=4 / 3).phi[-1].values
    old = prepare(demixed.astype(float), medium, times, late).warnings
    assert len(young) == len(old) + 1
    assert "evolve this one by rkl2 to t = 11.9 first" in young[-1]


def test_other_mobility_laws_are_refused(network: Surrogate) -> None:
    with pytest.raises(InputError, match="not the degenerate one: use the solver rkl2"):
        prepare(MIXTURE, Medium(law="degenerate"), np.array([0.0, 1.0]), network)
