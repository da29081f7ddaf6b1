"""`kernel`: numba's njit with the house defaults and a cache that works where the package is read-only."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def cache_folder() -> Path:
    """The first writable of $NUMBA_CACHE_DIR, $XDG_CACHE_HOME/phasemill, ~/.cache/phasemill and the temp folder."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    places = [home / "phasemill" / "numba", Path(tempfile.gettempdir()) / f"phasemill-{os.getuid()}" / "numba"]
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        places.insert(0, Path(named))
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(place, os.W_OK):
            return place
    return places[-1]


os.environ["NUMBA_CACHE_DIR"] = str(cache_folder())  # numba reads it when it is first imported

import numba  # noqa: E402  (after the line above)


def kernel(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile `function` with numba (`@kernel` or `@kernel(parallel=True)`): nopython, cached, without the GIL."""
    if function is None:
        return lambda function: kernel(function, **options)
    made = numba.njit(**{"cache": True, "nogil": True, **options})(function)
    made._cache.save_overload = _unless_full(made._cache.save_overload)
    return made


def _unless_full(save: Callable[..., None]) -> Callable[..., None]:
    """Where compiled code cannot be kept, on a full disk say, it is compiled again next time; no run ends for it."""

    def careful(*words: Any) -> None:
        with suppress(OSError):
            save(*words)

    return careful
