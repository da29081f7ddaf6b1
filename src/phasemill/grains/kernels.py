"""Explicit steps of the two-phase obstacle model: the compiled twin of `physics.euler_step`.

The first axis of a box is cut into as many blocks as a vector has numbers, and the cells with the same place in their
blocks lie side by side: (place, y[, z], block). Every neighbour of a vector of cells is then a whole vector itself, on
its own cache line. With one ghost cell around, the stencil is a few constant offsets, and one long loop covers all
rows of a place at once; what it writes into ghosts is overwritten.
"""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.core.kernels import kernel

ONE = np.uint64(1)
"""Indices are unsigned: numba then omits the wrap of negative ones, without which no loop here would use vectors."""
LINE = 64
"""Bytes of a cache line, and of the longest vector."""
ANYHOW = {"nnan", "nsz", "contract"}
"""min and max become single instructions when no number is nan; fields are checked before they get here."""


@kernel
def wrap(y: Any, start: Any, cells: Any, step: Any) -> None:
    """The two ghosts of a line of cells, `step` numbers each: periodic copies."""
    for k in range(step):
        y[start + k] = y[start + cells * step + k]
        y[start + (cells + ONE) * step + k] = y[start + step + k]


@kernel
def fill(y: Any, box: Any, strides: Any) -> None:
    """All ghosts. Along the first axis each block goes on in the next one, the last in the first."""
    plane, lanes = strides[0], strides[-1]
    last, beyond = box[0] * plane, (box[0] + ONE) * plane
    for k in range(ONE, plane):
        y[k] = y[last + k - ONE]
    for k in range(ONE, plane):
        y[beyond + k - ONE] = y[plane + k]
    for k in range(np.uint64(0), plane, lanes):
        y[k] = y[last + k + lanes - ONE]
        y[beyond + k + lanes - ONE] = y[plane + k]
    for i in range(ONE, box[0] + ONE):
        wrap(y, i * plane, box[1], strides[1])
        if len(box) == 3:
            for j in range(ONE, box[1] + ONE):
                wrap(y, i * plane + j * strides[1], box[2], lanes)


@kernel(fastmath=ANYHOW)  # type: ignore[untyped-decorator]  # numba has no types
def moved(phi: Any, ends: Any, sides: Any, c: Any, driving: Any) -> Any:
    """clip(c0 phi + c1 (ends + sides) + c2 + driving sqrt(phi (1 - phi))), ends + sides: the sum of the neighbours.

    driving: None where there is no such force; the square root is then not compiled.
    """
    own, near, constant = c
    zero, one = type(phi)(0), type(phi)(1)
    value = constant + own * phi + near * ends + near * sides
    if driving is not None:
        value += driving * np.sqrt(max(phi * (one - phi), zero))
    return min(max(value, zero), one)


@kernel(fastmath=ANYHOW)  # type: ignore[untyped-decorator]  # numba has no types
def step_2d(y: Any, out: Any, place: Any, strides: Any, c: Any, driving: Any) -> None:
    """Two places at once, whose cells are neighbours: loads limit the speed, and two of ten are saved so."""
    plane, lanes = strides
    for k in range(place * plane, (place + ONE) * plane):
        behind, here, ahead, beyond = y[k - plane], y[k], y[k + plane], y[k + plane + plane]
        out[k] = moved(here, behind + ahead, y[k - lanes] + y[k + lanes], c, driving)
        out[k + plane] = moved(ahead, here + beyond, y[k + plane - lanes] + y[k + plane + lanes], c, driving)


@kernel(fastmath=ANYHOW)  # type: ignore[untyped-decorator]  # numba has no types
def step_3d(y: Any, out: Any, place: Any, strides: Any, c: Any, driving: Any) -> None:
    """As `step_2d`, one place after the other."""
    plane, row, lanes = strides
    for k in range(place * plane + row, (place + ONE) * plane - row):
        sides = (y[k - lanes] + y[k + lanes]) + (y[k - row] + y[k + row])
        out[k] = moved(y[k], y[k - plane] + y[k + plane], sides, c, driving)


@kernel
def march(y: Any, out: Any, box: Any, strides: Any, c: Any, driving: Any, steps: Any) -> None:
    """`steps` explicit steps; the last one is in `y` if their number is even, else in `out`."""
    for _ in range(steps):
        fill(y, box, strides)
        if len(box) == 2:
            for place in range(ONE, box[0] + ONE, ONE + ONE):
                step_2d(y, out, place, strides, c, driving)
        else:
            for place in range(ONE, box[0] + ONE):
                step_3d(y, out, place, strides, c, driving)
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
    y: Any, cells: Any, known: Any, neighbours: Any, near: float, constant: float, driving: float, diagonal: float,
    beyond: float,
) -> float:  # fmt: skip
    """A projected over-relaxed sweep of diagonal y = known + near around - constant + driving sqrt(y (1 - y)).

    y and known are flat without ghosts, cells those that are visited, neighbours (cell, side) the periodic ones; each
    goes `beyond` times the Gauss-Seidel way. Returns the largest change.
    """
    largest = 0.0
    for cell in cells:
        around = 0.0
        for side in range(neighbours.shape[1]):
            around += y[neighbours[cell, side]]
        value = balance(known[cell] + near * around - constant, diagonal, driving, y[cell])
        change = min(max(y[cell] + beyond * (value - y[cell]), 0.0), 1.0) - y[cell]
        largest = max(largest, abs(change))
        y[cell] += change
    return largest


def neighbours(shape: tuple[int, ...]) -> NDArray[np.int32]:
    """(cell, side): the flat indices of the cells behind and ahead along each axis, periodic."""
    index = np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)
    sides = [np.roll(index, shift, axis).ravel() for axis in range(len(shape)) for shift in (1, -1)]
    return np.ascontiguousarray(np.stack(sides, axis=1))


class Layout:
    """How fields of one shape and precision lie in memory."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.type = np.dtype(dtype)
        self.lanes = gcd(shape[0], LINE // self.type.itemsize)
        self.inner = (shape[0] // self.lanes, *shape[1:])
        steps = [self.lanes]
        for n in reversed(shape[1:]):
            steps.insert(0, steps[0] * (n + 2))
        self.box = tuple(np.uint64(n) for n in self.inner)
        """Cells along each axis, along the first one those of a block."""
        self.strides = tuple(np.uint64(n) for n in steps)
        """Numbers from one cell to the next along each axis."""

    def allocate(self) -> NDArray[Any]:
        """Zeros for a field, flat, on a cache line; one more place than it has, since `step_2d` takes two at once."""
        size, line = (self.inner[0] + 3) * int(self.strides[0]), LINE // self.type.itemsize
        raw = np.zeros(size + line, self.type)
        start = -raw.ctypes.data % LINE // self.type.itemsize
        return raw[start : start + size]

    def _cells(self, y: NDArray[Any]) -> NDArray[Any]:
        """A view (block, place, y[, z]) without the ghosts."""
        full = y.reshape(-1, *(n + 2 for n in self.inner[1:]), self.lanes)
        inside = full[tuple(slice(1, n + 1) for n in self.inner)]
        return np.moveaxis(inside, -1, 0)

    def write(self, phi: NDArray[Any], y: NDArray[Any]) -> None:
        """A field of the box's own shape into y."""
        self._cells(y)[...] = phi.reshape(self.lanes, *self.inner)

    def read(self, y: NDArray[Any]) -> NDArray[Any]:
        """The field of the box's own shape, a copy."""
        cells = self._cells(y)
        return np.ascontiguousarray(cells).reshape(-1, *self.inner[1:])
