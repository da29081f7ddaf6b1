"""What is measured of grains and of predictions: extinctions, the configured truths, scores on made-up fields, laws."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from phasemill import config
from phasemill.core import store
from phasemill.core.metrics import domains
from phasemill.grains import physics
from phasemill.grains.config import CASES
from phasemill.grains.config.data import Case, Discs
from phasemill.grains.datasets.cases import LONGEST, draw, filled, frame_times, measure, medium_of, simulate
from phasemill.grains.evaluate.laws import laws
from phasemill.grains.evaluate.predictions import Prediction, residual, score
from phasemill.grains.initial import disc, discs
from phasemill.grains.metrics import extinction_time, grain_extinctions
from phasemill.grains.physics import Floats, Medium
from phasemill.grains.solver import Trajectory, implicit_march, integrate
from phasemill.grains.variation import Interval

pytestmark = pytest.mark.physics

MEDIUM = Medium(eta=7.0, mu=1.0)
NAN = float("nan")


def frames_of(*pictures: str) -> Floats:
    """Frames drawn with # for phi = 1, one picture each, rows between slashes."""
    return np.array([[[float(cell == "#") for cell in row] for row in one.split("/")] for one in pictures])


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        (["##.#/##../..../....", "#..#/#.../..../....", "#.../..../..../....", "..../..../..../...."], [3.0]),
        # three grains: the smallest vanishes, the others merge, split and go on as both halves
        (
            ["......../.###.##./......../....#...", "......../.######./......../........", "......../.#....#./......../........",
             "......../......#./......../........", "......../......../......../........"],
            [4.0, 4.0, 1.0],
        ),
        (["......../.###.##./......../........", "......../.######./......../........"], [NAN, NAN]),
        # a new grain is nobody's
        (["....../.#..../....../......", "....../....../....../......", "....../.#..../....../......"], [1.0]),
        (["....../....../....../......", "....../....../.#..../......"], []),
    ],
)  # fmt: skip
def test_grains_are_followed_from_frame_to_frame(pictures: list[str], expected: list[float]) -> None:
    phi = frames_of(*pictures)
    assert_array_equal(grain_extinctions(np.arange(len(phi), dtype=float), phi), expected)
    mirrored = grain_extinctions(np.arange(len(phi), dtype=float), np.roll(phi[:, ::-1, ::-1], (1, 3), (1, 2)))
    assert_array_equal(mirrored, expected)


def test_a_domain_across_the_borders_is_one() -> None:
    phi = disc((20, 24), 1.0, np.array([0.0, 0.0]), 6.0, 5.0)
    labels, count = domains(phi > 0.5)
    assert count == 1
    assert_array_equal(labels.reshape(20, 24) == 0, phi > 0.5)
    assert domains(np.roll(phi, 10, 0) > 0.5)[1] == 1
    ball = disc((10, 12, 14), 1.0, np.zeros(3), 4.0, 4.0)
    assert domains(ball > 0.5)[1] == 1
    assert domains(np.zeros((4, 5), bool))[1] == 0


def test_discs_vanish_at_the_time_of_the_law() -> None:
    """R^2 / (2 mu sigma) of each, on one torus; the larger one lies across its corner."""
    radii, every = np.array([11.0, 17.0]), 5.0
    centres = np.array([[40.0, 40.0], [0.0, 0.0]])
    times = np.arange(0, 190, every)
    run = integrate(discs((72, 72), 1.0, centres, radii, MEDIUM.eta), times, MEDIUM)
    found = grain_extinctions(times, run.frames)
    expected = [physics.lifetime(radius, MEDIUM) for radius in radii[::-1]]
    assert_allclose(found, expected, rtol=0, atol=every)
    assert extinction_time(times, run.frames) == found[0]


