"""Reading videos: every kind of file, their units and orientation, and one sentence for each bad input."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import imageio.v3
import numpy as np
import pytest
import tifffile
import xarray as xr
import zarr

from phasemill.core.errors import InputError
from phasemill.core.video import read_video

RNG = np.random.default_rng(0)
FIELD = RNG.random((9, 20, 18))
BYTES = np.round(255 * FIELD).astype(np.uint8)
PICTURES = BYTES.transpose(0, 2, 1)[:, ::-1]  # the same in rows from top to bottom


def dataset(**extra: Any) -> xr.Dataset:
    """Two simulations, axes in another order, with coordinates and true kappa."""
    return xr.Dataset(
        {"phi": (("sim", "x", "y", "time"), np.stack([FIELD, 2 * FIELD]).transpose(0, 2, 3, 1)), **extra},
        coords={"time": 0.25 * np.arange(9), "x": 0.5 * np.arange(20), "kappa": ("sim", [0.3, 0.6])},
    )


def test_numpy_files_are_taken_as_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", FIELD.astype(np.float32))
    np.savez(tmp_path / "a.npz", other=np.zeros(3), film=FIELD)
    single = read_video(tmp_path / "a.npy")
    assert (single.frames == FIELD.astype(np.float32)).all()
    assert single.frames.dtype == np.float64
    assert (single.bits, single.quantum, single.lossy) == (None, 0.0, False)
    assert (read_video(tmp_path / "a.npz", variable="film").frames == FIELD).all()


def test_zarr_of_the_pipeline(tmp_path: Path) -> None:
    dataset().to_zarr(tmp_path / "a.zarr", consolidated=False)
    video = read_video(tmp_path / "a.zarr", sim=1)
    np.testing.assert_array_equal(video.frames, 2 * FIELD)
    assert (video.interval, video.dx, video.truth) == (0.25, 0.5, {"kappa": 0.6})


def test_zarr_with_an_interval_for_each_simulation(tmp_path: Path) -> None:
    """Time counts frames; some simulations have no kappa."""
    stored = dataset().assign_coords(
        time=np.arange(9), interval=("sim", [0.3, 0.7]), kappa=("sim", [0.3, np.nan]), eps2=("sim", [1.0, 2.0])
    )
    stored.to_zarr(tmp_path / "a.zarr", consolidated=False)
    video = read_video(tmp_path / "a.zarr", sim=1)
    assert video.interval == 0.7
    assert video.truth.get("eps2") == 2.0
    assert "kappa" not in video.truth
    assert video.name == "a.zarr, simulation 1"


def test_time_that_counts_frames_is_no_interval(tmp_path: Path) -> None:
    dataset().assign_coords(time=np.arange(9)).to_zarr(tmp_path / "a.zarr", consolidated=False)
    assert read_video(tmp_path / "a.zarr", sim=0).interval is None


@pytest.mark.parametrize("ending", ["npy", "zarr", "tif", "gif"])
def test_frames_after_the_last_that_is_used_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr("phasemill.core.video.MAX_FRAMES", 8)
    save = {
        "npy": lambda path: np.save(path, FIELD),
        "zarr": lambda path: zarr.save(str(path), FIELD),
        "tif": lambda path: tifffile.imwrite(path, PICTURES),
        "gif": lambda path: imageio.v3.imwrite(path, PICTURES, plugin="pillow"),
    }
    save[ending](tmp_path / f"a.{ending}")
    video = read_video(tmp_path / f"a.{ending}")
    assert (len(video.frames), video.longer) == (8, True)


def test_more_than_fits_into_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phasemill.core.video.MAX_VALUES", FIELD.size - 1)
    np.save(tmp_path / "a.npy", FIELD)
    with pytest.raises(InputError, match="9 x 20 x 18 values, more than fit into memory: cut out a part"):
        read_video(tmp_path / "a.npy")


def test_frames_have_a_fingerprint(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", FIELD)
    np.save(tmp_path / "b.npy", spoilt(value=0.5))
    one, same, other = (read_video(tmp_path / name).sha256 for name in ("a.npy", "a.npy", "b.npy"))
    assert one == same != other


def test_plain_zarr_array(tmp_path: Path) -> None:
    zarr.save(str(tmp_path / "a.zarr"), FIELD)
    assert (read_video(tmp_path / "a.zarr").frames == FIELD).all()


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 16), (np.float32, None)])
def test_tiff_stacks_keep_their_depth_and_stand_upright(tmp_path: Path, dtype: Any, bits: int | None) -> None:
    white = np.iinfo(dtype).max if bits else 1
    tifffile.imwrite(tmp_path / "a.tif", (white * (PICTURES / 255.0)).astype(dtype))
    video = read_video(tmp_path / "a.tif")
    np.testing.assert_allclose(video.frames, BYTES / 255.0, atol=1.01 / white if bits else 1e-6)
    assert video.bits == bits
    assert video.quantum == pytest.approx(1 / white / np.sqrt(12) if bits else 0)


def test_values_of_black_and_white(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PICTURES)
    video = read_video(tmp_path / "a.tif", values=(-1, 3))
    np.testing.assert_allclose(video.frames, -1 + 4.0 * BYTES / 255)
    assert video.levels == (-1, 3)


def test_colour_becomes_luminance(tmp_path: Path) -> None:
    coloured = np.stack([PICTURES, PICTURES // 2, np.zeros_like(PICTURES)], -1)
    tifffile.imwrite(tmp_path / "a.tif", coloured, photometric="rgb")
    expected = (0.2126 * BYTES + 0.7152 * (BYTES // 2)) / 255
    np.testing.assert_allclose(read_video(tmp_path / "a.tif").frames, expected, atol=1e-12)


@pytest.mark.parametrize(("ending", "codec"), [("mp4", "libx264"), ("avi", "mpeg4")])
def test_films(tmp_path: Path, ending: str, codec: str) -> None:
    x = np.linspace(0, 3, 32)
    smooth = np.array([np.sin(x + 0.1 * t)[:, None] * np.cos(0.5 * x) for t in range(12)])
    pixels = np.round(100 + 80 * smooth).astype(np.uint8)
    pictures = np.repeat(pixels.transpose(0, 2, 1)[:, ::-1, :, None], 3, -1)
    imageio.v3.imwrite(tmp_path / f"a.{ending}", pictures, plugin="pyav", codec=codec, fps=10)
    video = read_video(tmp_path / f"a.{ending}")
    assert video.frames.shape == pixels.shape
    assert (video.bits, video.lossy) == (8, True)
    assert np.abs(video.frames - pixels / 255).mean() < 0.02


def test_gif_is_not_lossy(tmp_path: Path) -> None:
    imageio.v3.imwrite(tmp_path / "a.gif", PICTURES, plugin="pillow")
    video = read_video(tmp_path / "a.gif")
    assert not video.lossy
    np.testing.assert_allclose(video.frames, BYTES / 255.0, atol=2 / 255)


def spoilt(**changes: float) -> np.ndarray:
    """FIELD with frame 4 changed."""
    field = FIELD.copy()
    field[4, 1, 1] = changes["value"]
    return field


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (FIELD[:7], "has 7 frames: give at least 8"),
        (FIELD[:, :15], "has frames of 15 x 18: give at least 16 cells a side"),
        (FIELD[0], r"holds an array of shape \(20, 18\): give one video as \(time, x, y\)"),
        (spoilt(value=np.nan), "frame 4 has values that are not finite"),
        (spoilt(value=np.inf), "frame 4 has values that are not finite"),
        (np.ones((9, 20, 18)), "all frames are equal"),
        (np.arange(9.0)[:, None, None] * np.ones((9, 20, 18)), "every frame is uniform"),
        (FIELD + 1j, "holds complex128 values: give real numbers"),
        (np.array([{"a": 1}], dtype=object), r"is not a plain NumPy file of numbers: write one with numpy\.save"),
        ((100 * FIELD).astype(np.int16), "signed integers are not clear, save them as unsigned"),
        (1e200 * FIELD, r"values up to 1e\+200: use other units"),
        (1e-200 * FIELD, "values up to 1e-200: use other units"),
    ],
)
def test_what_is_no_video_is_one_sentence(tmp_path: Path, content: np.ndarray, sentence: str) -> None:
    np.save(tmp_path / "a.npy", content)
    with pytest.raises(InputError, match=sentence):
        read_video(tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.tif", "a.mp4", "a.gif", "a.zarr"])
def test_broken_files_are_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("this is no video")
    with pytest.raises(InputError, match=rf"a\.{name[2:]} (cannot be read as|is not a plain)") as caught:
        read_video(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert re.search(r"encode it anew|write it anew|write one with numpy.save", str(caught.value))
    assert "unsafe" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("none.npy", {}, "does not exist"),
        ("a.txt", {}, r"unknown ending '\.txt': give one of \.zarr, \.npy"),
        ("a.npy", {"sim": 1}, "--sim is for .zarr, not for a.npy"),
        ("a.npy", {"variable": "phi"}, "--variable is for .zarr and .npz"),
        ("a.npy", {"values": (0, 1)}, "--values is for integer pixels"),
        ("a.tif", {"values": (1, 1)}, "give two different numbers"),
        ("a.npz", {}, "has several arrays: choose one with --variable"),
        ("a.npz", {"variable": "flm"}, "did you mean 'film'"),
        ("a.zarr", {}, "holds 2 simulations: choose one with --sim 0 ... 1"),
        ("a.zarr", {"sim": 2}, "--sim is 2, but .* holds the simulations 0 ... 1"),
        ("a.zarr", {"sim": 0, "variable": "psi"}, "did you mean 'phi'"),
        ("uneven.zarr", {"sim": 0}, "time are not evenly spaced"),
        ("deep.zarr", {}, "has the further axes z"),
        ("flat.zarr", {}, "has no variables with dims time, x, y"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(tmp_path: Path, name: str, options: Any, sentence: str) -> None:
    np.save(tmp_path / "a.npy", FIELD)
    np.savez(tmp_path / "a.npz", other=np.zeros(3), film=FIELD)
    tifffile.imwrite(tmp_path / "a.tif", PICTURES)
    (tmp_path / "a.txt").touch()
    if name.endswith("zarr"):
        kinds = {
            "a.zarr": dataset(),
            "uneven.zarr": dataset().assign_coords(time=np.arange(9.0) ** 2),
            "deep.zarr": xr.Dataset({"phi": (("time", "x", "y", "z"), FIELD[..., None])}),
            "flat.zarr": xr.Dataset({"mean": ("time", FIELD.mean((1, 2)))}),
        }
        kinds[name].to_zarr(tmp_path / name, consolidated=False)
    with pytest.raises(InputError, match=sentence):
        read_video(tmp_path / name, **options)
