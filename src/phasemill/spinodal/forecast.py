"""Evolve a field by a trained network: on its grid, at its stride, within what it has learned.

The equation knows one length, eps, and one time, eps^3 / M. With x = l x', l = eps / eps', it becomes
phi_t' = lap' mu' of the training, eps' and M = 1, in the time t' = M t / l^3: a network carries over to any mobility
at once, and to any eps on a grid with the eps / dx of its training, to which a field is resampled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.spinodal.datasets.mixtures import coarsen
from phasemill.spinodal.evolution import interface_area
from phasemill.spinodal.library import Surrogate
from phasemill.spinodal.physics import Medium, free_energy
from phasemill.spinodal.rollout import rollout

Floats = NDArray[np.float64]

CLOSE = 0.02
"""Largest relative difference in eps / dx from the training."""
LARGEST = 4
"""Sides of the boxes in which networks are tested, in sides of the training's."""
DEMIXED = 1.25
"""Free energy over interface area, at most, of a field that has demixed."""
SMOOTH = 0.5
"""Least correlation of neighbouring cells of the network's grid: white noise has 0, an interface far more."""


@dataclass(frozen=True)
class Forecast:
    """A roll-out that is ready to run."""

    network: Surrogate
    start: NDArray[np.float32]
    """(x, y, z) on the network's grid."""
    marks: list[int]
    """Steps after which a frame is kept, the first 0."""
    times: Floats
    """Of those frames."""
    dx: float
    """Of the network's grid."""
    first: float
    """Centre of its first cell from the face of the box as given, the same along each axis."""
    warnings: list[str]

    def frames(self) -> Iterator[tuple[NDArray[np.float32], int]]:
        """Each kept frame and the steps so far."""
        yield self.start, 0
        kept = set(self.marks)
        for done, phi in enumerate(rollout(self.network.step, self.start[None], self.marks[-1]), start=1):
            if done in kept:
                if not np.isfinite(phi).all():
                    raise InputError(f"the network's field is not finite after {done} steps: use the solver rkl2")
                yield phi[0], done


def prepare(phi: Floats, medium: Medium, times: Floats, network: Surrogate) -> Forecast:
    """The roll-out from `phi` that comes nearest to the wanted times.

    Raises InputError for what the network cannot do: walls, 2-D boxes, another mobility law, too short a time, and a
    box that its grid does not fit.
    """
    if medium.walls:
        raise InputError("the network knows periodic boxes alone: use boundary periodic, or the solver rkl2")
    if phi.ndim != 3:
        raise InputError(f"the network was trained on 3-D boxes, and this field is {phi.ndim}-D: use the solver rkl2")
    if medium.law != "constant":
        raise InputError(
            f"the network was trained with a constant mobility, not the {medium.law} one: use the solver rkl2"
        )
    warnings: list[str] = []
    fine, dx = _on_trained_grid(phi, medium, network, warnings)
    coarse = coarsen(fine, network.factor, network.card["downscale"]).astype(np.float32)
    marks, reached = _steps(times, medium, network, warnings)
    _check_range(fine, coarse, network, warnings)
    _check_age(phi, medium, network, warnings)
    # resampling keeps the first sample where it was, and the nearest cell too; a mean lies amid its cells
    first = medium.dx / 2 + (dx * (network.factor - 1) / 2 if network.card["downscale"] == "average" else 0.0)
    return Forecast(network, coarse, marks, reached, dx * network.factor, first, warnings)


