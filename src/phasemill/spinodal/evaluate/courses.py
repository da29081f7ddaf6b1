"""Roll-outs through all stored times of long evolutions, each scored beside its truth."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.core.metrics import interface_displacement
from phasemill.spinodal import metrics
from phasemill.spinodal.config.data import Medium
from phasemill.spinodal.datasets.mixtures import coarsen
from phasemill.spinodal.library import Surrogate, load_model
from phasemill.spinodal.physics import free_energy
from phasemill.spinodal.rollout import refine, repeat, rollout

Floats = NDArray[np.float64]

log = logging.getLogger("phasemill")


@dataclass(frozen=True)
class Course:
    """One roll-out beside its truth, of a network or of a solver that stands in for one."""

    model: str
    sim: int
    """Number of the box."""
    tau: float
    """The paper's unit of time."""
    times: Floats
    truth: NDArray[np.float32]
    """(time, x, y, z) on the network's grid."""
    prediction: NDArray[np.float32]
    curves: dict[str, Floats]
    """Scores and properties by time; names of the truth's own end in `_truth`, floors in `_floor`."""


def load_network(name: str, medium: Medium) -> Surrogate:
    """A network by its name or file, if its grid is that of the configuration.

    Raises InputError otherwise, since fields of several networks share one store and one truth.
    """
    model = load_model(name)
    if (model.factor, model.card["downscale"]) != (medium.factor, "nearest"):
        raise InputError(
            f"{name} works on every cell in {model.factor} ({model.card['downscale']}), here it is every cell in "
            f"{medium.factor} (nearest): leave it out"
        )
    return model


def reached(times: Floats, models: Sequence[Surrogate]) -> NDArray[np.bool_]:
    """The stored times that are whole steps of every network."""
    whole = np.full(len(times), True)
    for model in models:
        whole &= np.isclose(times / model.interval, np.rint(times / model.interval))
    return whole


def networks(courses: Sequence[Course]) -> list[str]:
    """The networks, each once, in their order."""
    return list(dict.fromkeys(course.model for course in courses))


def follow(model: Surrogate, source: xr.Dataset, boxes: Sequence[int], medium: Medium) -> Iterator[Course]:
    """Roll the network out from the first frames of the boxes, through all stored times."""
    times, fields = source["time"].values, source["phi"]
    starts = np.stack([coarsen(fields[sim, 0].values, medium.factor) for sim in boxes])
    predictions = roll(model, starts, np.rint(times / model.interval).astype(int))
    for sim, prediction in zip(boxes, predictions, strict=True):
        yield judge(model.name, sim, times, fields[sim], prediction, medium)


def roll(model: Surrogate, starts: NDArray[Any], marks: NDArray[Any]) -> NDArray[np.float32]:
    """The fields after `marks` steps (the first is 0), (batch, time, x, y, z); nan from where it is not finite on."""
    frames = np.full((len(starts), len(marks), *starts.shape[1:]), np.nan, np.float32)
    frames[:, 0] = starts
    place = {int(mark): index for index, mark in enumerate(marks)}
    for done, phi in enumerate(rollout(model.step, starts, int(marks[-1])), start=1):
        if done in place:
            frames[:, place[done]] = phi
            log.info("%s: %d of %d steps", model.name, done, marks[-1])
            if not np.isfinite(phi).all():
                break
    return frames


def judge(
    name: str, sim: int, times: Floats, fine: xr.DataArray, prediction: NDArray[np.float32], medium: Medium
) -> Course:  # fmt: skip
    """Score a roll-out at each time; `fine` is the truth on the solver's grid, read frame by frame."""
    dx = medium.dx * medium.factor
    truth = np.stack([coarsen(fine[t].values, medium.factor) for t in range(len(times))])
    curves = metrics.frame_scores(truth, prediction, medium.eps, dx)
    curves |= {
        "rmse": np.sqrt(curves["mse"]),
        "rmse_still": metrics.rmse(truth, np.broadcast_to(truth[:1], truth.shape)),
        "drift": np.abs(
            np.mean(prediction, axis=(1, 2, 3), dtype=np.float64) - np.mean(prediction[0], dtype=np.float64)
        ),
    }
    rows = [_on_fine_grid(fine[t].values, truth[t], prediction[t], medium) for t in range(len(times))]
    for row, true, phi in zip(rows, truth, prediction, strict=True):
        row |= _shape(phi, dx) | {f"{key}_truth": value for key, value in _shape(true, dx).items()}
    curves |= {key: np.array([row[key] for row in rows], dtype=np.float64) for key in rows[0]}
    reference = curves["energy_fourier_truth"]
    curves["energy_fourier_error"] = np.abs(curves["energy_fourier"] - reference) / reference
    return Course(name, sim, medium.interval, times, truth, prediction, curves)


def _on_fine_grid(
    fine: NDArray[Any], truth: NDArray[Any], prediction: NDArray[Any], medium: Medium
) -> dict[str, float]:  # fmt: skip
    """RMSE and delta-bar on the solver's grid, after nearest and after Fourier up-sampling, beside their floors.

    The energy is that after Fourier up-sampling, of prediction and decimated truth alike (see `coarse_energy`).
    """
    scores = {"energy_fine": free_energy(fine, medium.eps, medium.dx)}
    for suffix, coarse in (("", prediction), ("_floor", truth)):
        for name, up in (("nearest", repeat), ("fourier", refine)):
            phi = up(coarse, medium.factor)
            scores[f"rmse_{name}{suffix}"] = float(metrics.rmse(fine, phi))
            scores[f"displacement_{name}{suffix}"] = float(metrics.displacements(fine, phi, medium.dx))
        scores["energy_fourier" + suffix.replace("floor", "truth")] = free_energy(phi, medium.eps, medium.dx)
    return scores


def _shape(phi: NDArray[Any], dx: float) -> dict[str, float]:
    """Topology, wavelength and flatness of one field, and how uniform its phases are."""
    found = metrics.topology(phi)
    return {
        "euler": found["euler"],
        "components": found["components"],
        "percolation": sum(found["percolation"]),
        "wavelength": metrics.mean_wavelength(phi, dx),
        "roughness": metrics.roughness(phi, dx),
        "waviness": waviness(phi, dx),
        "texture": texture(phi),
    }


def waviness(phi: NDArray[Any], dx: float) -> float:
    """How far a field is from flat layers: delta-bar between phi and its plane means, the least of the axes; a length.

    0 for a flat lamella; unlike `metrics.roughness` it is there for every field, and sees a texture in the phases too.
    """
    values = phi.astype(np.float64)
    others = [tuple(a for a in range(phi.ndim) if a != axis) for axis in range(phi.ndim)]
    planes = [np.broadcast_to(values.mean(axis=axes, keepdims=True), values.shape) for axes in others]
    return float(np.min([interface_displacement(values, plane, dx) for plane in planes]))


def texture(phi: NDArray[Any]) -> float:
    """Standard deviation of phi within the phases, two cells and more away from any interface; nan if there is none.

    The equation smooths it away. A network whose divergence is a central difference cannot see the alternating part.
    """
    squares, cells = 0.0, 0
    for deep in (phi > 0.5, phi <= 0.5):
        for _ in range(2):
            deep = np.logical_and.reduce(
                [deep, *(np.roll(deep, by, axis) for axis in range(phi.ndim) for by in (-1, 1))]
            )
        values = phi[deep].astype(np.float64)
        squares += float(np.sum((values - values.mean()) ** 2)) if len(values) else 0.0
        cells += len(values)
    return float(np.sqrt(squares / cells)) if cells else float("nan")
