"""3-D (and 2-D) Cahn-Hilliard demixing, solved and learned.

    from phasemill import spinodal
    result = spinodal.evolve(phi0, until=50, every=0.5)  # an xarray Dataset
    network = spinodal.load_model("features")

Solvers and networks are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phasemill.spinodal.evolution import evolve
    from phasemill.spinodal.library import load_model

__all__ = ["evolve", "load_model"]

_PLACES = {"evolve": "evolution", "load_model": "library"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
