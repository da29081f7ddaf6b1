"""Recovery from videos as people have them: noise, 8 bits, films, other physics, and physics that does not fit."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import imageio.v3
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from phasemill.core.errors import InputError
from phasemill.core.video import Video, read_video
from phasemill.transport.config.physics import OtherPhysicsJob
from phasemill.transport.config.videos import VoronoiHeatJob
from phasemill.transport.datasets import physics as physics_dataset
from phasemill.transport.datasets import videos as dataset
from phasemill.transport.initial import gaussian_random_field
from phasemill.transport.video.recovery import Recovery, recover_video
from tests.physics.test_weak import DX, INTERVAL, KAPPA, heat

pytestmark = pytest.mark.physics

SMALL_HEAT = {
    **{
        "size": 32,
        "dx": 0.5,
        "dt": 0.005,
        "steps": 1000,
        "save_every": 50,
        "simulations": 3,
        "validation": 1,
        "test": 1,
    },
    **{"kappa": {"low": 0.1, "high": 0.7}, "grains": {"low": 4, "high": 8}},
    **{"interface_width": 0.25, "roughness": 0.3, "correlation_length": 2.0},
}


@cache
def window() -> np.ndarray:
    """A window of a larger periodic simulation."""
    return heat(64, 31)[:, 8:56, 10:58]


def noisy(u: np.ndarray, noise: float, seed: int = 0) -> np.ndarray:
    return u + noise * np.random.default_rng(seed).standard_normal(u.shape)


def recover(frames: np.ndarray, dx: float = DX, interval: float = INTERVAL, **options: object) -> Recovery:
    return recover_video(Video(frames, "test"), dx=dx, interval=interval, **options)[0]  # type: ignore[arg-type]


def lap(u: np.ndarray, dx: float) -> np.ndarray:
    return sum(np.roll(u, k, axis) for k in (1, -1) for axis in (0, 1)) / dx**2 - 4 * u / dx**2


def march(u: np.ndarray, rate: Callable[[np.ndarray], np.ndarray], interval: float, frames: int, steps: int):
    """Classical Runge-Kutta, with steps so short that its error does not matter here."""
    video, h = [u], interval / steps
    for _ in range(frames - 1):
        for _ in range(steps):
            k1 = rate(u)
            k2 = rate(u + h / 2 * k1)
            k3 = rate(u + h / 2 * k2)
            u = u + h / 6 * (k1 + 2 * k2 + 2 * k3 + rate(u + h * k3))
        video.append(u)
    return np.array(video)


def check(result: Recovery, sigmas: float = 3, **truth: float) -> None:
    for item in result.coefficients:
        if item.name in truth:
            assert abs(item.value - truth[item.name]) < sigmas * item.sigma, item


@pytest.mark.parametrize("noise", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("sign", [1, -1])
def test_heat_with_noise_in_both_directions_of_time(noise: float, sign: int) -> None:
    result = recover(noisy(window(), noise)[::sign])
    assert result.fits, result.verdict
    assert result.direction == ("smoothing" if sign > 0 else "sharpening")
    assert abs(result.coefficients[0].value - KAPPA) < 2 * result.coefficients[0].sigma
    assert result.noise == pytest.approx(noise, rel=0.1)


def test_clean_single_precision_frames_are_no_misfit() -> None:
    result = recover(window().astype(np.float32).astype(float))
    assert result.fits
    check(result, kappa=KAPPA)
    assert result.coefficients[0].sigma < 1e-4 * KAPPA
    assert result.unexplained < 1e-4


def test_the_answer_scales_with_the_units() -> None:
    one, other = recover(noisy(window(), 0.01)), recover(7 + 100 * noisy(window(), 0.01), 1e-6 * DX, 60 * INTERVAL)
    assert other.coefficients[0].value == pytest.approx(one.coefficients[0].value * 1e-12 / 60, rel=1e-3)


@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
def test_a_border_that_is_known_makes_sigma_smaller(boundary: str) -> None:
    video = heat(24, 31)
    if boundary == "neumann":  # the even extension of its quarter solves the equation with walls
        start = np.tile(video[0], (1, 1))
        even = np.block([[start, start[:, ::-1]], [start[::-1], start[::-1, ::-1]]])
        s = 4 / DX**2 * np.sin(np.pi * np.arange(48) / 48) ** 2
        growth = np.exp(-KAPPA * INTERVAL * (s[:, None] + s)) ** np.arange(31)[:, None, None]
        video = np.fft.ifft2(np.fft.fft2(even) * growth).real[:, :24, :24]
    seen = noisy(video, 0.02)
    inside, whole = recover(seen), recover(seen, boundary=boundary)
    assert "trajectory" in whole.method
    assert whole.coefficients[0].sigma < inside.coefficients[0].sigma
    assert abs(whole.coefficients[0].value - KAPPA) < 3 * whole.coefficients[0].sigma


def test_a_wrong_border_is_noticed() -> None:
    result = recover(noisy(window(), 0.01), boundary="periodic")
    assert "probably not periodic" in " ".join(result.notes)
    assert abs(result.coefficients[0].value - KAPPA) < 3 * result.coefficients[0].sigma


FILM = Path(__file__).with_name("film.mp4")


def write_film(path: Path, frames: np.ndarray, **options: object) -> None:
    """Black is -0.2 and white 1.2, so that nothing is clipped; pictures have rows downwards."""
    pixels = np.round(255 * np.clip((frames + 0.25) / 1.5, 0, 1)).astype(np.uint8).transpose(0, 2, 1)[:, ::-1]
    imageio.v3.imwrite(path, np.repeat(pixels[..., None], 3, -1), plugin="pyav", **options)


def test_film_8_bit_cropped_5_percent_noise() -> None:
    """H.264 at the encoder's default rate. The film is kept, because the encoder makes another one each time.

    It was written by write_film(FILM, noisy(window(), 0.05), codec="libx264", fps=20).
    """
    result = recover_video(read_video(FILM), dx=DX, interval=INTERVAL)[0]
    assert result.fits, result.verdict
    assert abs(result.coefficients[0].value - KAPPA) < 2 * result.coefficients[0].sigma
    assert result.coefficients[0].sigma < 0.05 * KAPPA


def test_compression_that_drowns_the_changes_is_named(tmp_path: Path) -> None:
    write_film(tmp_path / "film.mp4", window(), codec="libx264", fps=20)
    result = recover_video(read_video(tmp_path / "film.mp4"), dx=DX, interval=INTERVAL)[0]
    assert not result.fits
    assert "compression" in result.verdict
    assert abs(result.coefficients[0].value - KAPPA) < 2 * result.coefficients[0].sigma


def test_gif(tmp_path: Path) -> None:
    pixels = np.round(255 * np.clip((noisy(window(), 0.01) + 0.25) / 1.5, 0, 1)).astype(np.uint8)
    imageio.v3.imwrite(tmp_path / "film.gif", pixels.transpose(0, 2, 1)[:, ::-1], plugin="pillow")
    result = recover_video(read_video(tmp_path / "film.gif"), dx=DX, interval=INTERVAL)[0]
    assert result.bits == 8
    assert abs(result.coefficients[0].value - KAPPA) < 3 * result.coefficients[0].sigma


def test_gamma_of_the_pixels_is_recovered() -> None:
    pixels = noisy((0.2 + 0.8 * window()[:21]) ** (1 / 2.2), 0.01)
    result = recover(pixels, intensity="gamma")
    assert result.fits, result.verdict
    check(result, kappa=KAPPA, gamma=2.2)
    assert not recover(pixels).fits


@cache
def reacting(physics: str) -> tuple[np.ndarray, float, dict[str, float]]:
    """Frames, interval and true coefficients on a window of a 56^2 periodic square, dx = 1."""

    def start(seed: int, length: float) -> np.ndarray:
        return gaussian_random_field(np.random.default_rng(seed), 56, 1.0, length)

    if physics == "fisher":
        video = march(np.clip(0.3 + 0.2 * start(1, 5.0), 0.02, 1), lambda u: 0.8 * lap(u, 1) + 0.15 * u * (1 - u), 0.3, 41, 4)  # fmt: skip
        return video[:, :36, :36], 0.3, {"kappa": 0.8, "r": 0.15}
    if physics == "allen_cahn":
        video = march(0.3 * start(2, 3.0), lambda u: -0.6 * (u**3 - u) + 1.2 * lap(u, 1), 0.1, 61, 2)
        return video[:, :36, :36], 0.1, {"M": 0.6, "eps^2": 2.0}
    video = march(0.3 * start(3, 3.0), lambda u: lap(0.5 * (u**3 - u) - 0.75 * lap(u, 1), 1), 0.5, 41, 20)
    return video[:, :36, :36], 0.5, {"M": 0.5, "eps^2": 1.5}


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("physics", ["fisher", "allen_cahn", "cahn_hilliard"])
def test_other_physics(physics: str, noise: float) -> None:
    video, interval, truth = reacting(physics)
    result = recover(noisy(video, noise), 1.0, interval, physics=physics)
    assert result.fits, result.verdict
    assert [item.name for item in result.coefficients] == list(truth)
    check(result, 3 if noise else 4, **truth)  # clean frames: the sum over frames in place of an integral is seen
    assert result.coefficients[0].sigma < 0.01 * result.coefficients[0].value


@pytest.mark.parametrize("physics", ["fisher", "allen_cahn", "cahn_hilliard"])
def test_affine_pixels_give_gain_and_offset(physics: str) -> None:
    """v = 0.3 + 0.4 u, hence u = 2.5 v - 0.75."""
    video, interval, truth = reacting(physics)
    result = recover(0.3 + 0.4 * noisy(video, 0.01), 1.0, interval, physics=physics, intensity="affine")
    assert result.fits, result.verdict
    check(result, **truth, gain=2.5, offset=-0.75)


def test_time_runs_backwards_for_other_physics_too() -> None:
    video, interval, truth = reacting("fisher")
    result = recover(noisy(video, 0.01)[::-1], 1.0, interval, physics="fisher")
    assert result.direction == "sharpening"
    check(result, **truth)


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_hidden_reaction_is_found(noise: float) -> None:
    video = march(heat(48, 1)[0], lambda u: KAPPA * lap(u, DX) + 0.05 * u * (1 - u), INTERVAL, 31, 4)
    result = recover(noisy(video[:, :44, :44], noise))
    assert not result.fits
    assert {term.term for term in result.missing if term.needed} & {"1", "u", "u^2", "u^3"}
    assert "does not fit" in result.verdict


def test_a_coefficient_that_depends_on_the_field_is_found() -> None:
    """u_t = div((0.3 + 0.24 u) grad u) = 0.3 lap u + 0.12 lap u^2."""
    video = march(heat(56, 1)[0], lambda u: lap(0.3 * u + 0.12 * u**2, DX), INTERVAL, 31, 4)
    result = recover(noisy(video[:, :52, :52], 0.01))
    assert not result.fits
    assert "depends on the field or on the place" in result.verdict


def test_a_moving_picture_is_found() -> None:
    full, frames = heat(56, 31), []
    k = 2 * np.pi * np.fft.fftfreq(56)
    for number, frame in enumerate(full):
        frames.append(np.fft.ifft2(np.fft.fft2(frame) * np.exp(-1j * k[:, None] * 0.05 * number)).real)
    result = recover(noisy(np.array(frames)[:, :48, :48], 0.01))
    assert "a drift of the picture along x" in result.verdict


def test_noise_alone_shows_nothing() -> None:
    result = recover(np.random.default_rng(0).standard_normal((15, 24, 24)))
    assert not result.fits
    assert "kappa is not seen" in result.verdict


def test_a_direction_that_is_not_so_is_said() -> None:
    result = recover(noisy(window(), 0.01), direction="sharpening")
    assert "direction is sharpening, but the field smooths" in result.verdict
    assert "so intensity affine changes nothing" in " ".join(recover(noisy(window(), 0.01), intensity="affine").notes)


def test_frames_far_apart() -> None:
    """Diffusion crosses two cells from frame to frame."""
    video = heat(72, 12, interval=2.5)[:, :68, :68]
    result = recover(noisy(video, 0.01), interval=2.5)
    assert result.fits, result.verdict
    assert abs(result.coefficients[0].value - KAPPA) < 3 * result.coefficients[0].sigma


def test_clipped_pixels_are_mentioned() -> None:
    video = Video(np.clip(noisy(window(), 0.1), 0, 0.9), "clipped", bits=8, levels=(0.0, 0.9))
    result = recover_video(video, dx=DX, interval=INTERVAL)[0]
    assert any("black or white" in note for note in result.notes)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dx": -1.0}, "^dx is -1: give a positive number"),
        ({"interval": 0.0}, "^dt is 0: give a positive number"),
        ({"boundary": "periodic", "physics": "fisher"}, "boundary periodic is for physics heat"),
        ({"intensity": "gamma", "physics": "fisher"}, "intensity gamma is for physics heat"),
        ({"intensity": "gamma", "boundary": "neumann"}, "use crop with gamma"),
        ({"intensity": "gamma"}, "values that are not negative"),
    ],
)
def test_what_cannot_be_used_is_said(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        recover(window() - 1, **options)  # type: ignore[arg-type]


def coloured(kind: str, seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Noise of unit size: blurred in space or in time, or of pixels twice as large."""
    white = np.random.default_rng(1000 + seed).standard_normal(shape)
    if kind == "binned":
        noise = white[:, ::2, ::2].repeat(2, 1).repeat(2, 2)
    else:
        noise = gaussian_filter(
            white, {"half a pixel": (0, 0.5, 0.5), "a pixel": (0, 1, 1), "a frame": (1, 0, 0)}[kind]
        )
    return np.asarray(noise / noise.std())


