"""Corrupted videos: what is done to them, the fits that match, and the benchmark on a small data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phasemill.core import store
from phasemill.core.errors import InputError
from phasemill.transport.config.robustness import RobustnessJob
from phasemill.transport.config.videos import VoronoiHeatJob
from phasemill.transport.datasets import videos as dataset
from phasemill.transport.evaluate import corruptions
from phasemill.transport.evaluate.robustness import robustness
from phasemill.transport.evaluate.robustness_tables import calibration
from phasemill.transport.evaluate.scoring import at_bound
from phasemill.transport.modes import Modes
from phasemill.transport.physics import laplacian
from phasemill.transport.recover.crop import CroppedLoss, recover_cropped
from phasemill.transport.recover.direct import recover_direct
from phasemill.transport.recover.intensity import ScaleFreeLoss, linearise, recover_stretched
from phasemill.transport.recover.trajectory import recover_trajectory
from phasemill.transport.spectra import FrameSpectra, SafeScheme
from tests.heat import DATA

pytestmark = pytest.mark.physics

SETTINGS = {
    "seed": 1,
    "search": {"kappa": {"low": 0.01, "high": 2}, "field_frames": 3},
    "robustness": {
        **{"noise": [0.01, 0.05], "draws": 4, "gammas": [0.8, 1.25]},
        **{"window": 0.5, "margins": [0, 2, 4], "field_frames": 3},
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "heat.zarr"
    dataset.simulate(VoronoiHeatJob.model_validate({"seed": 5, "data": DATA}), path)
    return path


@pytest.fixture(scope="module")
def result(data: Path) -> dict[str, Any]:
    return robustness(RobustnessJob.model_validate(SETTINGS), data, data.parent)


@pytest.fixture(scope="module")
def video(data: Path) -> tuple[dataset.Row, SafeScheme, np.ndarray]:
    """A row, its operator and its frames in float64."""
    source = store.open_dataset(data)
    row = next(dataset.rows(source, "test"))
    return row, dataset.scheme(source, row), row.frames.astype(np.float64)


def options(scheme: SafeScheme) -> dict[str, Any]:
    return {"dx": scheme.dx, "interval": scheme.interval, "substeps": scheme.substeps}


def mae(result: dict[str, Any], kind: str) -> dict[str, float]:
    return {label: scores["all"]["mae"] for label, scores in result["metrics"][kind].items()}


# ---- the corruptions


def test_walls_are_those_of_the_stencil_with_mirrored_cells(video: Any) -> None:
    row, scheme, frames = video
    walled = corruptions.walled(row, scheme, np.random.default_rng(0))
    phi = frames[0]
    for _ in range(scheme.substeps):
        phi = phi + row.kappa * scheme.tau * laplacian(np.pad(phi, 1, mode="edge"), scheme.dx)[1:-1, 1:-1]
    np.testing.assert_allclose(walled[0], frames[0], atol=1e-7)
    np.testing.assert_allclose(walled[1], phi, atol=1e-7)
    np.testing.assert_allclose(walled.mean((1, 2)), frames[0].mean(), atol=1e-7)


@pytest.mark.parametrize("direction", [1, -1])
def test_frames_come_in_the_order_of_smoothing(video: Any, direction: int) -> None:
    row, scheme, frames = video
    turned = replace(row, direction=direction, frames=row.frames[::direction])
    np.testing.assert_array_equal(corruptions.affine(turned, scheme, np.random.default_rng(0)), 0.6 * frames + 0.2)


def test_noise_has_the_level_of_the_range(video: Any) -> None:
    row, scheme, frames = video
    added = corruptions.noisy(row, scheme, np.random.default_rng(0), level=0.05) - frames
    assert added.std() == pytest.approx(0.05 * np.ptp(frames), rel=0.02)


# ---- the fits


def test_scale_free_loss_is_its_formula_and_its_derivatives_are_those_of_the_value(video: Any) -> None:
    _, scheme, frames = video
    modes = Modes(frames.shape[1:], scheme.dx)
    rows = modes.split(frames)
    loss = ScaleFreeLoss.from_modes(rows, modes.eigenvalues, scheme.interval, scheme.substeps)
    varying = rows * (modes.eigenvalues > 0)
    moved = varying[:-1] * (1 - 0.3 * scheme.tau * modes.eigenvalues) ** scheme.substeps
    cosine = np.sum(moved * varying[1:], 1) / np.linalg.norm(moved, axis=1) / np.linalg.norm(varying[1:], axis=1)
    assert loss.derivatives(0.3)[0] == pytest.approx(np.mean(1 - cosine**2))
    assert_derivatives(loss)


def test_cropped_loss_has_the_derivatives_of_its_value(video: Any) -> None:
    _, scheme, frames = video
    modes = Modes((16, 16), scheme.dx, "neumann")
    source, target = modes.split(frames[:-1, :16, :16]), frames[1:, 3:13, 3:13]
    loss = CroppedLoss(modes, source, target, scheme.interval, scheme.substeps, 3)
    assert loss.loss(np.array([0.3]))[0] == loss.derivatives(0.3)[0]
    assert_derivatives(loss)


def assert_derivatives(loss: Any, kappa: float = 0.3, step: float = 1e-5) -> None:
    (below, slope_below, _), (_, slope, bend), (above, slope_above, _) = (
        loss.derivatives(kappa + d) for d in (-step, 0, step)
    )
    assert slope == pytest.approx((above - below) / (2 * step), rel=1e-4)
    assert bend == pytest.approx((slope_above - slope_below) / (2 * step), rel=1e-4)


def test_gain_and_offset_of_each_frame_do_not_matter(video: Any) -> None:
    row, scheme, frames = video
    rng = np.random.default_rng(0)
    gain, offset = rng.uniform(0.5, 2, (2, len(frames), 1, 1))
    assert recover_stretched(gain * frames + offset, **options(scheme)).kappa == pytest.approx(row.kappa, abs=1e-6)


def test_a_uniform_frame_has_no_contrast(video: Any) -> None:
    _, scheme, frames = video
    flat = np.where(np.arange(len(frames))[:, None, None] == 4, 0.5, frames)
    with pytest.raises(InputError, match="frame 4 is uniform"):
        recover_stretched(flat, **options(scheme))


@pytest.mark.parametrize("gamma", [0.45, 0.8, 1.25, 2.2])
@pytest.mark.parametrize("direction", [1, -1])
def test_the_exponent_is_found_without_labels(video: Any, gamma: float, direction: int) -> None:
    _, _, frames = video
    field, exponent = linearise(200 * frames[::direction] ** gamma)
    assert 1 / exponent == pytest.approx(gamma, rel=1e-4)
    np.testing.assert_allclose(field, frames[::direction] / frames.max(), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda u: u * np.linspace(1, 2, len(u))[:, None, None], "no exponent"),
        (lambda u: -u - 1, "no value is above 0"),
    ],
)
def test_intensities_that_no_exponent_explains_are_refused(video: Any, change: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        linearise(change(video[2]))


def test_a_wider_margin_keeps_the_outside_out(video: Any) -> None:
    row, scheme, frames = video
    window = frames[:, 8:24, 8:24]
    errors = [
        abs(recover_cropped(window, **options(scheme), margin=margin).kappa - row.kappa) for margin in (0, 2, 4, 6)
    ]
    assert (np.diff(errors) < 0).all()
    assert errors[-1] < 1e-4


@pytest.mark.parametrize("margin", [-1, 8])
def test_a_margin_that_leaves_nothing_is_refused(video: Any, margin: int) -> None:
    with pytest.raises(InputError, match="leaves no cell"):
        recover_cropped(video[2][:, :16, :16], **options(video[1]), margin=margin)


def test_noise_biases_pairs_but_not_the_trajectory(video: Any) -> None:
    row, scheme, frames = video
    noisy = frames + 0.02 * np.random.default_rng(0).standard_normal(frames.shape)
    fit = recover_trajectory(noisy, **options(scheme))
    assert abs(fit.kappa - row.kappa) < 4 * fit.sigma
    assert recover_direct(FrameSpectra.from_frames(noisy, scheme)).kappa - row.kappa > 10 * fit.sigma


# ---- calibration


def test_calibration_of_normal_errors() -> None:
    found = calibration(np.random.default_rng(0).standard_normal(5000), np.full(5000, 0.1))
    assert found["std_low"] < 1 < found["std_high"]
    assert found["within_1"] == pytest.approx(0.683, abs=0.02)
    assert found["within_2"] == pytest.approx(0.954, abs=0.01)
    assert found["mae"] == pytest.approx(found["mae_expected"], abs=4 * found["mae_error"])


def test_the_interval_of_the_spread_covers_it_in_95_of_100_samples() -> None:
    rng = np.random.default_rng(1)
    found = [calibration(2 * rng.standard_normal(12), np.ones(12)) for _ in range(2000)]
    covered = [by["std_low"] < 2 < by["std_high"] for by in found]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


# ---- the benchmark


def test_matching_fits_beat_naive_ones(result: dict[str, Any]) -> None:
    naive, matched = mae(result, "naive"), mae(result, "matched")
    for label in naive:
        if label != "0.6 u + 0.2":
            assert matched[label] < naive[label] / 2, label
    assert naive["0.6 u + 0.2"] < 1e-6
    for label in ("0.6 u + 0.2", "stretched frames", "gamma 0.8", "gamma 1.25", "walls"):
        assert matched[label] < 1e-5, label


def test_answers_at_the_bound_are_counted(result: dict[str, Any]) -> None:
    shares = result["metrics"]["at_bound"]
    assert shares["noise 5 %"]["forward"] == 1
    assert shares["0.6 u + 0.2"] == {"naive": 0, "forward": 0}
    (row,) = (row for row in result["tables"][0]["rows"] if row[0] == "noise 5 %")
    assert row[4] == "100%"


@pytest.mark.parametrize(("kappa", "stopped"), [(0.01, True), (2.0 - 1e-9, True), (0.0101, False), (1.0, False)])
def test_a_bound_is_no_estimate(kappa: float, stopped: bool) -> None:
    assert at_bound(kappa, (0.01, 2.0)) == stopped


def test_forward_prediction_differs_for_sharpening_videos_alone(result: dict[str, Any]) -> None:
    for label, scores in result["metrics"]["forward"].items():
        assert scores["diffusion"] == result["metrics"]["naive"][label]["diffusion"]
        assert scores["mobility"] != result["metrics"]["naive"][label]["mobility"]


def test_each_video_has_its_own_noise(result: dict[str, Any]) -> None:
    for found in result["metrics"]["noisy"].values():
        assert len(set(found["kappa"])) == 6 * SETTINGS["robustness"]["draws"]  # type: ignore[index]
        assert sum(found["direction"]) == 0


def test_fields_hold_what_was_seen_and_what_was_fitted(result: dict[str, Any], data: Path) -> None:
    fields = store.open_dataset(data.parent / "fields.zarr")
    by = {label: fields.isel(corruption=place) for place, label in enumerate(store.meanings(fields.corruption))}
    assert fields.sizes["sim"] == 3
    assert fields.observed.dims == ("sim", "corruption", "time", "x", "y")
    crop = np.isfinite(by["crop_margin_0"].observed.values)
    assert crop.mean() == 0.25
    np.testing.assert_array_equal(by["crop_margin_0"].observed.values[crop], fields.truth.values[crop])
    noisy = by["noise_5_%"]
    error = {name: (noisy[name] - fields.truth).values[:, 1:].std() for name in ("observed", "fitted")}
    assert error["observed"] == pytest.approx(0.05, rel=0.05)
    assert error["fitted"] < error["observed"] / 2
    assert np.isnan(by["stretched_frames"].fitted.values).all()
    np.testing.assert_allclose(by["walls"].fitted.values, by["walls"].observed.values, atol=1e-5)
    np.testing.assert_allclose(by["gamma_0.8"].fitted.values, fields.truth.values, atol=1e-4)
    np.testing.assert_allclose(by["0.6_u_+_0.2"].kappa_estimate.values, fields.kappa.values, atol=1e-5)
