"""What a job of the workflow starts with: environment variables, threads, and how it loads its libraries."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager


def prepend(variable: str, folder: str) -> None:
    """Put `folder` first in a search path such as PATH, once."""
    others = [place for place in os.environ.get(variable, "").split(os.pathsep) if place and place != folder]
    os.environ[variable] = os.pathsep.join([folder, *others])


@contextmanager
def loading() -> Iterator[None]:
    """Import large libraries in here: without the search for garbage, in vain among what stays to the end.

    What lives afterwards is never searched again (`gc.freeze`). For a process of its own, not for a library's user.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def use_threads(threads: int) -> None:
    """Fix the threads of numba, BLAS and torch; call it before any of them is imported.

    Waiting threads sleep: where cores are shared, spinning ones can make a job ten times slower.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for variable in (
        "NUMBA_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ):
        os.environ[variable] = str(threads)