@pytest.mark.parametrize("boundary", ["crop", "periodic"])
@pytest.mark.parametrize("kind", ["half a pixel", "a pixel", "binned", "a frame"])
def test_sigma_covers_noise_of_any_colour(kind: str, boundary: str) -> None:
    video, z = heat(56 if boundary == "crop" else 40, 24), []
    for seed in range(4):
        noise = coloured(kind, seed, video.shape)
        result = recover(
            (video + 0.05 * noise)[:, :48, :48] if boundary == "crop" else video + 0.05 * noise, boundary=boundary
        )
        assert result.fits, result.verdict
        assert result.coefficients[0].sigma < 0.1 * KAPPA
        z.append((result.coefficients[0].value - KAPPA) / result.coefficients[0].sigma)
    assert 0.2 < np.sqrt(np.mean(np.square(z))) < 1.9


@pytest.mark.parametrize(("size", "frames", "spread"), [(64, 26, 0.4), (32, 8, 0.4), (64, 12, 2.0), (64, 12, 8.0)])
def test_sigma_covers_the_error_of_the_method(size: int, frames: int, spread: float) -> None:
    """Frames without noise, kappa interval / dx^2 = `spread`: what remains is the tail that the window cuts off."""
    interval = spread * DX**2 / KAPPA
    video = heat(size + 32, frames, interval=interval)[:, 16:-16, 16:-16]
    check(recover(video, interval=interval), kappa=KAPPA)


