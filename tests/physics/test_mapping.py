"""Recovery of kappa(x), its data set and its evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phasemill.core import store
from phasemill.core.errors import InputError
from phasemill.core.metrics import r2
from phasemill.transport.config.maps import MapJob, VaryingHeatJob
from phasemill.transport.datasets import maps as map_dataset
from phasemill.transport.evaluate.map import map_recovery
from phasemill.transport.figures.map import map_recovery as draw
from phasemill.transport.recover.mapping import quasi_optimal, recover_map, recover_smooth_map
from phasemill.transport.spectra import SafeScheme
from phasemill.transport.varying import evolve, gradient_square

pytestmark = pytest.mark.physics

SIZE, SCHEME = 24, SafeScheme(interval=0.25, substeps=10, dx=0.5)
VIDEO = {"map": "smooth", "boundary": "periodic", "grains": 6}
DATA: dict[str, Any] = {
    **{"size": 16, "dx": 0.5, "dt": 0.005, "steps": 300, "save_every": 50, "kappa": {"low": 0.1, "high": 0.7}},
    **{"map_length": 2.0, "interface_width": 0.25, "roughness": 0.3, "correlation_length": 2.0},
    "videos": [VIDEO, {"map": "two_phase", "boundary": "neumann", "grains": 6}],
}


def truth(shape: tuple[int, int] = (SIZE, SIZE)) -> np.ndarray:
    x, y = np.meshgrid(*(2 * np.pi * np.arange(n) / n for n in shape), indexing="ij")
    return 0.4 + 0.2 * np.sin(x) * np.cos(y) + 0.08 * np.cos(2 * y)


def start(seed: int = 0) -> np.ndarray:
    """Structure everywhere, of a few cells."""
    noise = np.random.default_rng(seed).standard_normal((SIZE, SIZE))
    return np.tanh(2 * evolve(noise, np.full(noise.shape, 0.5), SCHEME, "periodic", 1)[1])


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
def test_clean_video_gives_the_map(boundary: Any, direction: int) -> None:
    frames = evolve(start(), truth(), SCHEME, boundary, 15)[::direction]
    found = recover_map(frames, replace(SCHEME, direction=direction), boundary, iterations=120)
    assert r2(truth(), found.kappa) > 0.9995
    assert np.abs(found.kappa - truth()).max() < 0.02
    assert found.history[0] > 1e-3
    assert found.history[-1] < 1e-7


def test_float32_is_enough() -> None:
    frames = evolve(start(), truth(), SCHEME, "periodic", 15).astype(np.float32)
    assert r2(truth(), recover_map(frames, SCHEME, iterations=80).kappa) > 0.999


def test_bounds_are_kept() -> None:
    frames = evolve(start(), truth(), SCHEME, "periodic", 10)
    found = recover_map(frames, SCHEME, bounds=(0.3, 0.45), iterations=30)
    assert found.kappa.min() >= 0.3 * (1 - 1e-12)
    assert found.kappa.max() <= 0.45 * (1 + 1e-12)


@pytest.mark.parametrize(("direction", "boundary"), [(1, "periodic"), (-1, "neumann")])
def test_with_noise_the_trajectory_succeeds_where_pairs_fail(direction: int, boundary: Any) -> None:
    clean = evolve(start(), truth(), SCHEME, boundary, 20)
    noisy = (clean + 0.06 * np.random.default_rng(3).standard_normal(clean.shape))[::direction]
    scheme = replace(SCHEME, direction=direction)
    way = recover_smooth_map(noisy, scheme, boundary)
    pairs = recover_smooth_map(noisy, scheme, boundary, method="pairs")
    scores = [r2(truth(), one.kappa) for one in way.estimates]
    assert r2(truth(), way.best.kappa) > 0.9
    assert r2(truth(), way.best.kappa) > max(scores) - 0.05  # the choice does not know these scores
    assert r2(truth(), pairs.best.kappa) < r2(truth(), way.best.kappa) - 0.3
    assert way.best.initial is not None
    fitted = evolve(way.best.initial, way.best.kappa, SCHEME, boundary, 20)
    assert np.std(fitted[5:] - clean[5:]) < 0.06 / 5  # the trajectory is far cleaner than the frames
    assert pairs.best.initial is None


def test_less_smoothness_fits_better_and_is_rougher() -> None:
    clean = evolve(start(), truth(), SCHEME, "periodic", 12)
    noisy = clean + 0.02 * np.random.default_rng(3).standard_normal(clean.shape)
    path = recover_smooth_map(noisy, SCHEME, smoothness=[1000, 100, 10, 1])
    assert [one.smoothness for one in path.estimates] == [1000, 100, 10, 1]
    assert (np.diff([one.history[-1] for one in path.estimates]) < 0).all()
    roughness = [np.std(np.diff(np.log(one.kappa), axis=0)) for one in path.estimates]
    assert (np.diff(roughness) > 0).all()


def test_where_nothing_happens_the_map_is_not_found() -> None:
    u0 = start()
    u0[:, : SIZE // 2] = 0.5
    frames = evolve(u0, truth(), SCHEME, "neumann", 4)
    seen = gradient_square(frames, SCHEME.dx, "neumann")
    visible = seen > 1e-4 * seen.mean()
    error = np.abs(recover_map(frames, SCHEME, "neumann", iterations=150).kappa - truth())
    assert 0.4 < visible.mean() < 0.9
    assert error[visible].max() < 0.05
    assert error[~visible].max() > 0.1


@pytest.mark.parametrize(
    ("steps", "chosen"),
    [
        ([], 0),
        ([0.3], 1),
        ([0.3, 0.2, 0.1, 0.4], 3),
        ([0.05, 0.2, 0.1, 0.4], 3),  # the least step on the smooth side is a rest, not the answer
        ([0.1, 0.2, 0.3], 1),
        ([0.3, 0.2, 0.1], 3),
    ],
)
def test_quasi_optimality_looks_from_the_rough_end(steps: list[float], chosen: int) -> None:
    assert quasi_optimal(steps) == chosen


def test_a_choice_at_an_end_of_the_path_is_none() -> None:
    clean = evolve(start(), truth(), SCHEME, "periodic", 12)
    noisy = clean + 0.06 * np.random.default_rng(3).standard_normal(clean.shape)
    whole = recover_smooth_map(noisy, SCHEME, smoothness=[10000, 1000, 100, 10, 1])
    assert whole.settled
    assert 0 < whole.chosen < 4
    smooth = recover_smooth_map(noisy, SCHEME, smoothness=[1e6, 1e5, 1e4])
    assert not smooth.settled


@pytest.mark.parametrize("smoothness", [[], [10, 100], [10, 10], [10, 0]])
def test_smoothness_must_fall(smoothness: list[float]) -> None:
    frames = evolve(start(), truth(), SCHEME, "periodic", 3)
    with pytest.raises(InputError, match="give positive values, largest first"):
        recover_smooth_map(frames, SCHEME, smoothness=smoothness)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("map") / "varying_heat.zarr"
    map_dataset.simulate(VaryingHeatJob.model_validate({"seed": 5, "varying": DATA}), path)
    return path


def test_data_set_holds_what_its_operator_makes(data: Path) -> None:
    source = store.open_dataset(data)
    first, second = map_dataset.videos(source)
    assert (first.boundary, second.boundary) == ("periodic", "neumann")
    assert set(np.unique(second.kappa)) == {0.1, 0.7}
    assert 0.1 < first.kappa.min() < 0.3 < 0.5 < first.kappa.max() < 0.7
    for video in (first, second):
        again = evolve(video.frames[0], video.kappa, video.scheme, video.boundary, 6)
        np.testing.assert_allclose(video.frames, again, atol=1e-6)
    np.testing.assert_allclose(source["mean"], source["mean"][:, :1] * np.ones(7), rtol=1e-12)
    assert (np.diff(source.energy) < 0).all()


def test_unstable_steps_are_divided_and_recorded(tmp_path: Path) -> None:
    job = VaryingHeatJob.model_validate({"seed": 5, "varying": {**DATA, "dt": 0.15, "steps": 9, "save_every": 3}})
    map_dataset.simulate(job, tmp_path / "coarse.zarr")
    source = store.open_dataset(tmp_path / "coarse.zarr")
    smooth, sharp = map_dataset.videos(source)
    assert source.subdivisions.values.tolist() == [2, 2]  # kappa dt lambda_max / 2 = 0.7 x 0.15 x 32 / 2 = 1.68
    assert smooth.scheme.substeps == sharp.scheme.substeps == 6
    assert np.abs(sharp.frames).max() <= 1


def test_same_seed_same_data(data: Path, tmp_path: Path) -> None:
    map_dataset.simulate(VaryingHeatJob.model_validate({"seed": 5, "varying": DATA}), tmp_path / "again.zarr")
    assert store.digest(data) == store.digest(tmp_path / "again.zarr")
    shorter = {**DATA, "videos": [VIDEO]}
    map_dataset.simulate(VaryingHeatJob.model_validate({"seed": 5, "varying": shorter}), tmp_path / "one.zarr")
    np.testing.assert_array_equal(
        store.open_dataset(tmp_path / "one.zarr").kappa_map[0], store.open_dataset(data).kappa_map[0]
    )


def test_evaluation_tells_all_runs_and_stores_their_maps(data: Path, tmp_path: Path) -> None:
    settings = {
        **{"kappa": {"low": 0.01, "high": 2.0}, "iterations": 60, "noise": [0.001, 0.01], "compared_noise": 0.01},
        **{"smoothness": [300, 30, 3], "smooth_iterations": 20, "visible": 1e-4},
    }
    result = map_recovery(MapJob.model_validate({"seed": 1, "mapping": settings}), data, tmp_path)
    runs = result["metrics"]["runs"]
    assert [(run["sim"], run["method"], run["noise"]) for run in runs] == [
        *((0, "pairs", 0.0), (0, "pairs_smooth", 0.001), (0, "trajectory", 0.001)),
        *((0, "pairs_smooth", 0.01), (0, "trajectory", 0.01), (1, "pairs", 0.0), (1, "trajectory", 0.01)),
    ]
    fields = store.open_dataset(tmp_path / "fields.zarr")
    for row, run in enumerate(runs):
        one = fields.isel(sim=row)
        assert r2(one.truth.values, one.estimate.values) == pytest.approx(run["scores"]["r2"])
        assert float(one.visible.mean()) == pytest.approx(result["metrics"]["videos"][run["sim"]]["coverage"])
    assert runs[0]["scores"]["visible_r2"] > 0.98
    marks = {row[5] for row in result["tables"][1]["rows"]}
    assert marks == {"", *("yes" if run["settled"] else "no choice" for run in runs if run["path"])}
    store.write_json(tmp_path / "metrics.json", result)
    drawn = draw(tmp_path, tmp_path / "figures")
    assert [entry["file"] for entry in drawn] == ["maps.svg", "videos.svg", "noise.svg", "loss.svg", "visibility.svg"]
