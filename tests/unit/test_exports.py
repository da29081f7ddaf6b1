"""Other programs read our data: NetCDF of every kind of store, VTK files in a foreign reader."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import pyvista
import xarray as xr

import phasemill
from tests import stores


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return stores.make(tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("name", [*stores.SMALLER, "evolved"])
def test_every_kind_of_store_is_netcdf_without_a_warning(made, name, tmp_path):
    ds = phasemill.open_dataset(made[name])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ds.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
        with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as back:
            xr.testing.assert_equal(back.load(), ds.load())
            assert set(back.attrs) == set(ds.attrs)
            for key, variable in ds.variables.items():
                for attr, value in variable.attrs.items():  # NetCDF knows no list of one
                    np.testing.assert_array_equal(np.atleast_1d(back[key].attrs[attr]), np.atleast_1d(value))
            if "equation" in back.attrs and "energy" in ds:  # and the accessor goes on there
                np.testing.assert_array_equal(back.phasemill.energy(), ds.phasemill.energy())


def test_a_foreign_reader_of_vtk_sees_the_same_box(made, tmp_path):
    one = phasemill.open_dataset(made["cahn_hilliard"]).isel(sim=1)
    path = one.phasemill.to_vtk(tmp_path / "box.vti", time=1.0)
    grid = pyvista.read(path)
    assert grid.dimensions == (12, 12, 12)
    assert grid.spacing == (1.0, 1.0, 1.0)
    np.testing.assert_array_equal(grid["phi"].reshape(grid.dimensions, order="F"), one.phi.sel(time=1.0))


def test_a_foreign_reader_of_vtk_sees_the_same_plane_and_its_spacing(made, tmp_path):
    one = phasemill.open_dataset(made["evolved"])
    grid = pyvista.read(one.phasemill.to_vtk(tmp_path / "plane.vti"))
    assert grid.dimensions == (16, 20, 1)
    assert grid.spacing == (0.5, 0.5, 0.5)
    np.testing.assert_array_equal(grid["phi"].reshape(16, 20, order="F"), one.phi[0, -1])


def test_a_foreign_reader_of_vtk_sees_a_series(made, tmp_path):
    one = phasemill.open_dataset(made["evolved"]).isel(sim=0)
    reader = pyvista.get_reader(one.phasemill.to_vtk(tmp_path / "series.pvd"))
    assert reader.time_values == [0.0, 1.0, 2.0]
    reader.set_active_time_value(1.0)
    (grid,) = reader.read()
    np.testing.assert_array_equal(grid["phi"].reshape(16, 20, order="F"), one.phi[1])


def test_the_slope_that_a_foreign_program_computes_is_ours(made, tmp_path):
    one = phasemill.open_dataset(made["evolved"]).isel(sim=0)
    grid = pyvista.read(one.phasemill.to_vtk(tmp_path / "plane.vti")).compute_derivative(scalars="phi", gradient=True)
    slope = grid["gradient"][:, 0].reshape(16, 20, order="F")[1:-1]
    np.testing.assert_allclose(slope, np.gradient(one.phi[-1].values, 0.5, axis=0)[1:-1], atol=1e-6)