def test_a_store_holds_the_extinctions_of_its_grains(tmp_path: Path) -> None:
    """Two simulations with a different number of grains; nan behind the fewer."""
    job = config.load(config.read_yaml(Path("config/config.yaml"))).spec("grain_growth_2_truth", "smoke")
    truth = config.JOBS["grain_growth_2_truth"].model_validate_json(job)
    small = {"x": 0.8, "y": 0.75, "radius": 0.12}
    large = {"x": 0.35, "y": 0.45, "radius": 0.25}
    starts = {
        name: Discs.model_validate({"kind": "discs", "discs": found})
        for name, found in {"both": [small, large], "one": [large]}.items()
    }
    change = {"cells": 48, "eta": 6.0, "mu": 5e-5, "until": 240.0, "frames": 12, "starts": starts}
    case = truth.case.model_copy(update=change)  # type: ignore[attr-defined]  # of its own class
    simulate(truth.model_copy(update={"growth_2": case}), tmp_path / "truth.zarr")  # type: ignore[arg-type]
    found = store.open_dataset(tmp_path / "truth.zarr")
    assert found["grain_extinction"].dims == ("sim", "grain")
    assert_array_equal(np.isnan(found["grain_extinction"]), [[True, False], [True, True]])
    lifetime = 0.12**2 * (48 / 47) ** 2 / (2 * 5e-5)
    assert float(found["grain_extinction"][0, 1]) == pytest.approx(lifetime, abs=20.0)
    assert_array_equal(found["grains"][:, 0], [2, 1])
    assert_allclose(found["grain_extinction"], [filled(grain_extinctions(found["time"].values, one), 2)
                                                for one in found["phi"].values])  # fmt: skip
    # the mean of the radii, not the radius of the mean area
    assert float(found["grain_radius"][0, 0]) == pytest.approx((0.12 + 0.25) / 2 * 48 / 47, rel=0.02)


@cache
def configured(name: str, start: str) -> tuple[Case, Trajectory]:
    """The truth of a start as it is configured."""
    case = getattr(config.load(config.read_yaml(Path("config/config.yaml"))).at("laptop").grains, name)
    medium = medium_of(case)
    dt = min(LONGEST * (1 + 1e-12), 0.8 * physics.stable_dt(2, medium))
    return case, integrate(draw(case.starts[start], case), frame_times(case), medium, dt=dt)


STARTS = {
    "shrink_64": {"published": 0},
    "shrink_64_narrow": {"narrow": 0},
    "shrink_128": {"visible": 0},
    "growth_2": {"visible": 1, "area": 1},  # the small one, of two
    "growth_35": {"shrinking": None, "growing": 0},  # None: any number
    "growth_driven": {"growing": 0, "shrinking": 0},
}


def test_all_starts_are_listed() -> None:
    grains = config.load(config.read_yaml(Path("config/config.yaml"))).at("laptop").grains
    assert {name: list(getattr(grains, name).starts) for name in CASES} == {
        name: list(starts) for name, starts in STARTS.items()
    }


@pytest.mark.parametrize(("name", "start"), [(name, start) for name, starts in STARTS.items() for start in starts])
def test_no_configured_truth_dies_early(name: str, start: str) -> None:
    """Frames after a grain's end are trivially right: only grains beside a larger one may vanish."""
    _, run = configured(name, start)
    assert np.isnan(extinction_time(run.time, run.frames))
    gone = grain_extinctions(run.time, run.frames)
    assert np.isnan(gone).any()
    if (expected := STARTS[name][start]) is not None:
        assert np.isnan(gone[0])
        assert np.count_nonzero(~np.isnan(gone)) == expected


@pytest.mark.parametrize(
    ("name", "start", "expected"), [("shrink_128", "visible", 0.42), ("growth_2", "visible", 0.325)]
)
def test_radii_of_the_second_table(name: str, start: str, expected: float) -> None:
    """MR of Table 2 over the box, as the radius of the area phi > 0.05."""
    case, run = configured(name, start)
    dx = medium_of(case).dx
    found = measure(Trajectory(run.time[:1], run.frames[:1], run.energy[:1]), dx)
    assert found["radius_visible"][0] / (case.cells * dx) == pytest.approx(expected, abs=5e-4)


def test_the_other_reading_of_the_second_table() -> None:
    """MR 0.325 as the radius of the area phi > 1/2; STD 0.1 is half the difference of the two radii."""
    case, run = configured("growth_2", "area")
    assert np.sqrt((run.frames[0] > 0.5).mean() / np.pi) == pytest.approx(0.325, abs=5e-4)
    for start in case.starts.values():
        assert isinstance(start, Discs)
        large, small = (one.radius for one in start.discs)
        assert (large - small) / 2 == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize("name", ["growth_35", "growth_driven"])
@pytest.mark.parametrize(("start", "sign"), [("growing", 1), ("shrinking", -1)])
def test_grains_do_what_their_start_is_called(name: str, start: str, sign: int) -> None:
    _, run = configured(name, start)
    radius = np.sqrt((run.frames[[0, -1]] > 0.5).mean(axis=(1, 2)) / np.pi)
    assert sign * (radius[1] - radius[0]) > 0.02


@cache
def made_up() -> tuple[Floats, Medium, Interval]:
    """A shrinking disc by exact Crank-Nicolson intervals, off every symmetric place."""
    start = disc((40, 40), 1.0, np.array([18.3, 20.6]), 13.0, MEDIUM.eta)
    times = np.linspace(0, 36.0, 7)
    frames = np.stack(list(implicit_march(start, times, MEDIUM, "crank-nicolson")))
    return frames, MEDIUM, Interval.of(MEDIUM, 6.0)


