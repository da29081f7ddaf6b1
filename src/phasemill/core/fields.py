"""Read one field, 2-D or 3-D, of any common kind into an array (x, y[, z]), float64.

Pictures (.tif) are turned so that x runs to the right and y upwards; the pages of a stack follow each other along z.
Integers, such as the grey values of a picture or the labels of a segmentation, are stretched to 0 ... 1.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.core.errors import InputError, unknown
from phasemill.core.vti import read_vti

Floats = NDArray[np.float64]
log = logging.getLogger("phasemill")

LUMINANCE = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709
STACKS = (".tif", ".tiff")
KNOWN = (".npy", ".npz", ".zarr", *STACKS, ".vti")
NAMED = (".npz", ".zarr", ".vti")
"""Kinds of files that hold several arrays by name."""
AXES = ("x", "y", "z")


@dataclass(frozen=True)
class Field:
    """A field and what its file says about it."""

    values: Floats
    """(x, y) or (x, y, z)"""
    name: str
    """Of the file, and what was chosen in it."""
    dx: float | None = None
    """Size of a cell."""
    notes: list[str] = field(default_factory=list)
    """What was chosen or changed on the way, one sentence each."""

    @property
    def sha256(self) -> str:
        """Fingerprint of the values."""
        return hashlib.sha256(np.ascontiguousarray(self.values).data).hexdigest()


def read_field(
    path: Path | str, *, variable: str | None = None, sim: int | None = None, time: float | None = None
) -> Field:
    """Read and check a field.

    Arguments:
        path: .npy, .npz, a Zarr group or array, a TIFF picture or stack, or VTK image data.
        variable: name of the array, in a file with several.
        sim: simulation number, in a Zarr group with several.
        time: the frame nearest to this time, in a Zarr group with a time axis; default: the last.

    Raises InputError, one sentence, for what cannot be read and for what is no field.
    """
    path = Path(path)
    options = (("--variable", variable, NAMED), ("--sim", sim, (".zarr",)), ("--time", time, (".zarr",)))
    suffix = checked_ending(path, "field", KNOWN, options)
    dx: float | None = None
    chosen: list[str] = []
    try:
        if suffix == ".zarr":
            raw, dx, chosen = _zarr(path, variable, sim, time)
        elif suffix == ".vti":
            arrays, spacing = read_vti(path)
            raw, dx = arrays[choose(path, variable, list(arrays), "scalar arrays")], _one(spacing, path)
        else:
            raw = _picture(path) if suffix in STACKS else numpy_array(path, variable)
    except InputError:
        raise
    except Exception as error:  # whatever a foreign or broken file raises in one of five readers
        raise InputError(
            f"{path} cannot be read as {suffix[1:]}, it may be damaged or of another kind: write it anew, or as .npy"
        ) from error
    values, note = as_field(raw, str(path))
    name = ", ".join(
        [path.name, *([variable] if variable else []), *([f"simulation {sim}"] if sim is not None else [])]
    )
    return Field(values, name, dx, [*chosen, *([note] if note else [])])


def checked_ending(
    path: Path, what: str, known: Sequence[str], options: Iterable[tuple[str, object, Sequence[str]]]
) -> str:
    """The ending of a file in lower case.

    Arguments:
        what: `field` or `video`, for the messages.
        known: all endings that can be read.
        options: name, value (None if it is not given) and the endings that it is for.

    Raises InputError for a file that is not there, empty or of another kind, and for an option of other kinds.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist: give the path of a {what} ({', '.join(known)})")
    suffix = path.suffix.lower()
    if suffix not in known:
        raise InputError(f"{path} has the unknown ending '{path.suffix}': give one of {', '.join(known)}")
    for option, given, kinds in options:
        if given is not None and suffix not in kinds:
            raise InputError(f"{option} is for {' and '.join(kinds)}, not for {path.name}: leave it out")
    if path.is_file() and not path.stat().st_size:
        raise InputError(f"{path} is empty: write it anew")
    return suffix


def as_field(raw: NDArray[Any], name: str) -> tuple[Floats, str]:
    """The array as a field in float64, and a sentence about what was changed.

    Raises InputError for what is no 2-D or 3-D field of finite, real, varying numbers.
    """
    if raw.dtype.kind not in "fiub":
        raise InputError(f"{name} holds {raw.dtype} values: give real numbers")
    if raw.ndim not in (2, 3) or min(raw.shape) < 4:
        shape = " x ".join(map(str, raw.shape)) or "a single number"
        raise InputError(f"{name} has the shape {shape}: give one 2-D or 3-D field of at least 4 cells per side")
    values = np.array(raw, dtype=np.float64, order="C")
    if bad := np.count_nonzero(~np.isfinite(values)):
        raise InputError(f"{name} has {bad} values that are not finite (NaN or infinite): repair them")
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise InputError(f"{name} is {low:g} everywhere, so nothing would evolve: give a field that varies")
    if raw.dtype.kind == "f":
        return values, ""
    note = "" if (low, high) == (0, 1) else f"the integers {low:g} ... {high:g} of {name} are stretched to 0 ... 1"
    return (values - low) / (high - low), note


def open_group(path: Path) -> Any:
    """Any Zarr group as an xarray Dataset, lazily; one without consolidated metadata as well."""
    import xarray as xr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about metadata that are not consolidated: harmless
        return xr.open_zarr(path, chunks=None)


