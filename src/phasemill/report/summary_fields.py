"""What the stores of all wings say in the same words: errors, energies, sizes of domains, coefficients.

A benchmark's `fields.zarr` takes part in a section of the summary by what it holds, whoever made it:

| section | variables, dims (sim[, model][, time or frame]) |
|---|---|
| energy | `energy` or `energy_density` with `…_truth` (or `…_prediction`, then the bare name is the truth's) |
| size | `mean_radius`, `radius` or `wavelength`, in the same way |
| errors | `rmse` or `mse`, else from `truth` and `prediction`; `interface_displacement` or `displacement` |
| coefficients | `NAME_estimate`, with the true `NAME` by simulation and perhaps `NAME_sigma` |
| pictures | `truth` and `prediction` |

The axis of models is any dimension whose coordinate was made by `store.flags`; a coordinate `model` of the simulations
does as well. Its attribute `flag_roles` says, word for word beside `flag_meanings`, what each is: one of `ROLES`.
A coordinate `direction` of -1 marks a video that runs backwards, and `split` leaves its test simulations alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.errors import InputError

Floats = NDArray[np.float64]

ROLES = ("network", "model", "solver", "trivial", "check")
"""`model` is what a store without roles has; `trivial` is the predictor to beat; `check` is none of all these."""
LEARNED = ("network", "model")
Standing = Literal["best learned model", "learned model", "best method", "method"]
TIMES, SPACE = ("time", "frame"), ("x", "y", "z")
ENERGIES, SIZES = ("energy", "energy_density"), ("mean_radius", "radius", "wavelength")
DISPLACEMENTS = ("interface_displacement", "displacement")


@dataclass(frozen=True)
class Cube:
    """One diagnostic: values (model, sim, time), nan where a model has no such simulation; their names and roles."""

    values: Floats
    names: tuple[str, ...]
    roles: tuple[str, ...]
    times: Floats


@dataclass(frozen=True)
class Choice:
    """The model that stands for a benchmark, and what it may be called: the best one only if errors have ranked it."""

    name: str
    standing: Standing

    @property
    def best(self) -> bool:
        return self.standing in ("best learned model", "best method")


@dataclass(frozen=True)
class Course:
    """A quantity of the truth (1 or model, sim, time) and of each model."""

    label: str
    truth: Floats
    found: Cube

    def normalised(self) -> tuple[Floats, Floats]:
        """Truth and models over the first value that the truth has in each simulation."""
        at = np.isfinite(self.truth).argmax(axis=-1, keepdims=True)
        first = np.take_along_axis(self.truth, at, axis=-1)
        first = np.where(first == 0, np.nan, first)
        return self.truth / first, self.found.values / first

    def distances(self) -> dict[str, float]:
        """Root mean square of model minus truth, both normalised, of each model that has not diverged."""
        truth, models = self.normalised()
        known = np.broadcast_to(np.isfinite(truth), models.shape)
        found = {
            name: rms(own - reference)
            for name, own, reference, kept in zip(
                self.found.names, models, np.broadcast_to(truth, models.shape), known, strict=True
            )
            if not diverged(own, kept).any()
        }
        return {name: distance for name, distance in found.items() if distance is not None}


def open_fields(folder: Path) -> xr.Dataset:
    """The test simulations of a benchmark's store, lazily. Raises StoreError for a missing or damaged one."""
    dataset = store.open_dataset(folder / "fields.zarr", chunks={"sim": 1})
    dataset = dataset.drop_vars([name for name, array in dataset.data_vars.items() if "sim" not in array.dims])
    if "split" in dataset.coords and "test" in (splits := store.meanings(dataset.split)):
        dataset = dataset.isel(sim=[n for n, split in enumerate(splits) if split == "test"])
    return dataset


def course(dataset: xr.Dataset, stems: tuple[str, ...]) -> Course | None:
    """The first of these quantities that the store has of both truth and models, along the direction of time."""
    for stem in stems:
        if stem not in dataset.data_vars:
            continue
        label = str(dataset[stem].attrs.get("long_name", stem)).removesuffix(" of the truth")  # both are shown
        if f"{stem}_truth" in dataset:
            truth, found = cube(dataset, f"{stem}_truth").values, cube(dataset, stem)
        elif f"{stem}_prediction" in dataset:
            truth, found = cube(dataset, stem).values, cube(dataset, f"{stem}_prediction")
        else:
            found = cube(dataset, stem)
            if "truth" not in found.names:
                continue
            at = found.names.index("truth")
            others = [n for n in range(len(found.names)) if n != at]
            truth, found = found.values[[at]], _picked(found, others)
        if found.values.shape[-1] < 2:
            continue
        for values in (truth, found.values):
            _turn(dataset, values)
        return Course(label, truth, found)
    return None


