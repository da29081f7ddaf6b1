"""phasemill: diffuse-interface microstructure evolution, simulated and learned, reproducibly.

    import phasemill
    result = phasemill.evolve(phi0, until=50)       # Cahn-Hilliard from your own field: an xarray Dataset
    result.phasemill.structure_factor()             # the accessor: energy, mean_radius, animate, to_vtk ...
    phasemill.recover(film, dx=0.5, dt=0.25)        # coefficients with error bars from your own video

Each name is imported when it is first used. After any of them that works with data sets, and after
`import phasemill.accessor`, every xarray Dataset has the accessor `.phasemill`.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phasemill import accessor, grains, pinns, spinodal, transport
    from phasemill.accessor import open_dataset
    from phasemill.core.errors import InputError
    from phasemill.core.frames import FrameDataset
    from phasemill.core.units import Units
    from phasemill.grains.physics import Medium
    from phasemill.grains.polycrystal import Polycrystal
    from phasemill.pinns.problem import Problem
    from phasemill.spinodal.evolution import evolve
    from phasemill.spinodal.library import load_model
    from phasemill.transport.video.arrays import recover

__version__ = "0.1.0"
__all__ = [
    "FrameDataset", "InputError", "Medium", "Polycrystal", "Problem", "Units", "accessor", "evolve", "grains",
    "load_model", "open_dataset", "pinns", "recover", "spinodal", "transport",
]  # fmt: skip

_PLACES = {
    "FrameDataset": "core.frames",
    "InputError": "core.errors",
    "Medium": "grains.physics",
    "Polycrystal": "grains.polycrystal",
    "Problem": "pinns.problem",
    "Units": "core.units",
    "evolve": "spinodal.evolution",
    "load_model": "spinodal.library",
    "open_dataset": "accessor",
    "recover": "transport.video.arrays",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_PLACES.get(name, name)}")
    if "xarray" in sys.modules:  # who works with data sets gets the accessor
        importlib.import_module(f"{__name__}.accessor")
    return getattr(module, name) if name in _PLACES else module


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