def choose(path: Path, variable: str | None, names: list[str], kind: str) -> str:
    """The one of `names` that is wanted, or the only one."""
    if variable is not None:
        if variable not in names:
            raise InputError(f"{path}: {unknown(variable, names, 'variable')}")
        return variable
    if len(names) != 1:
        found = f"has several {kind}: choose one with --variable" if names else f"has no {kind}"
        raise InputError(f"{path} {found} ({', '.join(names) or 'nothing of that kind'})")
    return names[0]


def field_variable(dataset: Any, path: Path, variable: str | None) -> Any:
    """The variable with the axes x, y[, z], in this order after sim and time; `phi` goes first among several."""
    fields = [str(name) for name, array in dataset.data_vars.items() if {"x", "y"} <= set(array.dims)]
    wanted = "phi" if variable is None and "phi" in fields else variable
    array = dataset[choose(path, wanted, fields, "variables with the axes x, y")]
    if extra := set(array.dims) - {"sim", "time", *AXES}:
        raise InputError(
            f"{path}: {array.name} has the further axes {', '.join(map(str, extra))}: store one field alone"
        )
    return array.transpose(*(d for d in ("sim", "time", *AXES) if d in array.dims))


def one_simulation(array: Any, path: Path, sim: int | None) -> Any:
    """The array without its axis `sim`."""
    if "sim" not in array.dims:
        if sim is not None:
            raise InputError(f"{path} has no axis sim: leave --sim out")
        return array
    count = array.sizes["sim"]
    if sim is None and count > 1:
        raise InputError(f"{path} holds {count} simulations: choose one with --sim 0 ... {count - 1}")
    if not 0 <= (sim or 0) < count:
        raise InputError(f"--sim is {sim}, but {path} holds the simulations 0 ... {count - 1}")
    return array.isel(sim=sim or 0)


def nearest_frame(array: Any, path: Path, time: float | None) -> int:
    """Number of the frame nearest to `time`; the last one if no time is asked for."""
    last = array.sizes["time"] - 1
    if time is None:
        return int(last)
    times = np.asarray(array["time"].values, dtype=float)  # xarray counts where there is no coordinate
    if not times.min() <= time <= times.max():
        raise InputError(f"--time is {time:g}, but {path} spans t = {times.min():g} to {times.max():g}")
    return int(np.abs(times - time).argmin())


def cell_size(array: Any, path: Path) -> float | None:
    """The spacing of x, y[, z], if the coordinates are there; unequal cells are refused."""
    spacings = []
    for axis in AXES:
        if axis in array.coords and array.sizes.get(axis, 0) > 1:
            steps = np.diff(np.asarray(array[axis].values, dtype=float))
            if not np.allclose(steps, steps[0], rtol=1e-4, atol=0) or steps[0] <= 0:
                raise InputError(f"{path}: the values of {axis} are not evenly spaced and rising: resample the field")
            spacings.append(float(steps.mean()))
    return _one(tuple(spacings), path) if spacings else None


def _one(spacing: tuple[float, ...], path: Path) -> float:
    if not np.allclose(spacing, spacing[0], rtol=1e-4, atol=0):
        sizes = " x ".join(f"{d:g}" for d in spacing)
        raise InputError(f"{path} has cells of {sizes}: resample the field to cells with equal sides")
    return float(f"{spacing[0]:.12g}")  # a mean of differences carries rounding errors


def _zarr(
    path: Path, variable: str | None, sim: int | None, time: float | None
) -> tuple[NDArray[Any], float | None, list[str]]:
    import zarr

    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Array):
        return np.asarray(node[:]), None, []
    array = one_simulation(field_variable(open_group(path), path, variable), path, sim)
    notes = []
    if "time" in array.dims:
        number = nearest_frame(array, path, time)
        array = array.isel(time=number)
        notes = [
            f"the frame at t = {float(array.time):g} of {path} is taken"
            if "time" in array.coords
            else f"frame {number} of {path} is taken"
        ]
    elif time is not None:
        raise InputError(f"{path} has no axis time: leave --time out")
    return np.asarray(array.values), cell_size(array, path), notes


def numpy_array(path: Path, variable: str | None, *, mapped: bool = False) -> NDArray[Any]:
    """The array of a .npy file, or the one that is wanted of a .npz; `mapped`: a .npy is read only where it is used."""
    try:
        content = np.load(path, allow_pickle=False, mmap_mode="r" if mapped else None)
    except (ValueError, EOFError, zipfile.BadZipFile):
        raise InputError(
            f"{path} is not a plain NumPy file of numbers: write one with numpy.save(path, array)"
        ) from None
    if isinstance(content, np.ndarray):
        return content
    with content:
        return np.asarray(content[choose(path, variable, content.files, "arrays")])


def _picture(path: Path) -> NDArray[Any]:
    """(x, y) or (x, y, z) from rows and columns, and pages."""
    import tifffile

    with tifffile.TiffFile(path) as stored:
        axes, pages = stored.series[0].axes, np.asarray(stored.series[0].asarray())
    if axes.endswith("S"):
        grey = pages[..., :3] @ np.array(LUMINANCE) if pages.shape[-1] >= 3 else pages[..., 0]
        pages = np.rint(grey).astype(np.int64) if pages.dtype.kind in "iu" else grey
    if pages.ndim not in (2, 3):
        raise InputError(f"{path} holds an array of shape {pages.shape}: give a picture or a stack of pictures")
    return pages[..., ::-1, :].T if pages.ndim == 2 else pages[:, ::-1].transpose(2, 1, 0)