def test_frames_too_far_apart_for_the_window_are_mentioned() -> None:
    video = heat(64, 12, interval=5.0)[:, 16:48, 16:48]
    result = recover(noisy(video, 0.01), interval=5.0)
    assert any("frames are far apart" in note for note in result.notes)
    check(result, kappa=KAPPA)


def test_gamma_is_refused_where_dark_pixels_are_ruled_by_noise() -> None:
    dark = np.abs(noisy((0.02 + 0.5 * window()[:21]).clip(0) ** 2, 0.02))
    with pytest.raises(InputError, match="within 4 sigma of black"):
        recover(dark, intensity="gamma")


def test_anisotropy_is_found() -> None:
    """The same as pixels that are not square."""
    start, s = heat(56, 1)[0], 4 / DX**2 * np.sin(np.pi * np.arange(56) / 56) ** 2
    growth = np.exp(-INTERVAL * (0.3 * s[:, None] + 0.45 * s)) ** np.arange(24)[:, None, None]
    result = recover(noisy(np.fft.ifft2(np.fft.fft2(start) * growth).real[:, :48, :48], 0.01))
    assert "pixels that are not square" in result.verdict


def test_rows_that_drift_are_a_misfit_of_at_most_all() -> None:
    rows = 0.01 * np.arange(40)[:, None] * np.ones(40) + 0.1 * np.arange(30)[:, None, None]
    result = recover(rows)
    assert not result.fits
    assert result.unexplained <= 1


