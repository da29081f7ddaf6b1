"""Read a video of any common kind into one array (time, x, y), float64.

Pictures (.tif, .mp4, .gif, .avi ...) are turned so that x runs to the right and y upwards; colour becomes luminance.
Integer pixels are mapped linearly, black to 0 and white to 1 unless told otherwise; other numbers stay as they are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.core.fields import LUMINANCE, STACKS, checked_ending, choose, numpy_array, one_simulation, open_group

Floats = NDArray[np.float64]

MIN_FRAMES, MIN_CELLS = 8, 16
MAX_FRAMES, MAX_VALUES = 400, 200_000_000
"""Frames that are read, and most pixels in them: 8 bytes each, several times over."""
LARGEST, SMALLEST = 1e20, 1e-20
"""Bounds of the field's values: their powers must be numbers too."""
FILMS = (".mp4", ".gif", ".avi", ".mov", ".mkv", ".webm", ".m4v")
KNOWN = (".zarr", ".npy", ".npz", *STACKS, *FILMS)


@dataclass(frozen=True)
class Video:
    """Frames and what their file says about them."""

    frames: Floats
    """(time, x, y)"""
    name: str
    """Of the file, and what was chosen in it."""
    lossy: bool = False
    """Whether the file is a compressed film, whose errors are no white noise."""
    bits: int | None = None
    """Per pixel, if the file holds integers; frames are then in units of `levels`."""
    levels: tuple[float, float] | None = None
    """Field values of black and of white, if the file holds integers."""
    dx: float | None = None
    interval: float | None = None
    substeps: int | None = None
    """Euler steps between two frames, for simulated data."""
    truth: dict[str, float] = field(default_factory=dict)
    """True coefficients, where the file knows them, by names such as kappa or eps2."""
    longer: bool = False
    """Whether the file has more than `MAX_FRAMES` frames, which are not read."""

    @property
    def sha256(self) -> str:
        """Fingerprint of the frames."""
        return hashlib.sha256(np.ascontiguousarray(self.frames).data).hexdigest()

    def scales(self, dx: float | None, dt: float | None, prefix: str = "") -> tuple[float, float]:
        """Size of a pixel and time between two frames: as given, or else as the file says.

        Raises InputError if neither says it; options are named with the prefix.
        """
        found = (dx if dx is not None else self.dx, dt if dt is not None else self.interval)
        names = (("dx", "the size of a pixel"), ("dt", "the time between two frames"))
        for (option, what), value in zip(names, found, strict=True):
            if value is None:
                raise InputError(f"{self.name} does not say {what}: give {prefix}{option}")
        return float(found[0] or 0), float(found[1] or 0)

    @property
    def quantum(self) -> float:
        """Standard deviation of the rounding to whole pixel values; 0 for floating-point files."""
        if self.bits is None or self.levels is None:
            return 0.0
        return float(abs(self.levels[1] - self.levels[0]) / (2**self.bits - 1) / np.sqrt(12))


def read_video(
    path: Path | str, *, sim: int | None = None, variable: str | None = None,
    values: tuple[float, float] | None = None,
) -> Video:  # fmt: skip
    """Read and check a video.

    Arguments:
        path: a Zarr group or array, .npy, .npz, a TIFF stack, or a film.
        sim: simulation number, for a data set with several.
        variable: name of the array in a .zarr or .npz with several.
        values: field values of black and of white, for integer pixels; default 0 and 1.

    Raises InputError, one sentence, for what cannot be read and for what is no video of an evolving field.
    """
    path = Path(path)
    options = (("--sim", sim, (".zarr",)), ("--variable", variable, (".zarr", ".npz")))
    suffix = checked_ending(path, "video", KNOWN, options)
    facts: dict[str, Any] = {}
    try:
        if suffix == ".zarr":
            raw, facts = _zarr(path, sim, variable)
        else:
            raw = _pictures(path, suffix) if suffix in (*STACKS, *FILMS) else numpy_array(path, variable, mapped=True)
    except InputError:
        raise
    except Exception as error:  # whatever a foreign or broken file raises in one of five readers
        remedy = (
            "encode it anew, or save it as .tif or .npy" if suffix in FILMS else "write it anew, or save it as .npy"
        )
        raise InputError(
            f"{path} cannot be read as {suffix[1:]}, it may be damaged or of another kind: {remedy}"
        ) from error
    if raw.dtype.kind not in "fub":
        integers = (
            "black and white of signed integers are not clear, save them as unsigned or as floating-point numbers"
        )
        raise InputError(
            f"{path} holds {raw.dtype} values: {integers if raw.dtype.kind == 'i' else 'give real numbers'}"
        )
    longer = raw.ndim > 0 and len(raw) > MAX_FRAMES
    raw = raw[:MAX_FRAMES] if longer else raw
    _affordable(path, raw.shape)
    name = ", ".join(
        [path.name, *([f"simulation {sim}"] if sim is not None else []), *([variable] if variable else [])]
    )
    frames = _upright(raw, path) if suffix in (*STACKS, *FILMS) else raw
    bits = {"f": None, "b": 1, "u": 8 * raw.dtype.itemsize}[raw.dtype.kind] if suffix not in FILMS else 8
    frames = check_frames(np.asarray(frames, dtype=np.float64), path)
    if bits is None:
        if values is not None:
            raise InputError(f"--values is for integer pixels, but {path} holds {raw.dtype}: scale the array yourself")
        return Video(frames, name, longer=longer, **facts)
    black, white = values or (0.0, 1.0)
    if not (np.isfinite([black, white]).all() and black != white):
        raise InputError(f"--values is {black} {white}: give two different numbers, for black and for white")
    frames = black + (white - black) / (2**bits - 1) * frames
    lossy = suffix in FILMS and suffix != ".gif"
    return Video(frames, name, lossy, bits, (black, white), longer=longer, **facts)


