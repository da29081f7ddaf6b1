"""From noise in a slice alone (Lanzoni et al. 2024, Fig. 3), whose surroundings the paper does not give.

In the unstable mixture itself every difference grows as the pattern spreads; between the two phases nothing does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core.seeds import branch
from phasemill.spinodal.config.long import LongJob
from phasemill.spinodal.datasets.mixtures import coarsen, solver_medium
from phasemill.spinodal.evaluate.courses import Course, Floats, judge, roll
from phasemill.spinodal.evaluate.long_references import DECIMATED, TIGHTER, reference
from phasemill.spinodal.initial import slice_noise
from phasemill.spinodal.library import Surrogate
from phasemill.spinodal.solver import integrate

SLICE_FRAMES = 20
"""Stored frames of each roll-out."""
SURROUNDINGS = ("mixture", "phases")


def slices(job: LongJob, models: Sequence[Surrogate], source: xr.Dataset, threads: int) -> dict[str, list[Course]]:
    """For each of `SURROUNDINGS` the roll-outs of all networks, then of the references, in a box of the same size."""
    medium, tolerance = job.medium, float(source.attrs["tolerance"])
    starts = [slice_start(job.seed, tuple(source.sizes[axis] for axis in "xyz"), around) for around in SURROUNDINGS]
    unit = max([medium.interval, *(model.interval for model in models)])
    steps = job.long.slice_steps * medium.interval / unit
    times = unit * np.unique(np.rint(np.linspace(0, steps, SLICE_FRAMES + 1)))
    cells = np.stack([coarsen(phi, medium.factor) for phi in starts])
    rolled = {model.name: roll(model, cells, np.rint(times / model.interval).astype(int)) for model in models}
    for name in (DECIMATED, TIGHTER):
        rolled[name] = np.stack([reference(name, phi, times, medium, tolerance, threads) for phi in starts])
    found = {}
    for number, (around, phi) in enumerate(zip(SURROUNDINGS, starts, strict=True)):
        truth = integrate(phi, times, medium=solver_medium(medium), tolerance=tolerance, threads=threads).frames
        fine = xr.DataArray(truth, dims=("time", "x", "y", "z"))
        found[around] = [judge(name, 0, times, fine, frames[number], medium) for name, frames in rolled.items()]
    return found


def slice_start(seed: int, shape: tuple[int, ...], around: str) -> Floats:
    """Noise in the central quarter along x, in the uniform mixture, or with phi = 0 on one side and 1 on the other."""
    phi: NDArray[np.float64] = slice_noise(np.random.default_rng(branch(seed, "spinodal_slice", 1)[0]), shape)
    if around == "phases":
        place = (np.arange(shape[0]) + 0.5) / shape[0] - 0.5
        phi[place <= -0.125] = 0.0
        phi[place >= 0.125] = 1.0
    return phi