@pytest.mark.parametrize("option", ["dx", "interval"])
def test_units_that_overflow_are_refused(option: str) -> None:
    with pytest.raises(InputError, match="use units in which it is between"):
        recover(window(), **{option: 1e-200})


def test_the_simulated_data_sets(tmp_path: Path) -> None:
    """Each with its own interval and its own true coefficients, by the names that are printed."""
    heat_job = VoronoiHeatJob.model_validate({"seed": 5, "data": SMALL_HEAT})
    dataset.simulate(heat_job, tmp_path / "heat.zarr")
    video = read_video(tmp_path / "heat.zarr", sim=2)
    result = recover_video(video, dx=video.dx or 0, interval=video.interval or 0)[0]
    assert video.interval == pytest.approx(0.25)
    assert result.coefficients[0].truth == video.truth["kappa"]
    assert abs(result.coefficients[0].value / video.truth["kappa"] - 1) < 0.02

    drawn = {
        name: {"start": 1.0, "interval": interval, **{p: {"low": v, "high": 1.1 * v} for p, v in parameters.items()}}
        for name, interval, parameters in (
            ("fisher_kpp", 0.3, {"kappa": 0.8, "r": 0.15}),
            ("allen_cahn", 0.1, {"M": 0.6, "eps2": 2.0}),
            ("cahn_hilliard", 0.4, {"M": 0.5, "eps2": 1.5}),
            ("gray_scott", 2.0, {"D_u": 0.16, "D_v": 0.08, "F": 0.04, "k": 0.06}),
        )
    }
    job = OtherPhysicsJob(seed=1, physics_data={"size": 32, "dx": 1.0, "frames": 30, "simulations": 1, **drawn})
    physics_dataset.simulate(job, tmp_path / "other.zarr")
    for sim, physics in enumerate(("fisher", "allen_cahn")):
        video = read_video(tmp_path / "other.zarr", sim=sim, variable="u")
        result = recover_video(video, dx=video.dx or 0, interval=video.interval or 0, physics=physics)[0]
        assert video.interval == (0.3, 0.1)[sim]
        for item in result.coefficients:
            assert item.truth is not None
            assert item.value == pytest.approx(item.truth, rel=0.01)