def errors(dataset: xr.Dataset) -> Cube | None:
    """RMSE of each model, by simulation and frame, along the direction of time."""
    if "rmse" in dataset.data_vars:
        found = cube(dataset, "rmse")
        _turn(dataset, found.values)
        return found
    if "mse" not in dataset.data_vars:
        if not has_fields(dataset):
            return None
        square = (dataset.prediction.astype(float) - dataset.truth.astype(float)) ** 2
        dataset = dataset.assign(mse=square.mean([axis for axis in SPACE if axis in square.dims]))
    squares = cube(dataset, "mse")
    _turn(dataset, squares.values)
    return Cube(np.sqrt(squares.values), squares.names, squares.roles, squares.times)


def trivial(dataset: xr.Dataset, found: Cube) -> Floats | None:
    """RMSE (sim, frame) of the predictor to beat: the best of the store's own, else standing still."""
    own = [values for values, role in zip(found.values, found.roles, strict=True) if role == "trivial"]
    known = [(score, number) for number, values in enumerate(own) if (score := rms(values)) is not None]
    return own[min(known)[1]] if known else standing_still(dataset, found.values.shape[-1])


def standing_still(dataset: xr.Dataset, frames: int) -> Floats | None:
    """RMSE (sim, frame) of the truth's own start held for all its `frames`; (sim, 1) of its mean without time.

    None where the store has no truth, or one at other frames than its errors.
    """
    if "truth" not in dataset:
        return None
    truth = dataset.truth.astype(float)
    space = [axis for axis in SPACE if axis in truth.dims]
    if "time" not in truth.dims:
        held = truth.mean(space)
    elif truth.sizes["time"] != frames:
        return None
    else:
        ends = np.where(_backwards(dataset), truth.sizes["time"] - 1, 0)
        held = truth.isel(time=xr.DataArray(ends, dims="sim"), drop=True)
    square = ((truth - held) ** 2).mean([dim for dim in truth.dims if dim not in ("sim", "time")])
    values: Floats = np.sqrt(square.transpose("sim", ...).values).reshape(dataset.sizes["sim"], -1)
    _turn(dataset, values[None])
    return values


