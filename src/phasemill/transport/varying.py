"""The SAFE operator for a coefficient that varies in space, with its adjoint written by hand.

A face between two cells has the arithmetic mean of their kappa; a wall is a face with zero. Both boundaries are
therefore one periodic operator, which is symmetric: the adjoint of a sub-step is the sub-step itself. The numpy
formulas come first, their compiled twins last; fields are (x, y), videos (time, x, y), all in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.core.kernels import kernel
from phasemill.transport.modes import Boundary
from phasemill.transport.spectra import SafeScheme, check_frames

Floats = NDArray[np.float64]

PAD = 8
"""Columns before and after the cells: one of each is the ghost, all together keep rows on cache lines."""


def face_values(kappa: NDArray[Any], boundary: Boundary) -> tuple[Floats, Floats]:
    """f_x = (kappa_i-1,j + kappa_ij) / 2 and f_y = (kappa_i,j-1 + kappa_ij) / 2; 0 on walls.

    On an even grid a checkerboard added to kappa leaves all faces as they are: no video shows it.
    """
    f_x, f_y = ((np.asarray(kappa, np.float64) + np.roll(kappa, 1, axis)) / 2 for axis in (0, 1))
    return _walls(f_x, f_y, boundary)


def jumps(u: NDArray[Any], boundary: Boundary) -> tuple[Floats, Floats]:
    """d_x = u_ij - u_i-1,j and d_y = u_ij - u_i,j-1 of fields (..., x, y); 0 on walls."""
    d_x, d_y = (np.asarray(u - np.roll(u, 1, axis), np.float64) for axis in (-2, -1))
    return _walls(d_x, d_y, boundary)


def divergence(u: NDArray[Any], kappa: NDArray[Any], dx: float, boundary: Boundary) -> Floats:
    """div(kappa grad u) = sum over both axes of [f_i+1 (u_i+1 - u_i) - f_i (u_i - u_i-1)] / dx^2.

    Arguments:
        u: field (x, y), any unit.
        kappa: coefficient (x, y), length^2 / time.
        dx: grid spacing.
        boundary: "periodic" or "neumann" (no flux through the four sides).

    It conserves sum u; with one kappa everywhere it is kappa times `physics.laplacian`.
    """
    faces = zip(face_values(kappa, boundary), jumps(u, boundary), strict=True)
    fluxes = [face * jump for face, jump in faces]
    return np.asarray(sum(np.roll(flux, -1, axis) - flux for axis, flux in enumerate(fluxes)) / dx**2)


def dissipation(u: NDArray[Any], kappa: NDArray[Any], boundary: Boundary) -> float:
    """E = 1/2 sum kappa |grad u|^2 dx^2 over the faces: du/dt = div(kappa grad u) descends it."""
    faces = zip(face_values(kappa, boundary), jumps(u, boundary), strict=True)
    return 0.5 * float(sum(np.sum(face * jump**2) for face, jump in faces))


def gradient_square(frames: NDArray[Any], dx: float, boundary: Boundary) -> Floats:
    """Mean over time of |grad u|^2, half of each face for either cell: where it is 0, no video shows kappa.

    Arguments: as in `divergence`, with frames (time, x, y). Returns (x, y), squared unit of u over length^2.
    """
    g_x, g_y = (np.mean(jump**2, axis=0) for jump in jumps(frames, boundary))
    return np.asarray((g_x + np.roll(g_x, -1, 0) + g_y + np.roll(g_y, -1, 1)) / (2 * dx**2))


def evolve(u0: NDArray[Any], kappa: NDArray[Any], scheme: SafeScheme, boundary: Boundary, intervals: int) -> Floats:
    """u <- u + sign tau div(kappa grad u), K times per interval.

    Arguments:
        u0: first frame (x, y).
        kappa: coefficient (x, y) >= 0, length^2 / time.
        scheme: interval, sub-steps and direction. Stable while max(kappa) tau lambda_max <= 2.
        boundary: "periodic" or "neumann".
        intervals: number of frames after the first.

    Returns the frames (intervals + 1, x, y). Raises InputError for shapes that do not agree.
    Source: SAFE-PIT-CM, equation 6, in flux form.
    """
    _check(np.asarray(u0)[None], kappa, boundary)
    f_x, f_y = _rates(kappa, scheme, boundary)
    frames: Floats = _evolve(_contiguous(u0), f_x, f_y, scheme.substeps, intervals)
    return frames


@dataclass(frozen=True)
class Loss:
    """A loss and its gradients."""

    value: float
    kappa: Floats
    """d value / d kappa, (x, y)."""
    frames: Floats
    """d value / d frames, (time, x, y), for `pair_loss`; d value / d u0, (x, y), for `trajectory_loss`."""


def pair_loss(frames: NDArray[Any], kappa: NDArray[Any], scheme: SafeScheme, boundary: Boundary) -> Loss:
    """L = sum |SAFE_K(source; kappa) - target|^2 / sum |target - source|^2 over all pairs of frames.

    The denominator, the persistence error, counts as a constant in the gradients.

    Arguments:
        frames: (time, x, y).
        kappa: coefficient (x, y), length^2 / time.
        scheme: interval, sub-steps and direction.
        boundary: "periodic" or "neumann".

    Raises InputError for frames that do not determine kappa. Source: SAFE-PIT-CM, equation 9.
    """
    video = _contiguous(frames)
    check_frames(video)
    _check(video, kappa, boundary)
    source, target = scheme.pairs(video)
    f_x, f_y = _rates(kappa, scheme, boundary)
    value, g_x, g_y, by_source, by_target = _pairs(source, target, f_x, f_y, scheme.substeps)
    persistence = float(np.sum((target - source) ** 2))
    by_frame = np.zeros_like(video)
    to_source, to_target = scheme.pairs(by_frame)  # views
    to_source += by_source
    to_target += by_target
    return Loss(value / persistence, _to_cells(g_x, g_y, scheme, boundary) / persistence, by_frame / persistence)


def trajectory_loss(
    u0: NDArray[Any], kappa: NDArray[Any], frames: NDArray[Any], scheme: SafeScheme, boundary: Boundary
) -> Loss:
    """L = sum_t |u_t - frames_t|^2 with u_t+1 = SAFE_K(u_t; kappa): one trajectory from u0 through all frames.

    The adjoint runs back over all frames; the sub-steps of each interval are taken anew, since they fit the cache
    only one interval at a time.

    Arguments:
        u0: first field of the trajectory (x, y), to be estimated along with kappa.
        frames: observed video (time, x, y), in the order in which the operator runs.
        kappa, scheme, boundary: as in `pair_loss`.

    Raises InputError for shapes that do not agree.
    """
    video = _contiguous(frames)
    _check(video, kappa, boundary)
    f_x, f_y = _rates(kappa, scheme, boundary)
    value, g_x, g_y, by_start = _trajectory(_contiguous(u0), video, f_x, f_y, scheme.substeps)
    return Loss(value, _to_cells(g_x, g_y, scheme, boundary), by_start)


def _contiguous(values: NDArray[Any]) -> Floats:
    return np.ascontiguousarray(values, dtype=np.float64)


def _check(frames: Floats, kappa: NDArray[Any], boundary: Boundary) -> None:
    if boundary not in get_args(Boundary):
        raise InputError(f"boundary is {boundary!r}: use one of {', '.join(get_args(Boundary))}")
    if np.shape(kappa) != frames.shape[1:]:
        raise InputError(f"kappa has shape {np.shape(kappa)} and a frame {frames.shape[1:]}: they must agree")


def _walls(f_x: Floats, f_y: Floats, boundary: Boundary) -> tuple[Floats, Floats]:
    """The same faces, with zero on the walls."""
    if boundary == "neumann":
        f_x[..., 0, :] = 0
        f_y[..., 0] = 0
    return f_x, f_y


def _rates(kappa: NDArray[Any], scheme: SafeScheme, boundary: Boundary) -> tuple[Floats, Floats]:
    """sign tau f / dx^2 on the faces; f_y has the first column once more behind the last, for the kernels."""
    f_x, f_y = face_values(_contiguous(kappa), boundary)
    rate = _rate(scheme)
    return rate * f_x, rate * np.concatenate([f_y, f_y[:, :1]], axis=1)


def _rate(scheme: SafeScheme) -> float:
    return scheme.sign * scheme.tau / scheme.dx**2


def _to_cells(g_x: Floats, g_y: Floats, scheme: SafeScheme, boundary: Boundary) -> Floats:
    """d/d kappa from the derivatives on the faces: the adjoint of `_rates`."""
    g_x, g_y = _walls(g_x, g_y, boundary)
    return np.asarray(_rate(scheme) / 2 * (g_x + np.roll(g_x, -1, 0) + g_y + np.roll(g_y, -1, 1)))


@kernel
def _step(u: Floats, f_x: Floats, f_y: Floats, new: Floats) -> None:
    """new = u + sign tau div(kappa grad u) of padded fields."""
    rows = len(u)
    for i in range(rows):
        # views of equal length with one shared index let the compiler vectorise the loop
        here, left, right = u[i, PAD:-PAD], u[i, PAD - 1 : -PAD - 1], u[i, PAD + 1 : -PAD + 1]
        above, below, out = u[i - 1, PAD:-PAD], u[(i + 1) % rows, PAD:-PAD], new[i, PAD:-PAD]
        up, down, west, east = f_x[i], f_x[(i + 1) % rows], f_y[i, :-1], f_y[i, 1:]
        for j in range(len(out)):
            vertical = up[j] * (above[j] - here[j]) + down[j] * (below[j] - here[j])
            out[j] = here[j] + (vertical + (west[j] * (left[j] - here[j]) + east[j] * (right[j] - here[j])))
        _wrap(new[i])


@kernel
def _wrap(row: Floats) -> None:
    """Periodic neighbours of the first and the last cell of one row."""
    row[PAD - 1] = row[-PAD - 1]
    row[-PAD] = row[PAD]


@kernel
def _load(field: Floats, padded: Floats) -> None:
    """Cells and ghosts of `padded` from a field."""
    for i in range(len(field)):
        padded[i, PAD:-PAD] = field[i]
        _wrap(padded[i])


@kernel
def _interval(states: Floats, f_x: Floats, f_y: Floats) -> None:
    """All sub-steps of one interval from states[0]."""
    for n in range(len(states) - 1):
        _step(states[n], f_x, f_y, states[n + 1])


@kernel
def _pull_back(
    states: Floats, f_x: Floats, f_y: Floats, adjoint: Floats, spare: Floats, g_x: Floats, g_y: Floats
) -> None:
    """adjoint <- d L / d states[0] from d L / d states[-1]; d L / d f is added to g_x and g_y.

    A face moves f (u_i-1 - u_i) from one cell to the other: dL/df = -(adjoint_i - adjoint_i-1) (u_i - u_i-1).
    """
    rows, substeps = len(f_x), len(states) - 1
    for n in range(substeps - 1, -1, -1):
        u, now, before = states[n], adjoint, spare
        if (substeps - n) % 2 == 0:
            now, before = spare, adjoint
        for i in range(rows):
            here, left, above = u[i, PAD:-PAD], u[i, PAD - 1 : -PAD - 1], u[i - 1, PAD:-PAD]
            a_here, a_left, a_above = now[i, PAD:-PAD], now[i, PAD - 1 : -PAD - 1], now[i - 1, PAD:-PAD]
            to_x, to_y = g_x[i], g_y[i]
            for j in range(len(to_x)):
                to_x[j] -= (a_here[j] - a_above[j]) * (here[j] - above[j])
                to_y[j] -= (a_here[j] - a_left[j]) * (here[j] - left[j])
        _step(now, f_x, f_y, before)
    if substeps % 2:
        adjoint[:] = spare


@kernel
def _pairs(
    source: Floats, target: Floats, f_x: Floats, f_y: Floats, substeps: int
) -> tuple[float, Floats, Floats, Floats, Floats]:
    """sum |SAFE_K(source) - target|^2 and its derivatives by f_x, f_y, source and target."""
    rows, columns = f_x.shape
    states = np.zeros((substeps + 1, rows, columns + 2 * PAD))
    adjoint, spare = np.zeros_like(states[0]), np.zeros_like(states[0])
    g_x, g_y = np.zeros_like(f_x), np.zeros_like(f_x)
    by_source, by_target = np.empty_like(source), np.empty_like(target)
    total = 0.0
    for pair in range(len(source)):
        _load(source[pair], states[0])
        _interval(states, f_x, f_y)
        residual = states[-1][:, PAD:-PAD] - target[pair]
        total += np.sum(residual**2)
        _load(2 * residual, adjoint)
        by_target[pair] = -2 * residual
        _pull_back(states, f_x, f_y, adjoint, spare, g_x, g_y)
        by_source[pair] = adjoint[:, PAD:-PAD]
    return total, g_x, g_y, by_source, by_target


@kernel
def _evolve(u0: Floats, f_x: Floats, f_y: Floats, substeps: int, intervals: int) -> Floats:
    """The frames after 0, 1, ..., `intervals` intervals."""
    rows, columns = f_x.shape
    now, new = np.zeros((rows, columns + 2 * PAD)), np.zeros((rows, columns + 2 * PAD))
    frames = np.empty((intervals + 1, rows, columns))
    _load(u0, now)
    frames[0] = u0
    for frame in range(1, intervals + 1):
        for _ in range(substeps):
            _step(now, f_x, f_y, new)
            now, new = new, now
        frames[frame] = now[:, PAD:-PAD]
    return frames


@kernel
def _trajectory(
    u0: Floats, video: Floats, f_x: Floats, f_y: Floats, substeps: int
) -> tuple[float, Floats, Floats, Floats]:
    """sum_t |u_t - video_t|^2 and its derivatives by f_x, f_y and u0."""
    frames = _evolve(u0, f_x, f_y, substeps, len(video) - 1)
    rows, columns = f_x.shape
    states = np.zeros((substeps + 1, rows, columns + 2 * PAD))
    adjoint, spare = np.zeros_like(states[0]), np.zeros_like(states[0])
    g_x, g_y = np.zeros_like(f_x), np.zeros_like(f_x)
    total = 0.0
    for t in range(len(video) - 1, -1, -1):
        residual = frames[t] - video[t]
        total += np.sum(residual**2)
        _load(adjoint[:, PAD:-PAD] + 2 * residual, adjoint)
        if t > 0:
            _load(frames[t - 1], states[0])
            _interval(states, f_x, f_y)
            _pull_back(states, f_x, f_y, adjoint, spare, g_x, g_y)
    return total, g_x, g_y, adjoint[:, PAD:-PAD].copy()