def test_clipped_pixels_decide_nothing() -> None:
    """An Allen-Cahn film whose bulk phases are clipped asks for a term that clipping alone makes."""
    frames, interval, _ = reacting("allen_cahn")
    clipped = Video(np.clip(noisy(frames, 0.02), -0.9, 0.9), "clipped", bits=8, levels=(-0.9, 0.9))
    result = recover_video(clipped, dx=1.0, interval=interval, physics="allen_cahn")[0]
    assert not result.fits
    assert result.verdict.startswith("not decided:")


def test_time_as_the_last_axis_is_suspected() -> None:
    swapped = np.moveaxis(noisy(window()[:21], 0.01), 0, -1)
    assert any("np.moveaxis" in note for note in recover(swapped).notes)
    assert not any("np.moveaxis" in note for note in recover(noisy(window()[:21], 0.01)).notes)


def test_values_that_cannot_be_the_field_are_mentioned() -> None:
    frames, interval, _ = reacting("allen_cahn")
    for pixels, mentioned in ((frames, False), ((frames + 1) / 2, True), (3 * frames, True)):
        result = recover_video(Video(noisy(pixels, 0.01), "x"), dx=1.0, interval=interval, physics="allen_cahn")[0]
        assert any("field values black and white" in note for note in result.notes) == mentioned