def diverged(values: Floats, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a model (..., frame) has blown up: infinite, or, once begun, without a number where others are `known`.

    A simulation without any number is one that the model was not run on.
    """
    infinite, finite = np.isinf(values), np.isfinite(values)
    begun = np.logical_or.accumulate(finite | infinite, axis=-1)
    return np.asarray(infinite | (begun & known & ~finite))


def displacement(dataset: xr.Dataset) -> Cube | None:
    """Displacement of the interfaces by each model, a length, as the store has it."""
    found = next((name for name in DISPLACEMENTS if name in dataset.data_vars), None)
    return cube(dataset, found) if found else None


def coefficients(dataset: xr.Dataset) -> dict[str, tuple[Cube, Floats, Floats | None]]:
    """By name: estimates (method, sim, 1), the truth (sim,), and standard deviations of the estimates, if any."""
    found = {}
    for name in map(str, dataset.data_vars):
        stem = name.removesuffix("_estimate")
        if stem != name and stem in dataset and dataset[stem].dims == ("sim",):
            sigma = cube(dataset, f"{stem}_sigma").values if f"{stem}_sigma" in dataset else None
            found[stem] = (cube(dataset, name), np.asarray(dataset[stem].values, float), sigma)
    return found


def cube(dataset: xr.Dataset, variable: str) -> Cube:
    """A diagnostic of the store as (model, sim, time); axes beyond these, such as seeds, are averaged over."""
    array = dataset[variable]
    time, axis = next((str(dim) for dim in array.dims if dim in TIMES), None), _axis(dataset, array)
    array = array.mean([dim for dim in array.dims if dim not in ("sim", time, axis)])
    kept = [dim for dim in (axis, "sim", time) if dim]
    values = np.array(array.transpose(*kept).values, dtype=float)
    values = values[..., None] if time is None else values
    times = np.asarray(dataset[time].values, float) if time else np.zeros(1)
    if axis:
        return Cube(values, *_names(dataset, axis), times)
    if _is_flags(dataset, "model", "sim"):
        names, roles = _names(dataset, "model")
        unique = dict(zip(names, roles, strict=True))
        spread = np.full((len(unique), *values.shape), np.nan)
        for sim, name in enumerate(names):
            spread[list(unique).index(name), sim] = values[sim]
        return Cube(spread, tuple(unique), tuple(unique.values()), times)
    return Cube(values[None], (str(dataset.attrs.get("model", "prediction")),), ("model",), times)


def has_fields(dataset: xr.Dataset) -> bool:
    """Whether the store holds fields of truth and models at the same times."""
    return {"truth", "prediction"} <= set(dataset) and set(dataset.truth.dims) <= set(dataset.prediction.dims)


def portrait(dataset: xr.Dataset, model: str) -> xr.Dataset:
    """Truth and prediction of one model, of the first simulation or of the one that the attribute `cover` numbers.

    With dims (time, x) or (x, y[, z]), the latter at the middle frame, whose time is then a coordinate.
    """
    axis, sim = _axis(dataset, dataset.prediction), int(dataset.attrs.get("cover", 0))
    if axis is None and _is_flags(dataset, "model", "sim"):
        sim = _names(dataset, "model")[0].index(model)
    one = dataset[["truth", "prediction"]].isel(sim=sim)
    if axis:
        one = one.isel({axis: _names(dataset, axis)[0].index(model)})
    maps = sum(dim in SPACE for dim in one.truth.dims) > 1  # a line in space is shown with its time
    return one.isel(time=one.sizes["time"] // 2) if maps and "time" in one.dims else one


def pick(names: tuple[str, ...], roles: tuple[str, ...], scores: dict[str, float]) -> Choice | None:
    """The learned one of least error, or the solver where nothing was learned; None if there is neither.

    Where none of them has an error it is the first, and not called best.
    """
    learned = [name for name, role in zip(names, roles, strict=True) if role in LEARNED]
    own = learned or [name for name, role in zip(names, roles, strict=True) if role == "solver"]
    if not own:
        return None
    best = min(own, key=lambda name: scores.get(name, np.inf))
    if learned:
        return Choice(best, "best learned model" if best in scores else "learned model")
    return Choice(best, "best method" if best in scores else "method")


def rms(values: Any) -> float | None:
    """Root mean square of what is finite, None if nothing is."""
    finite = np.asarray(values, float)[np.isfinite(values)]
    return float(np.sqrt(np.mean(finite**2))) if finite.size else None


def _picked(found: Cube, numbers: list[int]) -> Cube:
    names, roles = ([words[n] for n in numbers] for words in (found.names, found.roles))
    return Cube(found.values[numbers], tuple(names), tuple(roles), found.times)


def _axis(dataset: xr.Dataset, array: xr.DataArray) -> str | None:
    """The dimension of an array that counts models."""
    others = (str(dim) for dim in array.dims if dim not in ("sim", *TIMES, *SPACE))
    return next((dim for dim in others if _is_flags(dataset, dim)), None)


def _is_flags(dataset: xr.Dataset, name: Any, dim: Any = None) -> bool:
    known = name in dataset.coords and "flag_meanings" in dataset[name].attrs
    return known and dataset[name].dims == (dim or name,)


def _names(dataset: xr.Dataset, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and roles along a coordinate made by `store.flags`."""
    coordinate = dataset[name]
    words = store.meanings(coordinate)
    roles = str(coordinate.attrs.get("flag_roles", "")).split()
    if roles and (len(roles) != len(coordinate.attrs["flag_meanings"].split()) or set(roles) - set(ROLES)):
        raise InputError(f"coordinate {name}: flag_roles needs one of {', '.join(ROLES)} for each of flag_meanings")
    played = [roles[int(code)] if roles else "model" for code in np.atleast_1d(coordinate.values)]
    return tuple(word.replace("_", " ") for word in words), tuple(played)


def _turn(dataset: xr.Dataset, values: Floats) -> None:
    """Turn the frames of videos (model, sim, frame) that run backwards, in place."""
    backwards = _backwards(dataset)
    values[:, backwards] = values[:, backwards, ::-1]


def _backwards(dataset: xr.Dataset) -> NDArray[np.bool_]:
    """Of each simulation, whether its video runs backwards."""
    if "direction" in dataset.coords and dataset.direction.dims == ("sim",):
        return np.asarray(dataset.direction.values == -1)
    return np.zeros(dataset.sizes["sim"], bool)