def _on_trained_grid(phi: Floats, medium: Medium, network: Surrogate, warnings: list[str]) -> tuple[Floats, float]:
    """phi on a grid with the eps / dx of the training, and its dx."""
    wanted = medium.eps * network.dx / network.eps
    shape = [max(2, round(n * medium.dx / wanted / network.factor)) * network.factor for n in phi.shape]
    sizes = [n * medium.dx / m for n, m in zip(phi.shape, shape, strict=True)]
    if max(abs(size / wanted - 1) for size in sizes) > CLOSE:
        raise InputError(
            f"a box of {_by(phi.shape)} cells of {medium.dx:g} cannot be resampled to the network's cells "
            f"of about {wanted:g} (eps / dx = {network.eps / network.dx:g}) without stretching: use the solver rkl2"
        )
    if tuple(shape) == phi.shape:
        return phi, medium.dx
    warnings.append(
        f"resampled from {_by(phi.shape)} to {_by(shape)} cells: "
        f"eps / dx is {medium.eps / medium.dx:g}, the network was trained at {network.eps / network.dx:g}"
    )
    resampled = phi
    for axis, count in enumerate(shape):
        resampled = np.asarray(scipy.signal.resample(resampled, count, axis=axis))
    resampled = np.clip(resampled, phi.min(), phi.max())  # Fourier's ripples beside sharp edges
    return resampled + (phi.mean() - resampled.mean()), float(np.mean(sizes))


def _steps(times: Floats, medium: Medium, network: Surrogate, warnings: list[str]) -> tuple[list[int], Floats]:
    """Numbers of steps of the frames, and their times."""
    scale = _clock(medium, network)
    one = network.interval * scale
    if not np.isclose(scale, 1):
        warnings.append(f"mobility and eps only set the clock: one step of the network is {one:.4g} time units here")
    if times[-1] < one * (1 - 1e-9):
        raise InputError(
            f"until is {times[-1]:g}, but one step of the network is {one:.4g}: evolve for longer, or use rkl2"
        )
    marks = sorted({round(time / one) for time in times})
    reached = one * np.array(marks, dtype=np.float64)
    if len(marks) != len(times) or not np.allclose(reached, times, rtol=1e-6):
        warnings.append(f"the network's frames lie at multiples of {one:.4g}: the times were moved to the nearest ones")
    return marks, reached


def _clock(medium: Medium, network: Surrogate) -> float:
    """Time units of the medium in one of the training."""
    return (medium.eps / network.eps) ** 3 * network.mobility / medium.mobility


def _check_age(phi: Floats, medium: Medium, network: Surrogate, warnings: list[str]) -> None:
    """Warn a network that learned on demixed fields alone of one without interfaces at rest, where F = A."""
    if "time_range" not in network.card:
        return
    energy, area = free_energy(phi, medium.eps, medium.dx), interface_area(phi, medium.dx)
    if energy > DEMIXED * area:
        first = network.card["time_range"][0] * _clock(medium, network)
        warnings.append(
            f"the free energy is {energy / max(area, 1e-300):.2g} times the interface area, 1.0 once demixed, and the "
            f"network was trained on demixed fields alone: evolve this one by rkl2 to t = {first:.3g} first"
        )


def _check_range(fine: Floats, coarse: NDArray[Any], network: Surrogate, warnings: list[str]) -> None:
    """Warn about what the network has not seen."""
    low, high = network.mean_range
    mean = float(fine.mean())
    if not low <= mean <= high:
        warnings.append(
            f"the mean is {mean:.3f}, the network was trained on {low:.3g} to {high:.3g}: "
            "do not trust the result unchecked"
        )
    box = network.card["box"]
    if min(fine.shape) < box or max(fine.shape) > LARGEST * box:
        warnings.append(
            f"the box has {_by(fine.shape)} cells, the network was trained in boxes of {box} a side "
            f"and tested in up to {LARGEST * box}: compare with rkl2"
        )
    fluctuation = coarse - coarse.mean()
    neighbours = np.mean([np.mean(fluctuation * np.roll(fluctuation, 1, axis)) for axis in range(3)])
    if neighbours < SMOOTH * np.mean(fluctuation**2):
        warnings.append(
            "the field is too rough for the network's grid, like white noise: evolve it by rkl2 to t = 1 first"
        )


def _by(shape: Any) -> str:
    return " x ".join(map(str, shape))
