"""How evolutions are judged: errors and energies by frame, topology, structure factor, and the lamella at the end.

Fields are (..., x, y, z) in periodic cubes or boxes; phi > 1/2 is the phase whose domains are counted. Everything is
computed on the grid that it is given, with its own dx: truth and prediction are compared on one grid, like for like.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import stats

from phasemill.core.errors import InputError
from phasemill.core.metrics import equivalent_radii, frame_mse, interface_displacement
from phasemill.spinodal.physics import free_energy

Floats = NDArray[np.float64]
SPACE = (-3, -2, -1)


def mse(truth: NDArray[Any], prediction: NDArray[Any]) -> Floats:
    """mean over the box of (prediction - truth)^2, one number per frame: (...) for fields (..., x, y, z)."""
    return frame_mse(truth, prediction, len(SPACE))


def rmse(truth: NDArray[Any], prediction: NDArray[Any]) -> Floats:
    """sqrt(mse), one number per frame."""
    return np.sqrt(mse(truth, prediction))


def energies(phi: NDArray[Any], eps: float, dx: float) -> Floats:
    """F of each frame, `physics.free_energy` on the grid given."""
    flat = phi.reshape(-1, *phi.shape[-3:])
    return np.array([free_energy(frame, eps, dx) for frame in flat]).reshape(phi.shape[:-3])


def energy_error(truth: NDArray[Any], prediction: NDArray[Any], eps: float, dx: float) -> Floats:
    """|F(prediction) - F(truth)| / F(truth) of each frame, both on the same grid (Lanzoni et al. 2024, Fig. 6b)."""
    reference = energies(truth, eps, dx)
    return np.asarray(np.abs(energies(prediction, eps, dx) - reference) / reference)


def displacements(truth: NDArray[Any], prediction: NDArray[Any], dx: float) -> Floats:
    """delta-bar of each frame, `core.metrics.interface_displacement` (Lanzoni et al. 2024, eq. 4)."""
    pairs = zip(truth.reshape(-1, *truth.shape[-3:]), prediction.reshape(-1, *truth.shape[-3:]), strict=True)
    return np.array([interface_displacement(a, b, dx) for a, b in pairs]).reshape(truth.shape[:-3])


def correlation(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """Pearson's correlation of all values; nan if one of the two is constant."""
    a, b = truth.ravel().astype(np.float64), prediction.ravel().astype(np.float64)
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt(np.sum(a * a) * np.sum(b * b)))
    return float(np.sum(a * b)) / norm if norm else float("nan")


