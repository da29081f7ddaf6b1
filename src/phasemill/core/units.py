"""SI and solver units: what one unit of the solver's length, time and energy is worth for a material.

A grain boundary of energy sigma [J/m^2] and mobility mu [m^4/(J s)] moves with v = mu sigma kappa, so that mu sigma
[m^2/s] sets the clock. Demixing with interfaces of energy sigma and the mobility M [m^5/(J s)] of
phi_t = M lap(dF/dphi) has M sigma [m^3/s]. The width of the interfaces, which a phase field may choose, is the length:

    length = width / width of the solver,   energy = sigma length^2 / sigma of the solver,
    time = (mu sigma) of the solver length^2 / (mu sigma)     or     (M sigma) of the solver length^3 / (M sigma)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from phasemill.core.errors import InputError, unknown

if TYPE_CHECKING:
    import xarray as xr

Exponents = tuple[int, int, int]
"""Of metre, second and joule."""
DIMENSIONS: dict[str, Exponents] = {
    "length": (1, 0, 0), "area": (2, 0, 0), "volume": (3, 0, 0), "time": (0, 1, 0), "energy": (0, 0, 1),
    "speed": (1, -1, 0), "diffusivity": (2, -1, 0), "interface_energy": (-2, 0, 1), "energy_density": (-3, 0, 1),
    "boundary_mobility": (4, -1, -1), "mobility": (5, -1, -1), "wavenumber": (-1, 0, 0),
}  # fmt: skip
KINDS = {
    "length": (
        "x", "y", "z", "dx", "eps", "eta", "radius", "grain_radius", "mean_radius", "displacement",
        "interface_displacement", "wavelength", "roughness", "waviness", "map_length",
    ),
    "time": (
        "time", "slice_time", "start", "elapsed", "interval", "save_interval", "dt", "extinction", "grain_extinction",
    ),
    "interface_energy": ("sigma",),
    "energy_density": ("dg", "energy_density"),
    "boundary_mobility": ("mu",),
    "mobility": ("mobility",),
    "diffusivity": ("kappa",),
    "wavenumber": ("k",),
}  # fmt: skip
"""What the names in our stores are, also in front of an underscore, as in radius_half; others carry no unit."""
KNOWN = {name: DIMENSIONS[kind] for kind, names in KINDS.items() for name in names}
ABSTRACT = {"problem", "system", "omega", "viscosity", "reaction"}
"""Attributes and parameters of equations of mathematics."""
RATIOS = re.compile("_over_|error")
"""Names of what carries no unit although it begins like what does: eps_over_dx, energy_error."""


@dataclass(frozen=True)
class Units:
    """One unit of the solver's length [m], time [s] and energy [J]; from a material by `grains` or `cahn_hilliard`.

    Examples
    --------
    A grain boundary of 0.8 J/m^2 in a metal near its melting point, drawn 70 nm wide with 7 cells:

    >>> from phasemill import Units
    >>> units = Units.grains(sigma=0.8, mu=2.5e-13, eta=70e-9)
    >>> print(units)
    1 length = 1e-08 m, 1 time = 0.0005 s, 1 energy = 8e-17 J
    >>> units.from_si("time", 3600)  # solver's time of an hour
    7200000.0
    >>> units.in_si("length", 25)
    2.5e-07

    `units.to_si(dataset)` gives a data set with its coordinates, energies and constants in SI.
    """

    length: float
    time: float
    energy: float

    def __post_init__(self) -> None:
        for name in ("length", "time", "energy"):
            _positive(name, getattr(self, name))

    def __str__(self) -> str:
        return f"1 length = {self.length:.6g} m, 1 time = {self.time:.6g} s, 1 energy = {self.energy:.6g} J"

    @classmethod
    def grains(cls, *, sigma: float, mu: float, eta: float, solver: Any = None) -> Self:
        """Units of the grains wing for a material.

        Arguments
        ---------
        sigma: energy of the interface, J/m^2.
        mu: its mobility, m^4/(J s): speed in m/s over driving pressure in Pa.
        eta: width of the interface, m; a phase field may choose it, well below the size of the grains.
        solver: a `phasemill.Medium` or a data set with eta, mu and sigma of the solver; default 7, 1 and 1 (with
            dx = 1).

        Raises InputError for what is not positive or not told, as by a data set of another wing.
        """
        for name, value in (("sigma", sigma), ("mu", mu), ("eta", eta)):
            _positive(name, value)
        own = {name: _constant(solver, name, default) for name, default in (("eta", 7.0), ("mu", 1.0), ("sigma", 1.0))}
        length = eta / own["eta"]
        return cls(length, own["mu"] * own["sigma"] * length**2 / (mu * sigma), sigma * length**2 / own["sigma"])

    @classmethod
    def cahn_hilliard(cls, *, sigma: float, mobility: float, eps: float, solver: Any = None) -> Self:
        """Units of the spinodal wing for a material.

        Arguments
        ---------
        sigma: energy of the interface, J/m^2; the solver's is 1.
        mobility: M of phi_t = M lap(dF/dphi), m^5/(J s), dF/dphi in J/m^3. The diffusivity of a mixture is M g''.
        eps: width of the interface, m.
        solver: a `phasemill.spinodal.physics.Medium` (`phasemill.Medium` is that of grains) or a data set with eps
            and mobility of the solver; default 3 and 1 (with dx = 1).

        Raises InputError for what is not positive or not told, as by a data set of another wing.
        """
        for name, value in (("sigma", sigma), ("mobility", mobility), ("eps", eps)):
            _positive(name, value)
        own = {name: _constant(solver, name, default) for name, default in (("eps", 3.0), ("mobility", 1.0))}
        length = eps / own["eps"]
        return cls(length, own["mobility"] * length**3 / (mobility * sigma), sigma * length**2)

    def factor(self, quantity: str) -> float:
        """SI value of one solver unit of a quantity, one of `DIMENSIONS`."""
        if quantity not in DIMENSIONS:
            raise InputError(unknown(quantity, DIMENSIONS, "quantity"))
        return self._factor(DIMENSIONS[quantity])

    def in_si(self, quantity: str, value: float) -> float:
        """From solver units to SI."""
        return value * self.factor(quantity)

    def from_si(self, quantity: str, value: float) -> float:
        """From SI to solver units."""
        return value / self.factor(quantity)

    def to_si(self, dataset: xr.Dataset) -> xr.Dataset:
        """The data set with coordinates, diagnostics and constants in SI, lazily; fields stay as they are.

        x, y, z and time get the units m and s; energies of interfaces J in 3-D, J/m (per depth) in 2-D; constants in
        the attributes (eps, eta, dx, sigma, mu ...) follow, so that `dataset.phasemill` goes on computing, in SI.

        Raises InputError for a data set that is in SI already, whose axes count cells or frames, or that has nothing to
        convert.
        """
        if not hasattr(dataset, "data_vars"):
            raise InputError("to_si takes a Dataset; for one number use in_si")
        if dataset.attrs.get("units") == "SI":
            raise InputError("the data set is in SI units already: convert the one that it was made from")
        for axis in ("x", "y", "z", "time"):
            if axis in dataset.coords and dataset[axis].dtype.kind in "iu":
                raise InputError(
                    f"{axis} counts {'frames' if axis == 'time' else 'cells'}, so it has no unit: "
                    f"assign the {'times' if axis == 'time' else 'lengths'} with assign_coords first"
                )
        if ABSTRACT & {*map(str, dataset.attrs), *map(str, dataset.variables)}:
            raise InputError("the equation of the data set is one of mathematics, without a material that has units")
        space = sum(axis in dataset.dims for axis in ("x", "y", "z"))
        known = KNOWN | {"area": (space, 0, 0), "interface_area": (space - 1, 0, 0)}
        interfaces = {"eps", "eta"} & {*map(str, dataset.attrs), *map(str, dataset.coords)}
        if interfaces:
            known["energy"] = (space - 3, 0, 1)
        elif "kappa_map" in dataset:  # a dissipation; the Dirichlet energy of a 2-D field has no unit
            known["energy"] = (2, -1, 0)
        if {"estimate", "gradient_square"} <= set(dataset.data_vars):  # maps of kappa, of truth and by fit
            known |= {"truth": KNOWN["kappa"], "estimate": KNOWN["kappa"], "gradient_square": (-2, 0, 0)}
        if "frame" in dataset.coords and dataset["frame"].dtype.kind == "f":  # a time, unless it counts
            known["frame"] = KNOWN["time"]
        if "eps" in interfaces:  # its equation is written for sigma = 1
            dataset = dataset.assign_attrs(sigma=dataset.attrs.get("sigma", 1.0))

        def power(name: object) -> Exponents | None:
            words = str(name).split("_")
            stems = ("_".join(words[:count]) for count in range(len(words), 0, -1))
            return None if RATIOS.search(str(name)) else next((known[stem] for stem in stems if stem in known), None)

        changed = {
            name: _scaled(array, self._factor(exponents), _text(exponents))
            for name, array in dataset.variables.items()
            if (exponents := power(name)) and "flag_meanings" not in array.attrs
        }
        attrs = {
            name: value * self._factor(exponents) if _number(value) and (exponents := power(name)) else value
            for name, value in dataset.attrs.items()
        }
        if not changed and attrs == dataset.attrs:
            raise InputError(
                "the data set has no axis or variable with a unit: rename them, such as to x, time, radius"
            )
        coords = {name: array for name, array in changed.items() if name in dataset.coords}
        others = {name: array for name, array in changed.items() if name not in dataset.coords}
        return dataset.assign(others).assign_coords(coords).assign_attrs({**attrs, "units": "SI"})

    def _factor(self, exponents: Exponents) -> float:
        return float(self.length ** exponents[0] * self.time ** exponents[1] * self.energy ** exponents[2])


def _scaled(variable: xr.Variable, factor: float, units: str) -> xr.Variable:
    scaled: xr.Variable = variable * factor
    scaled.attrs = {**variable.attrs, "units": units}
    return scaled


def _text(exponents: Exponents) -> str:
    """As CF writes units: `m2 s-1`."""
    parts = [
        f"{unit}{power if power != 1 else ''}"
        for unit, power in zip(("J", "m", "s"), (exponents[2], *exponents[:2]), strict=True)
        if power
    ]
    return " ".join(parts) or "1"


def _constant(solver: Any, name: str, default: float) -> float:
    """A constant of the solver from a medium, or from the attributes or coordinates of a data set."""
    if solver is None:
        return default
    attrs = getattr(solver, "attrs", {})
    value = attrs.get(name, getattr(solver, name, None))
    if value is None or np.ndim(value):
        what = "is not told by what is given as solver" if value is None else "differs between its simulations"
        raise InputError(f"{name} {what}: give a Medium, or one simulation of a data set of that wing")
    _positive(name, float(value))
    return float(value)


def _positive(name: str, value: float) -> None:
    if not (_number(value) and np.isfinite(value) and value > 0):
        raise InputError(f"{name} is {value}: it must be finite and positive, in SI units")


def _number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
