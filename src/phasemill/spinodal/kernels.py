"""One sweep through the box that finds mu plane by plane and uses it at once: the compiled twin of `physics.rate`.

A field is held as planes of flat rows, y[plane, row * stride + column], with one ghost column and row and two ghost
planes on each side. The stencil then is a handful of constant offsets, and one long loop covers all rows of a plane:
rows of 64 cells are too short to pay for a loop each. Planes go in pairs, which share their loads. Four planes of mu
exist at a time; they stay in the cache. A 2-D box is a stack of planes of one row, its own neighbour above and below.

Indices are unsigned: numba then omits the wrap of negative ones, without which no loop here would use vectors.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from phasemill.core.kernels import kernel

ONE, TWO, FOUR = (np.uint64(n) for n in (1, 2, 4))
FIRST = 2
"""The plane of the first cells; planes 0 and 1 are ghosts."""
LEFT = 1
"""The column of the first cell; column 0 is its ghost."""
LANE = 8
"""Row strides are multiples of this many numbers."""
SCRATCH = 9
"""Planes of scratch: four of mu, four of the mobility and one of the rate."""


@kernel
def fill_plane(y: Any, i: Any, box: Any) -> None:
    """Ghost columns and rows of plane i."""
    _, stride, rows, columns, walls = box
    end = rows * stride
    for first in range(stride + ONE, end + stride, stride):
        last = first + columns - ONE
        y[i, first - ONE] = y[i, first if walls else last]
        y[i, last + ONE] = y[i, last if walls else first]
    top, bottom = (stride, end) if walls else (end, stride)
    for k in range(stride):
        y[i, k] = y[i, top + k]
        y[i, end + stride + k] = y[i, bottom + k]


@kernel
def fill_outer(y: Any, box: Any) -> None:
    """The ghost planes."""
    planes, walls = box[0], box[4]
    last = planes + ONE
    if walls:
        y[0], y[1] = y[3], y[2]
        y[last + ONE], y[last + TWO] = y[last], y[last - ONE]
    else:
        y[0], y[1] = y[last - ONE], y[last]
        y[last + ONE], y[last + TWO] = y[2], y[3]


@kernel
def fill(y: Any, box: Any) -> None:
    """All ghosts."""
    for i in range(TWO, box[0] + TWO):
        fill_plane(y, i, box)
    fill_outer(y, box)


@kernel
def potential(y: Any, i: Any, mu: Any, m: Any, n: Any, well: Any, box: Any) -> None:
    """mu = g' - eps lap phi of planes i and i + 1, into mu[m] and mu[n]; well = (36/eps, 6 eps/dx^2, eps/dx^2)."""
    _, stride, rows, _, _ = box
    slope, cube, eps = well
    two, one = slope + slope, y.dtype.type(1)
    b, j, a = i - ONE, i + ONE, i + TWO
    for k in range(stride, stride * (rows + ONE)):
        left, right, up, down = k - ONE, k + ONE, k - stride, k + stride
        p, q = y[i, k], y[j, k]
        around = ((y[i, left] + y[i, right]) + (y[i, up] + y[i, down])) + (y[b, k] + q)
        mu[m, k] = p * (cube + (one - p) * (slope - two * p)) - eps * around
        around = ((y[j, left] + y[j, right]) + (y[j, up] + y[j, down])) + (p + y[a, k])
        mu[n, k] = q * (cube + (one - q) * (slope - two * q)) - eps * around
    fill_plane(mu, m, box)
    fill_plane(mu, n, box)


@kernel
def constant_euler(y: Any, out: Any, i: Any, mu: Any, slots: Any, keep: Any, weight: Any, box: Any) -> None:
    """out = keep y + weight dx^2 lap mu on planes i and i + 1: an Euler step with keep = 1, the rate with keep = 0."""
    _, stride, rows, _, _ = box
    six, j = y.dtype.type(6), i + ONE
    b, m, n, a = slots
    for k in range(stride, stride * (rows + ONE)):
        left, right, up, down = k - ONE, k + ONE, k - stride, k + stride
        p, q = mu[m, k], mu[n, k]
        around = ((mu[m, left] + mu[m, right]) + (mu[m, up] + mu[m, down])) + (mu[b, k] + q)
        out[i, k] = keep * y[i, k] + weight * (around - six * p)
        around = ((mu[n, left] + mu[n, right]) + (mu[n, up] + mu[n, down])) + (p + mu[a, k])
        out[j, k] = keep * y[j, k] + weight * (around - six * q)


