"""`phasemill.recover`: coefficients with error bars from an array in memory, without files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from phasemill.core import video as reading
from phasemill.core.errors import InputError
from phasemill.core.video import MAX_FRAMES, Video
from phasemill.transport.video.equations import Physics
from phasemill.transport.video.recovery import Boundary, Direction, Intensity, Recovery, recover_video

AXES = ("time", "x", "y")


def recover(
    video: xr.DataArray | ArrayLike, *, dx: float | None = None, dt: float | None = None, physics: Physics = "heat",
    direction: Direction = "auto", boundary: Boundary = "crop", intensity: Intensity = "identity",
) -> Recovery:  # fmt: skip
    """The coefficients of an equation in a video, with standard deviations, and whether the equation fits at all.

    Arguments
    ---------
    video: (time, x, y), in units of the field: an array, or a DataArray, whose coordinates then tell dx and dt, and
        the truth if they hold it.
    dx, dt: size of a pixel, and time between two frames.
    physics: `heat` (kappa), `fisher` (kappa, r), `allen_cahn` or `cahn_hilliard` (M, eps^2).
    direction: `sharpening` for a video in which time runs backwards; `auto` finds out.
    boundary: `crop` uses nothing about the border; `periodic` and `neumann` (heat alone) are more precise.
    intensity: how pixels follow the field: `identity`, `affine` (unknown gain and offset) or `gamma` (heat alone).

    Returns the `Recovery`: `coefficients` with name, value and sigma, `fits`, `verdict`, `chi2`, `notes`, and more.

    Raises InputError, one sentence with the remedy, for what cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> import phasemill
    >>> t, x = np.arange(12.0), np.arange(32) * 2 * np.pi / 32
    >>> waves = [np.cos(k * x)[:, None] * np.cos(l * x) for k, l in ((1, 2), (2, 1), (3, 2))]
    >>> rates = [4 * (np.sin(k * np.pi / 32) ** 2 + np.sin(l * np.pi / 32) ** 2) for k, l in ((1, 2), (2, 1), (3, 2))]
    >>> film = sum(np.exp(-0.4 * rate * t)[:, None, None] * wave for rate, wave in zip(rates, waves))
    >>> film += np.random.default_rng(0).normal(0, 0.001, film.shape)
    >>> kappa = phasemill.recover(film, dx=1.0, dt=1.0).coefficients[0]
    >>> abs(kappa.value - 0.4) < 3 * kappa.sigma < 0.02
    True
    """
    found = _video(video)
    dx, interval = found.scales(dx, dt)
    result, _ = recover_video(
        found, dx=dx, interval=interval, physics=physics, direction=direction, boundary=boundary, intensity=intensity
    )
    return result


def _video(array: Any) -> Video:
    """The array as the reader of files would give it."""
    facts: dict[str, Any] = {}
    name = "the array"
    if isinstance(array, xr.Dataset):
        raise InputError("recover takes one array: choose a variable and a simulation, such as ds.phi.isel(sim=0)")
    if isinstance(array, xr.DataArray):
        name = str(array.name or name)
        if set(array.dims) != set(AXES):
            raise InputError(f"{name} has the axes {', '.join(map(str, array.dims))}: give one video (time, x, y)")
        array = array.transpose(*AXES)
        coords = {str(key): one for key, one in array.coords.items() if one.ndim == 0 and one.dtype.kind == "f"}
        facts = {
            "dx": reading.spacing_of(array, "x", Path(name)),
            "interval": reading.interval_of(array, Path(name)),
            "truth": {key: float(one) for key, one in coords.items() if np.isfinite(one)},
        }
    raw = np.asarray(array[: MAX_FRAMES + 1]) if np.ndim(array) else np.atleast_1d(array)
    if raw.dtype.kind != "f":
        raise InputError(f"{name} holds {raw.dtype} values: convert it to floating-point numbers in units of the field")
    frames = reading.check_frames(np.asarray(raw[:MAX_FRAMES], np.float64), Path(name))
    return Video(frames, name, longer=len(raw) > MAX_FRAMES, **facts)