def test_the_truth_has_no_error() -> None:
    truth, medium, interval = made_up()
    found = score(truth, Prediction("exact", truth, 0.5), medium, interval)
    zero = (
        "mse",
        "mse_worst",
        "radius_error",
        "radius_error_worst",
        "radius_visible_error",
        "energy_error",
        "grains_off",
    )
    assert {found[name] for name in zero} == {0.0}
    assert found["residual"] < 1e-5
    assert found["seconds"] == 0.5
    assert_allclose(found["radius"], np.sqrt(truth.sum(axis=(1, 2)) / np.pi))
    assert_allclose(found["energy"], [physics.free_energy(phi, medium) for phi in truth])
    assert found["grains"] == [1.0] * 7


def test_a_frozen_prediction() -> None:
    truth, medium, interval = made_up()
    frozen = np.broadcast_to(truth[:1], truth.shape)
    found = score(truth, Prediction("no motion", frozen), medium, interval)
    by_frame = ((truth - truth[0]) ** 2).mean(axis=(1, 2))
    assert_allclose(found["mse_by_frame"], by_frame)
    assert found["mse"] == pytest.approx(by_frame.mean())
    assert found["mse_worst"] == pytest.approx(by_frame[-1])
    areas = truth.sum(axis=(1, 2))
    assert found["radius_error_worst"] == pytest.approx(np.sqrt(areas[0] / areas[-1]) - 1)
    assert found["radius_error"] == pytest.approx((np.sqrt(areas[0] / areas) - 1).mean())
    lost = physics.free_energy(truth[0], medium) - physics.free_energy(truth[-1], medium)
    assert found["energy_error"] == pytest.approx(lost / physics.free_energy(truth[0], medium))
    visible = np.sqrt((truth[[0, -1]] > 0.05).sum(axis=(1, 2)) / np.pi)
    assert found["radius_visible_error"] == pytest.approx(visible[0] - visible[1])
    assert found["roughness"] == 0
    # the residual is that of the first interval in each, and far above the truth's
    assert found["residual"] == pytest.approx(residual(frozen[:2], interval))
    assert found["residual"] > 100 * residual(truth, interval)


def test_a_shifted_prediction() -> None:
    """Wrong everywhere, though with the right radii, energy and motion."""
    truth, medium, interval = made_up()
    found = score(truth, Prediction("shifted", np.roll(truth, 3, 1)), medium, interval)
    assert found["mse"] == pytest.approx(((truth - np.roll(truth, 3, 1)) ** 2).mean())
    assert found["mse"] > 1e-2
    for name in ("radius_error", "radius_visible_error", "energy_error", "grains_off"):
        assert found[name] == pytest.approx(0, abs=1e-12)
    assert found["residual"] == pytest.approx(residual(truth, interval), abs=1e-6)


def test_a_late_prediction_with_a_grain_too_many() -> None:
    truth, medium, interval = made_up()
    late = np.concatenate([truth[:1], truth[:-1]])
    late[4] = np.maximum(late[4], disc((40, 40), 1.0, np.array([38.0, 2.0]), 3.0, 3.0))
    found = score(truth, Prediction("late", late), medium, interval)
    assert found["grains"] == [1.0, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0]
    assert found["grains_off"] == 1
    assert found["radius_error"] > 0.01
    assert found["roughness"] > 0.1
    assert found["grain_radius"][4] == pytest.approx((found["grain_radius"][5] + 3.0) / 2, rel=0.1)


def field(radius: float = 14.0) -> NDArray[np.float64]:
    return disc((40, 40), 1.0, np.array([18.3, 20.6]), radius, MEDIUM.eta)


def test_laws_of_a_disc() -> None:
    """d(R_v^2)/dt = -2 mu sigma, whatever mu and sigma; one grain in a driving force does not keep to it."""
    found = laws(field(), 60.0, MEDIUM)
    assert found["slope"] == pytest.approx(0.98, abs=0.02)
    assert found["curved"] < 5e-3
    assert found["dissipation"] < 0.05
    assert found["rising"] == 0
    other = laws(field(), 60.0, replace(MEDIUM, mu=0.5, sigma=2.0))
    assert other["slope"] == pytest.approx(found["slope"], abs=1e-3)
    assert other["dissipation"] == pytest.approx(found["dissipation"], rel=0.1)
    driven = laws(field(), 20.0, replace(MEDIUM, dg=0.2))
    assert driven["slope"] < -1
    assert driven["curved"] > 3 * found["curved"]
