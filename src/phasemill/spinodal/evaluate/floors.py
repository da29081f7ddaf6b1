"""Errors that no network could avoid: those of the coarser grid, of up-sampling, and of the central divergence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.spinodal import metrics
from phasemill.spinodal.config.data import Medium
from phasemill.spinodal.datasets.mixtures import coarsen
from phasemill.spinodal.evaluate.contest import Run
from phasemill.spinodal.evolution import interface_area
from phasemill.spinodal.physics import lattice_interface_energy
from phasemill.spinodal.rollout import refine, repeat

Floats = NDArray[np.float64]

WAYS = {
    "nearest": "every second cell, repeated",
    "average": "block means, repeated",
    "fourier": "every second cell, Fourier interpolation",
}
"""Down to the networks' grid and up again."""


def there_and_back(phi: NDArray[Any], factor: int, way: str) -> NDArray[Any]:
    """A fine field after down- and up-sampling."""
    coarse = coarsen(phi, factor, "average" if way == "average" else "nearest")
    if way == "fourier":
        return refine(coarse, factor)
    return repeat(coarse, factor)


def grid_floors(source: xr.Dataset, frames: Sequence[int], medium: Medium) -> dict[str, dict[str, list[float]]]:
    """RMSE and delta-bar of the truth against itself after `there_and_back`, means over the boxes, by frame."""
    found: dict[str, dict[str, list[float]]] = {way: {"rmse": [], "displacement": []} for way in WAYS}
    for frame in frames:
        fine = source["phi"].isel(time=frame).values
        for way in WAYS:
            back = there_and_back(fine, medium.factor, way)
            found[way]["rmse"].append(float(metrics.rmse(fine, back).mean()))
            found[way]["displacement"].append(float(metrics.displacements(fine, back, medium.dx).mean()))
    return found


def sub_lattices(phi: NDArray[Any]) -> Floats:
    """Means of the 2^3 interleaved sub-lattices of (..., x, y, z): (..., 8)."""
    parts = [phi[..., i::2, j::2, k::2] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    return np.stack([part.mean(axis=metrics.SPACE, dtype=np.float64) for part in parts], axis=-1)


def parity(run: Run) -> dict[str, float]:
    """What a network that conserves each of the 8 sub-lattices by itself must get wrong, and whether this one does so.

    `floor` is the mean over boxes and frames of the mean square change of the sub-lattices' means in the truth: the
    least MSE with the central divergence, which exchanges mass only between cells two apart. `prediction` is the
    largest |change| of such a mean in the roll-out, `truth` that in the truth.
    """
    change = {
        name: sub_lattices(frames[:, 1:]) - sub_lattices(frames[:, :1])
        for name, frames in (("truth", run.truth), ("prediction", run.prediction))
    }
    return {
        "floor": float(np.mean(change["truth"] ** 2)),
        "truth": float(np.abs(change["truth"]).max()),
        "prediction": float(np.abs(change["prediction"]).max()),
    }


def energy_conventions(
    source: xr.Dataset, run: Run, frames: Sequence[int], medium: Medium
) -> dict[str, dict[str, float]]:
    """max over boxes and `frames` of |dF|/F of a roll-out, by how F is computed; `bias` is the mean signed error.

    Like for like are `coarse` (both on the networks' grid) and `refined` (both interpolated to the fine grid).
    """
    eps, dx, factor = medium.eps, medium.dx, medium.factor
    signed: dict[str, list[Floats]] = {}
    for frame in frames:
        fine, here = source["phi"].isel(time=frame).values, frame // run.stride
        truth, prediction = run.truth[:, here], run.prediction[:, here]
        exact = metrics.energies(fine, eps, dx)
        coarse = metrics.energies(prediction, eps, dx * factor)
        refined = metrics.energies(refine(prediction, factor), eps, dx)
        repeated = metrics.energies(repeat(prediction, factor), eps, dx)
        for name, energy, reference in (
            ("coarse", coarse, metrics.energies(truth, eps, dx * factor)),
            ("refined", refined, metrics.energies(refine(truth, factor), eps, dx)),
            ("coarse_fine", coarse, exact),
            ("refined_fine", refined, exact),
            ("repeated_fine", repeated, exact),
        ):
            signed.setdefault(name, []).append(energy / reference - 1)
    return {
        name: {"max": float(np.abs(values).max()), "bias": float(np.mean(values))} for name, values in signed.items()
    }


def fine_over_coarse(source: xr.Dataset, run: Run, frames: Sequence[int], medium: Medium) -> list[float]:
    """RMSE against the fine truth, every coarse value repeated, over that against the coarse truth, by frame."""
    ratios = []
    for frame in frames:
        here = frame // run.stride
        prediction = run.prediction[:, here]
        fine = metrics.rmse(source["phi"].isel(time=frame).values, repeat(prediction, medium.factor)).mean()
        ratios.append(float(fine / metrics.rmse(run.truth[:, here], prediction).mean()))
    return ratios


def energy_over_area(source: xr.Dataset, medium: Medium) -> dict[str, Any]:
    """F / (gamma_h A) of the last frames: 1 where the free energy is that of the interfaces, of area A."""
    fine = source["phi"].isel(time=-1).values
    area = np.array([interface_area(box, medium.dx) for box in fine])
    ratios = metrics.energies(fine, medium.eps, medium.dx) / (lattice_interface_energy(medium.eps, medium.dx) * area)
    return {
        "ratios": ratios.tolist(),
        "largest_gap": float(np.abs(ratios - 1).max()),
        "note": f"F over gamma A by box: {', '.join(f'{ratio:.3g}' for ratio in ratios)}.",
    }


CONVENTIONS = {
    "coarse": "both on the networks' grid",
    "refined": "both interpolated to the fine grid",
    "coarse_fine": "network on its grid, truth on the fine one",
    "refined_fine": "network interpolated, truth as it is",
    "repeated_fine": "network repeated, truth as it is",
}