@kernel
def constant_stage(y: Any, z: Any, y0: Any, f0: Any, i: Any, mu: Any, slots: Any, c: Any, box: Any) -> None:
    """z = c0 y + c1 z + c2 y0 + c3 f0 + c4 dx^2 lap mu on planes i and i + 1: a stage of RKL2, in place."""
    _, stride, rows, _, _ = box
    c0, c1, c2, c3, c4 = c
    six, j = y.dtype.type(6), i + ONE
    b, m, n, a = slots
    for k in range(stride, stride * (rows + ONE)):
        left, right, up, down = k - ONE, k + ONE, k - stride, k + stride
        p, q = mu[m, k], mu[n, k]
        f = ((mu[m, left] + mu[m, right]) + (mu[m, up] + mu[m, down])) + (mu[b, k] + q) - six * p
        z[i, k] = (c0 * y[i, k] + c1 * z[i, k]) + (c2 * y0[i, k] + c3 * f0[i, k]) + c4 * f
        f = ((mu[n, left] + mu[n, right]) + (mu[n, up] + mu[n, down])) + (p + mu[a, k]) - six * q
        z[j, k] = (c0 * y[j, k] + c1 * z[j, k]) + (c2 * y0[j, k] + c3 * f0[j, k]) + c4 * f


@kernel
def relative_mobility(y: Any, i: Any, ring: Any, m: Any) -> None:
    """16 phi^2 (1 - phi)^2 of plane i with its ghosts, into ring[m + 4]."""
    one, sixteen = y.dtype.type(1), y.dtype.type(16)
    for k in range(np.uint64(y.shape[1])):
        product = y[i, k] * (one - y[i, k])
        ring[m + FOUR, k] = sixteen * product * product


@kernel
def degenerate_plane(
    y: Any, z: Any, y0: Any, f0: Any, i: Any, ring: Any, b: Any, m: Any, a: Any, c: Any, stage: bool, box: Any
) -> None:
    """As `constant_stage` or `constant_euler`, on plane i with the flux (M_here + M_there) / 2 (mu_there - mu_here)."""
    _, stride, rows, _, _ = box
    half, f = y.dtype.type(0.5), ring[SCRATCH - 1]
    size = stride * rows
    f[:] = 0
    faces = ((m, stride - ONE), (m, stride + ONE), (m, stride - stride), (m, stride + stride), (b, stride), (a, stride))
    for slot, start in faces:
        for k in range(size):
            here, there = stride + k, start + k
            on_face = half * (ring[m + FOUR, here] + ring[slot + FOUR, there])
            f[here] += on_face * (ring[slot, there] - ring[m, here])
    for k in range(stride, stride + size):
        total = c[0] * y[i, k] + c[4] * f[k]
        if stage:
            total += c[1] * z[i, k] + (c[2] * y0[i, k] + c[3] * f0[i, k])
        z[i, k] = total


@kernel
def sweep(
    y: Any, z: Any, y0: Any, f0: Any, ring: Any, c: Any, well: Any, box: Any, stage: bool, degenerate: bool,
    low: Any, high: Any,
) -> None:  # fmt: skip
    """z = c0 y + c1 z + c2 y0 + c3 f0 + c4 f(y) on the planes low <= i < high; without `stage` c1 = c2 = c3 = 0.

    box: planes, stride, rows, columns, walls. Planes come in pairs; where their number is odd, the last pair writes
    into a ghost plane, which is filled afterwards.
    """
    potential(y, low - ONE, ring, (low - ONE) % FOUR, low % FOUR, well, box)
    if degenerate:
        relative_mobility(y, low - ONE, ring, (low - ONE) % FOUR)
        relative_mobility(y, low, ring, low % FOUR)
    for i in range(low, high, TWO):
        b, m, n, a = (i - ONE) % FOUR, i % FOUR, (i + ONE) % FOUR, (i + TWO) % FOUR
        potential(y, i + ONE, ring, n, a, well, box)
        if degenerate:
            relative_mobility(y, i + ONE, ring, n)
            relative_mobility(y, i + TWO, ring, a)
            degenerate_plane(y, z, y0, f0, i, ring, b, m, n, c, stage, box)
            degenerate_plane(y, z, y0, f0, i + ONE, ring, m, n, a, c, stage, box)
        elif stage:
            constant_stage(y, z, y0, f0, i, ring, (b, m, n, a), c, box)
        else:
            constant_euler(y, z, i, ring, (b, m, n, a), c[0], c[4], box)
        fill_plane(z, i, box)
        fill_plane(z, i + ONE, box)


