"""Explicit steps of the two-phase obstacle model: the compiled twin of `physics.euler_step`.

A box is held flat, row after row, with one ghost cell around it and rows padded to whole vectors. The stencil is then
a few constant offsets, and one long loop covers all rows at once; what it writes into ghosts is overwritten.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.core.kernels import kernel

ONE = np.uint64(1)
"""Indices are unsigned: numba then omits the wrap of negative ones, without which no loop here would use vectors."""
LANE = 8
"""Row strides are multiples of this many numbers."""
ANYHOW = {"nnan", "nsz", "contract"}
"""min and max become single instructions when no number is nan; fields are checked before they get here."""


@kernel
def fill(y: Any, shape: Any, strides: Any) -> None:
    """The ghosts: a periodic copy along each axis, the later axes including the ghosts of the earlier ones."""
    for axis in range(len(shape)):
        cells, step = shape[axis], strides[axis]
        other, others = 1 - axis, 1
        if len(shape) == 3:
            other, others = (1, 2) if axis == 0 else (0, 2) if axis == 1 else (0, 1)
        for i in range(shape[other] + 2):
            for j in range(shape[others] + 2 if len(shape) == 3 else 1):
                start = i * strides[other] + (j * strides[others] if len(shape) == 3 else 0)
                y[start] = y[start + cells * step]
                y[start + (cells + 1) * step] = y[start + step]


@kernel(fastmath=ANYHOW)  # type: ignore[untyped-decorator]  # numba has no types
def step_2d(y: Any, out: Any, first: Any, last: Any, stride: Any, c: Any) -> None:
    """out = clip(c0 y + c1 around + c2 + c3 sqrt(y (1 - y))), first <= k < last; around: of four neighbours."""
    own, near, constant, driving = c
    zero, one = y.dtype.type(0), y.dtype.type(1)
    if driving == zero:
        for k in range(first, last):
            value = own * y[k] + near * ((y[k - ONE] + y[k + ONE]) + (y[k - stride] + y[k + stride])) + constant
            out[k] = min(max(value, zero), one)
    else:
        for k in range(first, last):
            value = own * y[k] + near * ((y[k - ONE] + y[k + ONE]) + (y[k - stride] + y[k + stride])) + constant
            value += driving * np.sqrt(max(y[k] * (one - y[k]), zero))
            out[k] = min(max(value, zero), one)


@kernel(fastmath=ANYHOW)  # type: ignore[untyped-decorator]  # numba has no types
def step_3d(y: Any, out: Any, first: Any, last: Any, stride: Any, plane: Any, c: Any) -> None:
    """As `step_2d`, with six neighbours."""
    own, near, constant, driving = c
    zero, one = y.dtype.type(0), y.dtype.type(1)
    for k in range(first, last):
        around = (y[k - ONE] + y[k + ONE]) + (y[k - stride] + y[k + stride]) + (y[k - plane] + y[k + plane])
        value = own * y[k] + near * around + constant
        if driving != zero:
            value += driving * np.sqrt(max(y[k] * (one - y[k]), zero))
        out[k] = min(max(value, zero), one)


@kernel
def march(y: Any, out: Any, shape: Any, strides: Any, c: Any, steps: Any) -> None:
    """`steps` explicit steps; the last one is in `y` if their number is even, else in `out`."""
    first, last = np.uint64(0), np.uint64(0)
    for axis in range(len(shape)):
        first += strides[axis]
        last += shape[axis] * strides[axis]
    for _ in range(steps):
        fill(y, shape, strides)
        if len(shape) == 2:
            step_2d(y, out, first, last + ONE, strides[0], c)
        else:
            step_3d(y, out, first, last + ONE, strides[1], strides[0], c)
        y, out = out, y


@kernel
def balance(a: float, diagonal: float, driving: float, y: float) -> float:
    """The root in [0, 1] of diagonal y = a + driving sqrt(y (1 - y)), projected; of two stable ones that on y's side.

    Squared it is a quadratic. Its upper root is stable; for driving > 0 and a < 0 so is y = 0, up to the lower root. A
    negative driving is the same for 1 - y.
    """
    if driving == 0.0:
        return min(max(a / diagonal, 0.0), 1.0)
    if driving < 0.0:
        return 1.0 - float(balance(diagonal - a, diagonal, -driving, 1.0 - y))
    if a >= diagonal:
        return 1.0
    inside = driving**2 + 4.0 * a * (diagonal - a)
    if inside < 0.0:
        return 0.0
    middle, scale = 2.0 * a * diagonal + driving**2, 2.0 * (diagonal**2 + driving**2)
    spread = driving * np.sqrt(inside)
    if a < 0.0 and (y <= (middle - spread) / scale or y <= 0.0):
        return 0.0
    return float(min(max((middle + spread) / scale, 0.0), 1.0))


@kernel
def relax(
    y: Any, known: Any, neighbours: Any, near: float, constant: float, driving: float, diagonal: float
) -> float:  # fmt: skip
    """A projected Gauss-Seidel sweep of diagonal y = known + near around - constant + driving sqrt(y (1 - y)).

    y and known are flat without ghosts, neighbours (cell, side) their periodic neighbours. Returns the largest change.
    """
    largest = 0.0
    for cell in range(len(y)):
        around = 0.0
        for side in range(neighbours.shape[1]):
            around += y[neighbours[cell, side]]
        value = balance(known[cell] + near * around - constant, diagonal, driving, y[cell])
        largest = max(largest, abs(value - y[cell]))
        y[cell] = value
    return largest


def neighbours(shape: tuple[int, ...]) -> NDArray[np.int32]:
    """(cell, side): the flat indices of the cells behind and ahead along each axis, periodic."""
    index = np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)
    sides = [np.roll(index, shift, axis).ravel() for axis in range(len(shape)) for shift in (1, -1)]
    return np.ascontiguousarray(np.stack(sides, axis=1))


def strides(shape: tuple[int, ...]) -> tuple[np.uint64, ...]:
    """Numbers from one cell to the next along each axis, in a field with its ghosts."""
    row = -(-(shape[-1] + 2) // LANE) * LANE
    found = (row, 1) if len(shape) == 2 else (row * (shape[1] + 2), row, 1)
    return tuple(np.uint64(n) for n in found)


def allocate(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Zeros for a field with its ghosts, flat, on a cache line."""
    kind, size = np.dtype(dtype), (shape[0] + 2) * int(strides(shape)[0])
    raw = np.zeros(size + 64 // kind.itemsize, kind)
    offset = (-raw.ctypes.data % 64) // kind.itemsize
    return raw[offset : offset + size]


def cells(y: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The cells of a field without its ghosts, a view of the box's own shape."""
    row = int(strides(shape)[-2])
    full = y.reshape(*(n + 2 for n in shape[:-1]), row)
    return full[(slice(1, -1),) * (len(shape) - 1) + (slice(1, shape[-1] + 1),)]
