"""Solvers in the place of the network: what its coarse cells leave unknown, and how well the truth knows itself.

The same solver from the network's own start, the decimated field interpolated to the fine grid, is as good as any
network could be. The same start at a hundredth of the tolerance tells how far the truth depends on its own errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.spinodal.config.data import Medium
from phasemill.spinodal.datasets.mixtures import coarsen, solver_medium
from phasemill.spinodal.evaluate.courses import Course, Floats, judge
from phasemill.spinodal.rollout import refine
from phasemill.spinodal.solver import integrate

DECIMATED = "solver, decimated start"
TIGHTER = "solver, tolerance / 100"


def references(source: xr.Dataset, boxes: Sequence[int], medium: Medium, threads: int) -> Iterator[Course]:
    """Both references in each of the boxes, judged as networks are."""
    times, tolerance = source["time"].values, float(source.attrs["tolerance"])
    for name in (DECIMATED, TIGHTER):
        for sim in boxes:
            phi = source["phi"][sim, 0].values
            prediction = reference(name, phi, times, medium, tolerance, threads)
            yield judge(name, sim, times, source["phi"][sim], prediction, medium)


def reference(
    name: str, phi: NDArray[Any], times: Floats, medium: Medium, tolerance: float, threads: int
) -> NDArray[np.float32]:  # fmt: skip
    """The frames of a reference from phi, at `times` on the network's grid."""
    start = refine(coarsen(phi, medium.factor), medium.factor) if name == DECIMATED else phi.astype(np.float64)
    tolerance = tolerance if name == DECIMATED else tolerance / 100
    frames = integrate(start, times, medium=solver_medium(medium), tolerance=tolerance, threads=threads).frames
    return coarsen(frames, medium.factor).astype(np.float32)