@kernel
def whole(
    y: Any, z: Any, y0: Any, f0: Any, rings: Any, c: Any, well: Any, box: Any, stage: bool, degenerate: bool
) -> None:
    """`sweep` over the whole box with one thread."""
    sweep(y, z, y0, f0, rings[0], c, well, box, stage, degenerate, TWO, box[0] + TWO)
    fill_outer(z, box)


@kernel(parallel=True)  # type: ignore[untyped-decorator]  # numba has no types
def slabs(
    y: Any, z: Any, y0: Any, f0: Any, rings: Any, c: Any, well: Any, box: Any, stage: bool, degenerate: bool
) -> None:
    """`sweep` with a slab of planes for each ring, one thread each."""
    count = np.uint64(rings.shape[0])
    pairs = (box[0] + ONE) // TWO
    for slab in numba.prange(rings.shape[0]):
        number = np.uint64(slab)
        low, high = TWO + TWO * (pairs * number // count), TWO + TWO * (pairs * (number + ONE) // count)
        sweep(y, z, y0, f0, rings[slab], c, well, box, stage, degenerate, low, high)
    fill_outer(z, box)


@kernel
def euler(y: Any, out: Any, rings: Any, c: Any, well: Any, box: Any, degenerate: bool, steps: int) -> None:
    """`steps` Euler steps with one thread; the last result is in `y` if their number is even, else in `out`."""
    for _ in range(steps):
        whole(y, out, y, y, rings, c, well, box, False, degenerate)
        y, out = out, y


@kernel
def error_norm(y0: Any, y1: Any, f0: Any, f1: Any, dt: float, box: Any) -> float:
    """rms(0.8 (y0 - y1) + 0.4 dt (f0 + f1)), in float64: the local error of a step of second order."""
    planes, stride, rows, columns, _ = box
    total = 0.0
    for i in range(TWO, planes + TWO):
        for first in range(stride + ONE, stride * (rows + ONE), stride):
            for k in range(first, first + columns):
                error = 0.8 * (y0[i, k] - y1[i, k]) + 0.4 * dt * (f0[i, k] + f1[i, k])
                total += error * error
    return float(np.sqrt(total / (planes * rows * columns)))


def box_of(shape: tuple[int, ...], walls: bool) -> tuple[Any, ...]:
    """What the kernels know of a box: planes, stride, rows, columns, walls."""
    planes, rows, columns = as_planes(shape)
    return (*(np.uint64(n) for n in (planes, row_stride(shape), rows, columns)), walls)


def allocate(shape: tuple[int, ...], dtype: Any, count: int = 1) -> NDArray[Any]:
    """`count` fields of zeros for `shape`, each (planes + ghosts, (rows + 2) * stride), on cache lines."""
    planes, rows, _ = as_planes(shape)
    return aligned((count, planes + planes % 2 + 2 * FIRST, (rows + 2) * row_stride(shape)), dtype)


def aligned(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Zeros that start on a cache line of 64 bytes."""
    kind = np.dtype(dtype)
    size = int(np.prod(shape))
    raw = np.zeros(size + 64 // kind.itemsize, kind)
    offset = (-raw.ctypes.data % 64) // kind.itemsize
    return raw[offset : offset + size].reshape(shape)


def as_planes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(planes, rows, columns): a 2-D box has one row in each plane."""
    return (shape[0], 1, shape[1]) if len(shape) == 2 else (shape[0], shape[1], shape[2])


def row_stride(shape: tuple[int, ...]) -> int:
    """Numbers from one row to the next: the columns, their two ghosts, and up to a multiple of `LANE`."""
    return -(-(shape[-1] + 2) // LANE) * LANE


def cells(y: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The cells of a field without ghosts, a view of the box's own shape."""
    planes, rows, columns = as_planes(shape)
    full = y.reshape(len(y), rows + 2, row_stride(shape))
    inner = full[FIRST : FIRST + planes, 1:-1, LEFT : LEFT + columns]
    return inner[:, 0] if len(shape) == 2 else inner