def sign_agreement(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """Share of cells where truth and prediction are in the same phase: on the same side of 1/2."""
    return float(np.mean((truth > 0.5) == (prediction > 0.5)))


def mass_drift(frames: NDArray[Any]) -> float:
    """max over time of |mean(phi_t) - mean(phi_0)|; frames (..., time, x, y, z), summed in float64."""
    means = np.asarray(np.mean(frames, axis=SPACE, dtype=np.float64))
    return float(np.abs(means - means[..., :1]).max())


def frame_scores(truth: NDArray[Any], prediction: NDArray[Any], eps: float, dx: float) -> dict[str, Floats]:
    """Scores by frame of a roll-out beside its truth, (..., time, x, y, z) both, on the grid of spacing dx.

    Returns `mse`, `energy` and `energy_truth`, `energy_error`, `displacement`, and the least and largest phi of both
    (`low`, `high`, `low_truth`, `high_truth`), each (..., time).
    """
    reference, energy = energies(truth, eps, dx), energies(prediction, eps, dx)
    return {
        "mse": mse(truth, prediction),
        "energy": energy,
        "energy_truth": reference,
        "energy_error": np.abs(energy - reference) / reference,
        "displacement": displacements(truth, prediction, dx),
        "low": prediction.min(axis=SPACE).astype(np.float64),
        "high": prediction.max(axis=SPACE).astype(np.float64),
        "low_truth": truth.min(axis=SPACE).astype(np.float64),
        "high_truth": truth.max(axis=SPACE).astype(np.float64),
    }


def confidence(values: Sequence[float] | Floats, rng: np.random.Generator, resamples: int) -> tuple[float, float]:
    """95 % interval of the mean of independent values, by the bootstrap; nan for fewer than three."""
    if len(values) < 3:
        return float("nan"), float("nan")
    found = stats.bootstrap(
        (np.asarray(values, dtype=np.float64),), np.mean, n_resamples=resamples, method="percentile", rng=rng
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def euler_characteristic(mask: NDArray[np.bool_]) -> int:
    """chi = V - E + F - C of the domains in a periodic box: components less handles plus cavities.

    The cells inside are the vertices V; two that share a face make an edge, four around an edge a face, and eight
    around a corner a cube. Cells therefore connect across faces alone, as in `components`. A ball has 1, a ring 0,
    a shell 2, a slab or a rod through the whole box 0.
    """
    _check_mask(mask)
    chi = 0
    for order in range(mask.ndim + 1):
        for axes in combinations(range(mask.ndim), order):
            inside = mask
            for axis in axes:
                inside = inside & np.roll(inside, -1, axis)
            chi += (-1) ** order * int(np.count_nonzero(inside))
    return chi


def components(mask: NDArray[np.bool_]) -> int:
    """Number of connected domains in a periodic box; cells connect across faces."""
    return len(equivalent_radii(mask, 1.0))


def percolation(mask: NDArray[np.bool_]) -> tuple[bool, ...]:
    """Along which axes some domain winds around the periodic box: is connected with one of its own images.

    n boxes in a row are an n-fold cover: of a domain that winds w times they hold gcd(n, w) pieces, of every other one
    n. Covers of two and three find every winding but multiples of six.
    """
    once = components(mask)
    return tuple(
        any(components(np.concatenate([mask] * n, axis)) < n * once for n in (2, 3)) for axis in range(mask.ndim)
    )


def topology(phi: NDArray[Any]) -> dict[str, Any]:
    """Euler characteristic, components of both phases, and percolation per axis of one field."""
    mask = np.asarray(phi) > 0.5
    return {
        "euler": euler_characteristic(mask),
        "components": components(mask),
        "components_other": components(~mask),
        "percolation": percolation(mask),
    }


def structure_factor(phi: NDArray[Any], dx: float) -> tuple[Floats, Floats]:
    """S(k) = |FFT(phi - mean)|^2 / N, the mean over shells of width 2 pi / L, L the longest side.

    Returns the shells' k (up to the Nyquist wavenumber pi / dx, zero left out) and S.
    """
    field = np.asarray(phi, dtype=np.float64)
    power = np.abs(scipy.fft.fftn(field - field.mean())) ** 2 / field.size
    squares = np.zeros(field.shape)
    for axis, n in enumerate(field.shape):
        line = [-1 if a == axis else 1 for a in range(field.ndim)]
        squares += (2 * np.pi * scipy.fft.fftfreq(n, dx).reshape(line)) ** 2
    width = 2 * np.pi / (max(field.shape) * dx)
    shell = np.rint(np.sqrt(squares) / width).astype(int).ravel()
    counts = np.bincount(shell)
    total = np.bincount(shell, weights=power.ravel())
    shells = np.arange(1, max(field.shape) // 2 + 1)
    return width * shells, total[shells] / counts[shells]


def mean_wavelength(phi: NDArray[Any], dx: float) -> float:
    """2 pi sum S / sum k S over the shells of `structure_factor`: the size of the pattern; nan if phi is uniform."""
    k, s = structure_factor(phi, dx)
    moment = float(np.sum(k * s))
    return 2 * np.pi * float(np.sum(s)) / moment if moment > 0 else float("nan")


def lamella_axis(phi: NDArray[Any]) -> int | None:
    """The axis along which every line crosses phi = 1/2 exactly twice: two interfaces are left. None if there is none.

    Where several axes qualify (an oblique lamella) it is the one along which the plane means vary most.
    """
    inside = np.asarray(phi) > 0.5
    found = [
        axis
        for axis in range(inside.ndim)
        if (np.count_nonzero(inside != np.roll(inside, -1, axis), axis=axis) == 2).all()
    ]
    others = {axis: tuple(a for a in range(inside.ndim) if a != axis) for axis in found}
    return max(found, key=lambda axis: float(np.ptp(np.mean(phi, axis=others[axis]))), default=None)


def arrival_time(times: Sequence[float] | Floats, frames: NDArray[Any]) -> float:
    """The first stored time from which on two interfaces are left; nan if the last frame has more or none."""
    reached = [lamella_axis(frame) is not None for frame in frames]
    if not reached[-1]:
        return float("nan")
    last = max((index for index, flat in enumerate(reached) if not flat), default=-1)
    return float(times[last + 1])


def roughness(phi: NDArray[Any], dx: float) -> float:
    """w = sqrt(mean((h - mean(h))^2)) over the two interfaces of a lamella, h where phi crosses 1/2; a length.

    nan if phi is no lamella. An oblique one is rough by its slope.
    """
    axis = lamella_axis(phi)
    if axis is None:
        return float("nan")
    inner = np.clip(np.moveaxis(np.asarray(phi, dtype=np.float64), axis, -1), 1e-6, 1 - 1e-6)
    lines = np.log(inner / (1 - inner))  # linear across an interface at rest
    following = np.roll(lines, -1, -1)
    n, spreads = lines.shape[-1], []
    for crossing in ((lines > 0) & (following <= 0), (lines <= 0) & (following > 0)):
        place = np.argmax(crossing, axis=-1)
        here = np.take_along_axis(lines, place[..., None], -1)[..., 0]
        there = np.take_along_axis(following, place[..., None], -1)[..., 0]
        height = place + here / (here - there)
        # the mean direction on the circle, since an interface may lie across the border of the box
        centre = np.angle(np.mean(np.exp(2j * np.pi * height / n))) * n / (2 * np.pi)
        offset = (height - centre + n / 2) % n - n / 2
        spreads.append(np.mean((offset - offset.mean()) ** 2))
    return float(np.sqrt(np.mean(spreads))) * dx


def _check_mask(mask: NDArray[Any]) -> None:
    if mask.dtype != np.bool_:
        raise InputError(f"mask has dtype {mask.dtype}: give a boolean one, such as phi > 0.5")