def _zarr(path: Path, sim: int | None, variable: str | None) -> tuple[NDArray[Any], dict[str, Any]]:
    import zarr

    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Array):
        _affordable(path, node.shape)
        return np.asarray(node[: MAX_FRAMES + 1]), {}
    dataset = open_group(path)
    fields = [str(name) for name, array in dataset.data_vars.items() if {"time", "x", "y"} <= set(array.dims)]
    name = choose(path, variable, fields, "variables with dims time, x, y")
    array = one_simulation(dataset[name], path, sim)
    if extra := set(array.dims) - {"time", "x", "y"}:
        raise InputError(f"{path}: {name} has the further axes {', '.join(map(str, extra))}: store one video alone")
    facts: dict[str, Any] = {"interval": interval_of(array, path), "dx": spacing_of(array, "x", path)}
    known = {str(name): float(c) for name, c in array.coords.items() if c.ndim == 0 and c.dtype.kind == "f"}
    truth = {name: value for name, value in known.items() if np.isfinite(value)}
    if "save_every" in dataset.attrs and "subdivisions" in dataset:
        divided = (
            dataset.subdivisions.isel(sim=sim or 0) if "sim" in dataset.subdivisions.dims else dataset.subdivisions
        )
        facts["substeps"] = int(dataset.attrs["save_every"]) * int(divided)
    array = array.transpose("time", "x", "y")
    _affordable(path, array.shape)
    return np.asarray(array[: MAX_FRAMES + 1].values), {**facts, "truth": truth}


def _affordable(path: Path, shape: tuple[int, ...]) -> None:
    count = int(np.prod((min(shape[0], MAX_FRAMES), *shape[1:]))) if shape else 0
    if count > MAX_VALUES:
        size = " x ".join(map(str, shape))
        raise InputError(f"{path} holds {size} values, more than fit into memory: cut out a part of each frame")


def interval_of(array: Any, path: Path) -> float | None:
    """Time between frames: a coordinate `interval` of the simulation, else the time axis, unless it counts frames."""
    if "interval" in array.coords and array.interval.ndim == 0:
        return float(array.interval)
    spacing = spacing_of(array, "time", path)
    counts = "time" in array.coords and array.time.dtype.kind in "iu" and spacing == 1
    return None if counts else spacing


def spacing_of(array: Any, axis: str, path: Path) -> float | None:
    if axis not in array.coords or array.sizes[axis] < 2:
        return None
    steps = np.diff(np.asarray(array[axis].values, dtype=float))
    if not np.allclose(steps, steps[0], rtol=1e-6, atol=0) or steps[0] <= 0:
        raise InputError(f"{path}: the values of {axis} are not evenly spaced and rising: resample the video")
    return float(steps.mean())


def _pictures(path: Path, suffix: str) -> NDArray[Any]:
    """Frames (time, row, column) or (time, row, column, colour)."""
    if suffix in STACKS:
        import tifffile

        return np.asarray(tifffile.imread(path))
    import imageio.v3

    frames = []
    for picture in islice(imageio.v3.imiter(path, plugin="pyav", format="rgb24"), MAX_FRAMES + 1):
        frames.append(picture @ np.array(LUMINANCE))
        _affordable(path, (len(frames), *frames[0].shape))
    return np.stack(frames)


def _upright(frames: NDArray[Any], path: Path) -> NDArray[Any]:
    """(time, x, y) with y upwards; a colour axis of 3 or 4 becomes luminance."""
    if frames.ndim == 4 and frames.shape[-1] in (3, 4):
        frames = frames[..., :3] @ np.array(LUMINANCE)
    if frames.ndim != 3:
        raise InputError(f"{path} holds an array of shape {frames.shape}: give a stack of pictures (time, row, column)")
    return frames[:, ::-1].transpose(0, 2, 1)


def check_frames(frames: Floats, path: Path) -> Floats:
    """Refuse what is no video of an evolving field."""
    if frames.ndim != 3:
        raise InputError(f"{path} holds an array of shape {frames.shape}: give one video as (time, x, y)")
    if len(frames) < MIN_FRAMES:
        raise InputError(f"{path} has {len(frames)} frames: give at least {MIN_FRAMES}")
    if min(frames.shape[1:]) < MIN_CELLS:
        raise InputError(
            f"{path} has frames of {frames.shape[1]} x {frames.shape[2]}: give at least {MIN_CELLS} cells a side"
        )
    size = float(np.abs(frames).max())
    if np.isfinite(size) and not SMALLEST < size < LARGEST and size > 0:
        raise InputError(f"{path} holds values up to {size:.0e}: use other units, values near 1 are best")
    finite = np.isfinite(frames).all(axis=(1, 2))
    if not finite.all():
        raise InputError(f"{path}: frame {np.argmin(finite)} has values that are not finite: repair or leave it out")
    if (frames == frames[0]).all():
        raise InputError(f"{path}: all frames are equal, so nothing can be recovered: give a field that evolves")
    if (frames == frames[:, :1, :1]).all():
        raise InputError(
            f"{path}: every frame is uniform, so nothing can be recovered: give a field that varies in space"
        )
    return frames
