"""The whole-trajectory fit: exact on exact videos, equal to its formula, and honest about its uncertainty."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from phasemill.core.errors import InputError
from phasemill.transport.modes import Boundary, Modes, decay
from phasemill.transport.physics import laplacian
from phasemill.transport.recover.trajectory import Misfit, estimate_noise, misfit_formula, recover_trajectory

pytestmark = pytest.mark.physics

DX, INTERVAL, SUBSTEPS = 0.5, 0.25, 50
SHAPE, FRAMES = (24, 17), 21
OPTIONS = {"dx": DX, "interval": INTERVAL}


def start(seed: int = 0, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """A rough field in [0, 1]."""
    return np.random.default_rng(seed).uniform(0, 1, shape)


def smoothing(
    kappa: float, boundary: Boundary = "periodic", substeps: int | None = SUBSTEPS, shape: tuple[int, int] = SHAPE
) -> np.ndarray:
    """The exact video of `start`, (time, x, y)."""
    modes = Modes(shape, DX, boundary)
    factor = decay(kappa, modes.eigenvalues, INTERVAL, substeps)[0]
    return modes.join(modes.split(start(shape=shape)[None]) * factor ** np.arange(FRAMES)[:, None])


def stencil(phi: np.ndarray, boundary: Boundary) -> np.ndarray:
    """The 5-point Laplacian; with walls each outermost cell has itself for a neighbour."""
    padded = np.pad(phi, 1, mode="wrap" if boundary == "periodic" else "edge")
    return laplacian(padded, DX)[1:-1, 1:-1]


@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
@pytest.mark.parametrize("shape", [(8, 8), (8, 7), (5, 6)])
class TestModes:
    def test_diagonalise_the_stencil(self, boundary: Boundary, shape: tuple[int, int]) -> None:
        modes, phi = Modes(shape, DX, boundary), start(shape=shape)
        np.testing.assert_allclose(
            modes.join(-modes.eigenvalues * modes.split(phi[None]))[0], stencil(phi, boundary), atol=1e-11
        )

    def test_keep_the_sum_of_squares_and_come_back(self, boundary: Boundary, shape: tuple[int, int]) -> None:
        modes, fields = Modes(shape, DX, boundary), np.stack([start(1, shape), start(2, shape)])
        coefficients = modes.split(fields)
        np.testing.assert_allclose((coefficients**2).sum(1), (fields**2).sum((1, 2)))
        np.testing.assert_allclose(modes.join(coefficients), fields, atol=1e-14)
        assert modes.multiplicity.sum() == pytest.approx(shape[0] * shape[1])


@pytest.mark.parametrize("substeps", [None, 1, 2, 50])
def test_decay_is_its_formula_and_its_derivatives_are_those_of_the_value(substeps: int | None) -> None:
    eigenvalues, step = np.linspace(0, 32, 20), 1e-5
    low, here, high = (decay(0.2 + d, eigenvalues, INTERVAL, substeps) for d in (-step, 0, step))
    exact = np.exp(-0.05 * eigenvalues) if substeps is None else (1 - 0.05 / substeps * eigenvalues) ** substeps
    np.testing.assert_allclose(here[0], exact)
    for order in (0, 1):
        np.testing.assert_allclose((high[order] - low[order]) / (2 * step), here[order + 1], atol=2e-6 * 8**order)


@pytest.mark.parametrize("substeps", [None, 3, 50])
@pytest.mark.parametrize("kappa", [0.05, 0.3, 1.2])
def test_kernel_is_the_formula(kappa: float, substeps: int | None) -> None:
    modes = Modes(SHAPE, DX)
    coefficients = np.random.default_rng(3).standard_normal((FRAMES, modes.eigenvalues.size))
    misfit = Misfit(coefficients, modes.eigenvalues, INTERVAL, substeps)
    value, slope, bend = misfit.derivatives(kappa)
    assert value == pytest.approx(misfit_formula(coefficients, decay(kappa, modes.eigenvalues, INTERVAL, substeps)[0]))
    _, residual = misfit.project(kappa)
    assert np.sum(residual**2) == pytest.approx(np.sum(coefficients**2) + value)
    step = 1e-5
    (below, slope_below, _), (above, slope_above, _) = (misfit.derivatives(kappa + d) for d in (-step, step))
    assert slope == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-4)
    assert bend == pytest.approx((slope_above - slope_below) / (2 * step), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
@pytest.mark.parametrize("substeps", [None, SUBSTEPS])
@pytest.mark.parametrize("kappa", [0.1, 0.35, 0.7])
def test_an_exact_video_gives_kappa_and_its_first_frame(kappa: float, substeps: int | None, boundary: Boundary) -> None:
    frames = smoothing(kappa, boundary, substeps).astype(np.float32)
    fit = recover_trajectory(frames, **OPTIONS, substeps=substeps, boundary=boundary)
    assert fit.kappa == pytest.approx(kappa, abs=1e-6)
    np.testing.assert_allclose(fit.initial, frames[0], atol=1e-6)
    assert fit.sigma < 1e-6
    assert fit.chi2 < 2


def test_first_frame_is_fitted_where_it_was_never_seen() -> None:
    """Noise on the first frame alone is averaged out by the others, in the modes that live long enough."""
    frames = smoothing(0.1)
    noisy = frames.copy()
    noisy[0] += 0.2 * np.random.default_rng(0).standard_normal(SHAPE)
    fit = recover_trajectory(noisy, **OPTIONS, substeps=SUBSTEPS)
    assert np.std(fit.initial - frames[0]) < 0.15


def test_affine_intensities_change_nothing_but_the_unit() -> None:
    frames = smoothing(0.3) + 0.05 * np.random.default_rng(1).standard_normal((FRAMES, *SHAPE))
    plain = recover_trajectory(frames, **OPTIONS)
    mapped = recover_trajectory(0.6 * frames + 0.2, **OPTIONS)
    assert mapped.kappa == pytest.approx(plain.kappa, rel=1e-9)
    assert mapped.sigma == pytest.approx(plain.sigma, rel=1e-9)
    assert mapped.noise == pytest.approx(0.6 * plain.noise, rel=1e-9)
    assert mapped.chi2 == pytest.approx(plain.chi2, rel=1e-9)


@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
def test_sigma_is_calibrated_and_kappa_unbiased(boundary: Boundary) -> None:
    """200 draws: the spread of error / sigma is within 4 standard errors of 1, its mean of 0."""
    kappa, noise, draws = 0.3, 0.1, 200
    frames, rng = smoothing(kappa, boundary), np.random.default_rng(7)
    fits = [
        recover_trajectory(
            frames + noise * rng.standard_normal(frames.shape), **OPTIONS, substeps=SUBSTEPS, boundary=boundary
        )
        for _ in range(draws)
    ]
    z = np.array([(fit.kappa - kappa) / fit.sigma for fit in fits])
    assert abs(z.std(ddof=1) - 1) < 4 / np.sqrt(2 * draws)
    assert abs(z.mean()) < 4 / np.sqrt(draws)
    assert np.mean([fit.noise for fit in fits]) == pytest.approx(noise, rel=0.01)
    assert np.mean([fit.chi2 for fit in fits]) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
def test_scatter_covers_noise_that_is_blurred_in_space(boundary: Boundary) -> None:
    frames, rng, fits = smoothing(0.3, boundary), np.random.default_rng(8), []
    for _ in range(60):
        noise = gaussian_filter(rng.standard_normal(frames.shape), (0, 1, 1), mode="wrap")
        fits.append(recover_trajectory(frames + 0.1 * noise, **OPTIONS, substeps=SUBSTEPS, boundary=boundary))
    z = np.array([(fit.kappa - 0.3) / fit.scatter for fit in fits])
    assert 0.7 < np.sqrt(np.mean(z**2)) < 1.4
    assert np.mean([fit.scatter / fit.sigma for fit in fits]) > 2
    assert abs(np.mean([fit.correlation for fit in fits])) < 0.1


def test_noise_that_is_correlated_in_time_is_seen() -> None:
    noise = gaussian_filter(np.random.default_rng(9).standard_normal((FRAMES, *SHAPE)), (1, 0, 0))
    assert recover_trajectory(smoothing(0.3) + 0.1 * noise, **OPTIONS, substeps=SUBSTEPS).correlation > 0.5


def test_sigma_is_proportional_to_the_noise_that_is_given() -> None:
    frames = smoothing(0.3) + 0.05 * np.random.default_rng(1).standard_normal((FRAMES, *SHAPE))
    one, two = (recover_trajectory(frames, **OPTIONS, noise=s) for s in (0.05, 0.1))
    assert two.kappa == one.kappa
    assert two.sigma == pytest.approx(2 * one.sigma)
    assert two.chi2 == pytest.approx(one.chi2 / 4)


def test_chi2_tells_the_wrong_physics() -> None:
    """Walls met by the periodic operator."""
    frames = smoothing(0.3, "neumann") + 0.01 * np.random.default_rng(1).standard_normal((FRAMES, *SHAPE))
    right = recover_trajectory(frames, **OPTIONS, substeps=SUBSTEPS, boundary="neumann")
    wrong = recover_trajectory(frames, **OPTIONS, substeps=SUBSTEPS)
    assert right.chi2 == pytest.approx(1, abs=0.05)
    assert wrong.chi2 > 1.5


@pytest.mark.parametrize("kappa", [0.001, 0.3])
def test_noise_is_found_in_slow_and_in_fast_videos(kappa: float) -> None:
    """A slow field is still there in the last half of the video, and must not count as noise."""
    frames = smoothing(kappa, shape=(32, 32)) + 0.01 * np.random.default_rng(2).standard_normal((FRAMES, 32, 32))
    modes = Modes((32, 32), DX)
    assert estimate_noise(modes.split(frames), modes) == pytest.approx(0.01, rel=0.06)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_noise_is_never_below_the_rounding_of_the_numbers(dtype: type) -> None:
    frames = (200 * smoothing(0.3)).astype(dtype)
    fit = recover_trajectory(frames, **OPTIONS, substeps=SUBSTEPS)
    unit = 1 if dtype is np.uint8 else np.finfo(dtype).eps * frames.max()
    assert fit.noise >= unit / np.sqrt(12)
    assert np.isfinite(fit.chi2)


def test_search_ends_where_euler_steps_become_unstable() -> None:
    """One step per interval of kappa = 0.7 is far beyond 2 / (Dt lambda_max): the nearest stable kappa is returned."""
    limit = 2 / (INTERVAL * Modes(SHAPE, DX).eigenvalues.max())
    fit = recover_trajectory(smoothing(0.7), **OPTIONS, substeps=1)
    assert np.isfinite(fit.chi2)
    assert fit.kappa <= limit
    with pytest.raises(InputError, match="use more"):
        recover_trajectory(smoothing(0.7), **OPTIONS, substeps=1, bounds=(0.5, 2))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"noise": 0.0}, "noise is 0.0"),
        ({"substeps": 0}, "substeps is 0"),
        ({"interval": 0.0}, "must be positive"),
        ({"boundary": "open"}, "use one of periodic, neumann"),
        ({"bounds": (1.0, 0.5)}, "give 0 < lower < upper"),
    ],
)
def test_values_out_of_range_are_refused(change: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        recover_trajectory(smoothing(0.3), **{**OPTIONS, **change})


def test_two_frames_need_a_noise() -> None:
    frames = smoothing(0.3)[:2]
    with pytest.raises(InputError, match="at least 3"):
        recover_trajectory(frames, **OPTIONS)
    assert recover_trajectory(frames, **OPTIONS, substeps=SUBSTEPS, noise=0.1).kappa == pytest.approx(0.3, abs=1e-6)
