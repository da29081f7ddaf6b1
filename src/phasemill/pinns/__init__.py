"""Loss weighting of physics-informed networks: Burgers, Poisson, Allen-Cahn, and problems of your own.

    from phasemill.pinns import Problem, Solution

Both are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phasemill.pinns.problem import Problem
    from phasemill.pinns.solution import Solution

__all__ = ["Problem", "Solution"]

_PLACES = {"Problem": "problem", "Solution": "solution"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
