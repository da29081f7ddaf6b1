"""What one core can do at most: multiply-adds per second, and bytes per second from each level of the memory.

A kernel cannot be faster than the larger of operations / `multiply_adds` and bytes / `bandwidth`; how near it comes
says what is left to gain. Both are measured, since clock rates and caches differ and other programs take their share.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from phasemill.core.kernels import kernel

CHAINS, LENGTH = 16, 16
"""Rows of numbers, and multiply-adds in a row on each number that is loaded."""


@kernel(fastmath={"contract"})  # type: ignore[untyped-decorator]  # numba has no types
def _multiply_add(x: Any, scale: Any, shift: Any, sweeps: int) -> None:
    for _ in range(sweeps):
        for i in range(CHAINS):
            row = x[i]
            for k in range(len(row)):
                value = row[k]
                for _ in range(LENGTH):
                    value = value * scale + shift
                row[k] = value


@kernel
def _triad(a: Any, b: Any, c: Any, scale: Any) -> None:
    """a = b + scale c (McCalpin's STREAM triad)."""
    for k in range(len(a)):
        a[k] = b[k] + scale * c[k]


@kernel
def _triads(a: Any, b: Any, c: Any, scale: Any, sweeps: int) -> None:
    for _ in range(sweeps):
        _triad(a, b, c, scale)
        a, c = c, a  # so that no sweep can be left out


def multiply_adds(dtype: Any = np.float64, repeats: int = 5) -> float:
    """Multiply-adds per second of one core, in registers."""
    kind = np.dtype(dtype).type
    x = np.ones((CHAINS, 128), kind)  # 16 kB at most: they stay in the first cache
    sweeps = 2000
    seconds = best(lambda: _multiply_add(x, kind(0.999), kind(1e-3), sweeps), repeats)
    return x.size * LENGTH * sweeps / seconds


def bandwidth(working_set: int, dtype: Any = np.float64, repeats: int = 5) -> float:
    """Bytes per second, read and written, of one core that works on `working_set` bytes."""
    kind = np.dtype(dtype).type
    count = working_set // (3 * np.dtype(dtype).itemsize)
    a, b, c = np.zeros(count, kind), np.ones(count, kind), np.ones(count, kind)
    sweeps = max(1, int(1e8 / working_set))
    seconds = best(lambda: _triads(a, b, c, kind(0.5), sweeps), repeats)
    return 3 * a.nbytes * sweeps / seconds


def best(run: Callable[[], object], repeats: int) -> float:
    """The least CPU seconds of `run` after a first call that compiles and warms the caches."""
    run()
    found = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return min(found)
