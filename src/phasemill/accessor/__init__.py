"""The accessor `ds.phasemill` of xarray Datasets: energy, domain size, interfaces, structure factor, films, VTK.

    import phasemill.accessor                    # or any phasemill function that works with data sets
    ds = xr.open_zarr("data/laptop/grains/grain_growth_35_truth.zarr")
    ds.phasemill.energy().plot.line(x="time")

What is computed follows from the data set itself: the equation in its attributes, and its constants and grid in
attributes or coordinates. Arrays of dask stay lazy. Where phasemill is installed, it is also an engine of xarray:
`xr.open_dataset(path, engine="phasemill")` checks the manifest and registers the accessor, without any import.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendEntrypoint

from phasemill.accessor.energies import LAWS, Frame, Law, grain_radius, many_phase, own_grid
from phasemill.core.errors import InputError, unknown
from phasemill.core.fields import AXES, cell_size

PREFERRED = ("phi", "u")
WALLS = ("noflux", "neumann")
"""What the boundary is called where nothing leaves the box; otherwise it is periodic."""
HERE = Path("the data set")
"""What messages call it."""


def open_dataset(path: Path | str, *, chunks: Mapping[str, int] | None = None, eager: bool = False) -> xr.Dataset:
    """Open any Zarr store of phasemill, lazily, with the accessor; a manifest beside it is checked.

    Arguments
    ---------
    path: what `phasemill evolve`, `simulate` or an evaluation wrote.
    chunks: of dask; default: one task per simulation, with all its frames.
    eager: without dask; arrays are read where they are used.

    Raises InputError, one sentence, for what is missing, damaged or no such store.

    Examples
    --------
    >>> import numpy as np
    >>> import phasemill
    >>> result = phasemill.evolve(np.random.default_rng(0).random((16, 16)), until=1, every=0.5)
    >>> _ = result.to_zarr("evolved.zarr", consolidated=False)
    >>> phasemill.open_dataset("evolved.zarr").phasemill.energy().dims
    ('time',)
    """
    from phasemill.core import store

    return store.open_any(path, None if eager else (store.DASK_CHUNKS if chunks is None else chunks))


class Engine(BackendEntrypoint):
    """`xr.open_dataset(path, engine="phasemill")`."""

    description = "Open Zarr stores of phasemill, checked against their manifest"
    open_dataset_parameters = ("filename_or_obj", "drop_variables")

    def open_dataset(self, filename_or_obj: Any, *, drop_variables: Any = None) -> xr.Dataset:
        """As `open_dataset`; xarray adds chunks."""
        return open_dataset(filename_or_obj, eager=True).drop_vars(drop_variables or [])


@xr.register_dataset_accessor("phasemill")  # type: ignore[no-untyped-call]  # xarray has no types for it
class Accessor:
    """What phasemill knows to measure of a data set; every result is a DataArray with units and a long_name.

    `field` names the variable to measure, by default phi, u or the only one with the axes x[, y[, z]]; further axes
    (sim, time, model ...) stay. Arrays of dask stay lazy, frame by frame. Raises InputError, one sentence, for a
    data set without what is needed.

    Examples
    --------
    >>> import numpy as np
    >>> import phasemill
    >>> ds = phasemill.evolve(np.random.default_rng(0).random((32, 32)), until=20, every=10)
    >>> bool(np.allclose(ds.phasemill.energy(), ds.energy, rtol=1e-5))
    True
    >>> ds.phasemill.mean_radius().attrs["long_name"]
    'mean radius of the domains above 0.5'
    >>> ds.phasemill.structure_factor().dims
    ('time', 'k')
    >>> ds.phasemill.interface_displacement(ds.phi).values
    array([0., 0., 0.])
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        self._ds = dataset

    def energy(self, field: str | None = None) -> xr.DataArray:
        """The free energy of each frame: that of the data set's equation, on its own grid.

        Cahn-Hilliard, two-phase and polycrystal obstacle models, Allen-Cahn; for the heat equation the Dirichlet
        energy, with kappa(x) the dissipation.
        """
        array = self._field(field)
        law = self._law(array)
        constants = [self._constant(name, law.defaults.get(name)) for name in law.constants]
        grain = law.energy is many_phase
        found = self._per_frame(law.energy, array, self._dx(array), *constants, grain=grain)
        depth = 3 - len(self._space(array))
        units = f"J m-{depth}" if law.units == "J" and depth else law.units
        return self._named(found, "energy", "free energy", units)

    def mean_radius(self, field: str | None = None, *, level: float = 0.5) -> xr.DataArray:
        """The mean over the connected domains field > level of the radius of an equal disc or ball; 0 if there is none.

        Of a polycrystal (an axis `grain`) it is the mean over its grains, by their areas or volumes. Boxes of the
        boundary `noflux` or `neumann` are not periodic.
        """
        from phasemill.core.metrics import equivalent_radii

        array = self._field(field)

        def domains(frame: Frame, dx: float, walls: float) -> float:
            radii = equivalent_radii(np.asarray(frame > level), dx, not walls)
            return float(radii.mean()) if len(radii) else 0.0

        polycrystal = "grain" in array.dims
        found = self._per_frame(
            grain_radius if polycrystal else domains,
            array, self._dx(array), self._constant("walls", 0.0), grain=polycrystal,
        )  # fmt: skip
        words = "mean radius of the grains" if polycrystal else f"mean radius of the domains above {level:g}"
        return self._named(found, "mean_radius", words, "m")

    def interface_displacement(self, other: xr.Dataset | xr.DataArray | str, field: str | None = None) -> xr.DataArray:
        """sqrt(sum (self - other)^2 / sum |grad self|^2): how far the interfaces of two fields are apart.

        Boxes of the boundary `noflux` or `neumann` are not periodic.

        Arguments
        ---------
        other: a data set of the same grid and frames, an array, or the name of another variable of this data set.
        """
        from phasemill.core.metrics import interface_displacement

        truth = self._field(field)
        if isinstance(other, xr.Dataset):
            other = Accessor(other)._field(field)
        prediction = self._field(other) if isinstance(other, str) else other
        if not isinstance(prediction, xr.DataArray):
            raise InputError("the other field is an array without axes: give a DataArray, as ds.phi.copy(data=array)")
        _same_grid(truth, prediction)

        def displacement(one: Frame, dx: float, walls: float, another: Frame) -> float:
            return interface_displacement(one, own_grid(another), dx, bool(walls))

        found = self._per_frame(displacement, truth, self._dx(truth), self._walls(), prediction)
        return self._named(found, "interface_displacement", "displacement of the interfaces", "m")

    def structure_factor(self, field: str | None = None) -> xr.DataArray:
        """S(k) = |FFT(field - mean)|^2 / cells, averaged over shells of the wavenumber k, a further axis.

        Of periodic boxes alone.
        """
        from phasemill.spinodal.metrics import structure_factor

        array = self._field(field)
        dx, space = self._dx(array), self._space(array)
        if np.any(self._walls()):
            raise InputError(
                "structure_factor needs a periodic box, and this one has walls: choose periodic simulations"
            )
        if isinstance(dx, xr.DataArray) and dx.ndim:
            raise InputError(
                "the simulations have grids of their own, so k differs: choose one, such as ds.isel(sim=[0])"
            )
        if "cells" in self._ds.coords:  # one simulation of those with grids of their own
            array = array.isel({axis: slice(int(self._ds["cells"])) for axis in space})
        shape = tuple(array.sizes[axis] for axis in space)
        k, _ = structure_factor(np.zeros(shape), float(dx))
        found = xr.apply_ufunc(
            lambda frame: structure_factor(frame, float(dx))[1], array,
            input_core_dims=[space], output_core_dims=[["k"]], vectorize=True, dask="parallelized",
            output_dtypes=[np.float64], dask_gufunc_kwargs={"output_sizes": {"k": len(k)}, "allow_rechunk": True},
        )  # fmt: skip
        found = self._named(found, "structure_factor", "structure factor", "1")
        return found.assign_coords(k=("k", k, {"units": "m-1" if self._si else "1", "long_name": "wavenumber"}))

    def animate(self, path: Path | str | None = None, *, field: str | None = None) -> Film | Path:
        """A film of one simulation: for a notebook, or into a .gif, an .html page or a .png (the last frame)."""
        from phasemill.report import view

        source = self._source(field)
        if path is not None:
            return view.view(source, Path(path))
        with tempfile.TemporaryDirectory() as folder:
            return Film(view.view(source, Path(folder) / "film.gif").read_bytes())

    def to_vtk(self, path: Path | str, *, field: str | None = None, time: float | None = None) -> Path:
        """Write one simulation for ParaView: the frame nearest to `time` (.vti, default: the last) or all (.pvd)."""
        from phasemill.report import view

        return view.export(self._source(field), Path(path), time)

    @property
    def _si(self) -> bool:
        return bool(self._ds.attrs.get("units") == "SI")

    def _field(self, name: str | None) -> xr.DataArray:
        fields = [str(key) for key, array in self._ds.data_vars.items() if "x" in array.dims]
        if name is None:
            name = next((known for known in PREFERRED if known in fields), None)
        if name is None and len(fields) == 1:
            name = fields[0]
        if name is None:
            several = f"has several fields ({', '.join(fields)}): name one" if fields else "has no field with an axis x"
            raise InputError(f"the data set {several}")
        if name not in fields:
            raise InputError(f"the data set: {unknown(name, fields, 'field')}")
        return self._ds[name]

    def _space(self, array: xr.DataArray) -> list[str]:
        return [axis for axis in AXES if axis in array.dims]

    def _dx(self, array: xr.DataArray) -> Any:
        """Of the stored cells: a coordinate, where simulations have their own, else the spacing of x."""
        if "dx" in self._ds.coords:
            return self._ds["dx"]
        return cell_size(array, HERE) or self._constant("dx", None)

    def _constant(self, name: str, default: float | None) -> Any:
        """From the coordinates, the variables or the attributes, in this order."""
        if name == "walls":
            return self._walls()
        if name in self._ds.variables:
            return self._ds[name]
        if name in self._ds.attrs:
            return float(self._ds.attrs[name])
        if default is None:
            raise InputError(f"the data set does not tell {name}: set ds.attrs['{name}']")
        return default

    def _walls(self) -> Any:
        """1 where nothing leaves the box, 0 where it is periodic."""
        if "boundary" in self._ds.coords:
            words = self._ds["boundary"].attrs["flag_meanings"].split()
            codes = [code for code, word in enumerate(words) if word in WALLS]
            return self._ds["boundary"].isin(codes).astype(float)
        return float(self._ds.attrs.get("boundary") in WALLS)

    def _law(self, array: xr.DataArray) -> Law:
        equation = str(self._ds.attrs.get("equation", ""))
        if "system" in self._ds.coords:  # several equations in one store
            codes = np.unique(self._ds["system"].values)
            words = self._ds["system"].attrs["flag_meanings"].split()
            if len(codes) > 1:
                raise InputError(
                    f"the simulations have the equations {', '.join(words[c] for c in codes)}: choose those of one"
                )
            clauses = dict(clause.split(": ", 1) for clause in equation.split("; "))
            equation = clauses.get(words[codes[0]], "")
        for law in LAWS:
            if re.search(law.equation, equation):
                return law
        said = f"of the equation '{equation}' is not known" if equation else "needs the attribute 'equation'"
        raise InputError(f"the energy {said}: phasemill knows those of its own stores")

    def _per_frame(
        self, function: Callable[..., float], array: xr.DataArray, *others: Any, grain: bool = False
    ) -> xr.DataArray:
        """function(frame, *others) of each frame; what has axes in space is handed over by frame as well."""
        core = [*(["grain"] if grain else []), *self._space(array)]
        dims: list[Sequence[str]] = [core]
        dims += [[d for d in core if d in getattr(other, "dims", ())] for other in others]
        plain = [other.drop_vars(core, errors="ignore") if hasattr(other, "dims") else other for other in others]
        found: xr.DataArray = xr.apply_ufunc(
            lambda frame, *more: function(own_grid(frame), *more), array, *plain,
            input_core_dims=dims, vectorize=True, dask="parallelized", output_dtypes=[np.float64], join="override",
            dask_gufunc_kwargs={"allow_rechunk": True},
        )  # fmt: skip
        return found

    def _named(self, array: xr.DataArray, name: str, words: str, units: str) -> xr.DataArray:
        return array.rename(name).assign_attrs(units=units if self._si else "1", long_name=words)

    def _source(self, name: str | None) -> Any:
        """What `report.view` draws: one simulation with the axes ([time,] x, y[, z])."""
        from phasemill.report.view import Source

        dataset = self._ds.squeeze()
        array = Accessor(dataset)._field(name)
        space = self._space(array)
        if extra := [str(d) for d in array.dims if d not in ("time", *space)]:
            choice = ", ".join(f"{d}=0" for d in extra)
            raise InputError(f"{array.name} has the further axes {', '.join(extra)}: choose, such as ds.isel({choice})")
        if len(space) < 2 or min(array.sizes[axis] for axis in space) < 2:
            raise InputError(f"{array.name} has fewer than 2 cells along x or y: there is nothing to see")
        return Source(HERE, dataset, array.transpose(*(d for d in ("time", *space) if d in array.dims)))


@dataclass(frozen=True)
class Film:
    """An animated GIF that a notebook shows."""

    content: bytes = field(repr=False)

    def _repr_html_(self) -> str:
        import base64

        return f'<img alt="film" src="data:image/gif;base64,{base64.b64encode(self.content).decode()}">'


def _same_grid(truth: xr.DataArray, other: xr.DataArray) -> None:
    """Refuse fields that are not on one grid at the same times."""
    if missing := [str(d) for d in truth.dims if d in AXES and d not in other.dims]:
        raise InputError(f"the other field has no axis {missing[0]}: give one on the same grid")
    for dim in truth.dims:
        if dim in other.dims:
            here, there = np.asarray(truth[dim], float), np.asarray(other[dim], float)
            if here.shape != there.shape or not np.allclose(here, there, rtol=1e-6, atol=1e-9 * np.ptp(here)):
                _differ(str(dim), here, there)


def _differ(dim: str, here: NDArray[Any], there: NDArray[Any]) -> NoReturn:
    spans = " and ".join(f"{len(v)} from {v[0]:g} to {v[-1]:g}" for v in (here, there))
    raise InputError(f"the fields differ along {dim} ({spans}): select or interpolate the one onto the other")
