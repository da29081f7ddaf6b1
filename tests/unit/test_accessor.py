"""The accessor: it measures what the data sets' writers measured, lazily, and says what it cannot."""

from __future__ import annotations

import dask.base
import numpy as np
import pytest
import xarray as xr
from dask.callbacks import Callback

import phasemill
from phasemill import InputError
from phasemill.core.metrics import interface_displacement
from phasemill.grains.evaluate.polycrystal import _mean_radius
from phasemill.spinodal.metrics import structure_factor
from tests import stores

# worst relative error: frames are float32, diagnostics come from the solver's float64
ENERGIES = {
    "cahn_hilliard": 1e-7,
    "grain_growth_driven_truth": 1e-7,
    "grain_polycrystal_truth": 1e-7,
    "grains_unseen_truth": 1e-7,
    "voronoi_heat": 1e-6,
    "varying_heat": 1e-6,
    "evolved": 1e-7,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return stores.make(tmp_path_factory.getbasetemp())


def opened(made, name):
    return phasemill.open_dataset(made[name])


class Runs(Callback):
    """Whether dask computed anything."""

    def __init__(self):
        self.any = False

    def _start(self, graph):
        self.any = True


@pytest.mark.parametrize("name", ENERGIES)
def test_energies_are_those_of_the_solver_and_lazy(made, name):
    ds = opened(made, name)
    with Runs() as runs:
        energy = ds.phasemill.energy()
    assert not runs.any
    assert dask.base.is_dask_collection(energy)
    assert energy.dims == ds.energy.dims
    np.testing.assert_allclose(energy, ds.energy, rtol=ENERGIES[name], atol=1e-12)
    assert float(ds.energy.max()) > 1e-3
    assert (energy.attrs, energy.name) == ({"units": "1", "long_name": "free energy"}, "energy")


def test_without_dask_the_energy_is_the_same(made):
    ds = phasemill.open_dataset(made["cahn_hilliard"], eager=True)
    energy = ds.phasemill.energy()
    assert energy.chunks is None
    np.testing.assert_array_equal(energy, opened(made, "cahn_hilliard").phasemill.energy())


def test_the_energy_of_walls_is_not_that_of_a_periodic_box(made):
    ds = opened(made, "evolved")
    periodic = ds.assign_attrs(boundary="periodic").phasemill.energy()
    assert (abs(periodic / ds.energy - 1) > 0.01).all()


def test_the_energy_of_allen_cahn_is_that_of_its_fourier_series(made):
    ds = opened(made, "allen_cahn_truth")
    coarse = ds.isel(sim=0)  # solved on the points that are stored
    np.testing.assert_allclose(coarse.phasemill.energy(), coarse.energy, rtol=1e-12)


def test_frames_on_a_coarser_grid_have_the_energy_of_that_grid(made):
    ds = opened(made, "cahn_hilliard_strides")
    from phasemill.spinodal.physics import free_energy

    found = ds.phasemill.energy()
    assert float(found[1, 2]) == pytest.approx(free_energy(ds.phi[1, 2].values, 3.0, 2.0), rel=1e-12)


def test_one_of_several_systems_has_an_energy_that_falls(made):
    ds = opened(made, "other_physics")
    with pytest.raises(InputError, match="fisher_kpp, allen_cahn, cahn_hilliard, gray_scott: choose those of one"):
        ds.phasemill.energy()
    for sim in (1, 2):
        energy = ds.isel(sim=[sim]).phasemill.energy().values[0]
        assert (np.diff(energy) < 0).all()
    with pytest.raises(InputError, match="is not known"):
        ds.isel(sim=[0]).phasemill.energy()


def test_the_double_well_is_the_one_whose_gradient_is_the_equation(made):
    ds = opened(made, "other_physics").isel(sim=[1]).load()
    one, step = ds.isel(time=[0]), 1e-4
    u, eps2 = one.u.values[0, 0].astype(float), float(one.eps2[0])
    bumped = u.copy()
    bumped[3, 4] += step
    both = (
        one.assign(u=one.u.astype(float).copy(data=bumped[None, None])).phasemill.energy()
        - one.assign(u=one.u.astype(float)).phasemill.energy()
    )
    lap = u[2, 4] + u[4, 4] + u[3, 3] + u[3, 5] - 4 * u[3, 4]
    assert float(both[0, 0]) / step == pytest.approx(u[3, 4] ** 3 - u[3, 4] - eps2 * lap, abs=1e-3)


@pytest.mark.parametrize("name", ["grain_growth_driven_truth", "grains_unseen_truth"])
def test_mean_radii_are_those_of_the_store(made, name):
    ds = opened(made, name)
    radius = ds.phasemill.mean_radius()
    assert dask.base.is_dask_collection(radius)
    np.testing.assert_allclose(radius, ds.grain_radius, rtol=1e-12)
    assert float(ds.grain_radius.min()) > 0
    assert radius.attrs == {"units": "1", "long_name": "mean radius of the domains above 0.5"}


def test_mean_radii_of_a_polycrystal_are_those_of_its_areas(made):
    ds = opened(made, "grain_polycrystal_truth")
    areas = ds.area.where(ds.area > 0)
    np.testing.assert_allclose(ds.phasemill.mean_radius(), np.sqrt(areas / np.pi).mean("grain"), rtol=1e-6)


def balls(walls=False):
    """A half ball of radius 6 at either face across x: one domain of a periodic box, two between walls."""
    x = np.arange(24) + 0.5
    across = np.minimum(x, 24 - x)
    distance = np.sqrt(across[:, None, None] ** 2 + (x[:, None] - 12) ** 2 + (x - 12) ** 2)
    phi = xr.DataArray((distance < 6) * 1.0, dims=("x", "y", "z"), coords={"x": x, "y": x, "z": x}, name="phi")
    return phi.to_dataset().assign_attrs(boundary="noflux" if walls else "periodic")


def test_domains_go_on_behind_periodic_faces_alone():
    whole, halves = balls().phasemill.mean_radius(), balls(walls=True).phasemill.mean_radius()
    assert float(whole) == pytest.approx(6, rel=0.02)
    assert float(halves) == pytest.approx(float(whole) / 2 ** (1 / 3), rel=1e-12)
    assert float(balls().phasemill.mean_radius(level=2.0)) == 0


def test_displacements_are_those_of_the_formula_and_follow_further_axes(made):
    ds = opened(made, "cahn_hilliard")
    models = xr.concat([ds.phi.roll(x=1), ds.phi.roll(x=2), ds.phi], "model")
    found = ds.phasemill.interface_displacement(models)
    assert dask.base.is_dask_collection(found)
    assert set(found.dims) == {"sim", "time", "model"}
    assert found.attrs["long_name"] == "displacement of the interfaces"
    phi = ds.phi[1, 3].values
    expected = interface_displacement(phi, np.roll(phi, 2, 0), 1.0)
    assert float(found.isel(sim=1, time=3, model=1)) == pytest.approx(expected, rel=1e-12)
    assert (found.isel(model=2) == 0).all()


def test_a_moved_interface_is_displaced_by_as_much(made):
    x = np.arange(96) * 0.5
    front = 0.5 + 0.25 * (np.tanh((x - 12) / 4) - np.tanh((x - 36) / 4))
    phi = xr.DataArray(np.tile(front[:, None], (1, 4)), dims=("x", "y"), coords={"x": x, "y": x[:4]})
    ds = xr.Dataset({"phi": phi, "moved": phi.roll(x=2)})
    assert float(ds.phasemill.interface_displacement("moved")) == pytest.approx(1.0, rel=0.02)
    assert float(ds.phasemill.interface_displacement(ds[["moved"]].rename(moved="u"))) == pytest.approx(1.0, rel=0.02)


def wall(shift=0.0):
    """A flat front across x between walls, 16 cells of 0.5, and the same moved."""
    x = np.arange(16) * 0.5 + 0.25
    front = 0.5 - 0.5 * np.tanh((x - 4 - shift) / 1.2)
    phi = xr.DataArray(np.tile(front[:, None], (1, 4)), dims=("x", "y"), coords={"x": x, "y": x[:4]}, name="phi")
    return phi.to_dataset()


@pytest.mark.parametrize("boundary", ["noflux", "neumann"])
def test_an_interface_between_walls_is_displaced_by_as_much(boundary):
    ds = wall().assign_attrs(boundary=boundary)
    assert float(ds.phasemill.interface_displacement(wall(0.25))) == pytest.approx(0.25, rel=0.05)
    periodic = ds.assign_attrs(boundary="periodic").phasemill.interface_displacement(wall(0.25))
    assert float(periodic) < 0.15  # the jump across the face counts as a second, sharper interface


def test_walls_of_one_simulation_are_not_those_of_another():
    ds = xr.concat([wall(), wall()], "sim").assign_coords(
        boundary=("sim", np.array([0, 1], np.int8), {"flag_values": [0, 1], "flag_meanings": "periodic neumann"})
    )
    found = ds.phasemill.interface_displacement(xr.concat([wall(0.25), wall(0.25)], "sim"))
    assert float(found[0]) < 0.15
    assert float(found[1]) == pytest.approx(0.25, rel=0.05)


def test_between_walls_there_is_no_structure_factor(made):
    for ds in (opened(made, "evolved"), wall().assign_attrs(boundary="neumann")):
        with pytest.raises(InputError, match="needs a periodic box, and this one has walls"):
            ds.phasemill.structure_factor()


def test_nan_inside_a_frame_is_no_end_of_the_grid():
    ds = wall().assign_attrs(boundary="periodic")
    filled = ds.pad(x=(0, 3), y=(0, 2)).assign_coords(x=np.arange(19) * 0.5 + 0.25, y=np.arange(6) * 0.5 + 0.25)
    same = {"equation": "d phi/dt = kappa lap phi"}
    energy = ds.assign_attrs(same).phasemill.energy()
    assert float(filled.assign_attrs(same).phasemill.energy()) == float(energy)
    for lost in ((-1, 1), (3, -1), (-1, 0), (0, 0)):
        harmed = ds.phi.values.copy()
        harmed[lost] = np.nan
        assert np.isnan(ds.assign(phi=ds.phi.copy(data=harmed)).assign_attrs(same).phasemill.energy())
    assert np.isnan((ds * np.nan).assign_attrs(same).phasemill.energy())


def test_dust_of_absent_grains_is_no_grain():
    x = np.arange(32) + 0.5
    phi = np.zeros((5, 32, 32))
    phi[0, :16], phi[1, 16:], phi[2:] = 1.0, 1.0, 1e-7
    ds = xr.Dataset({"phi": (("grain", "x", "y"), phi)}, coords={"x": x, "y": x})
    assert float(ds.phasemill.mean_radius()) == pytest.approx(np.sqrt(512 / np.pi), rel=1e-12)
    areas = phi.sum(axis=(1, 2))[None]
    assert _mean_radius(areas, 1.0) == pytest.approx(np.sqrt(512 / np.pi), rel=1e-12)
    assert _mean_radius(areas[:, 2:], 1.0) == 0


def test_structure_factors_are_those_of_the_wing(made):
    ds = opened(made, "cahn_hilliard")
    found = ds.phasemill.structure_factor()
    assert dask.base.is_dask_collection(found)
    assert found.dims == ("sim", "time", "k")
    k, s = structure_factor(ds.phi[2, 4].values, 1.0)
    np.testing.assert_array_equal(found.k, k)
    np.testing.assert_allclose(found[2, 4], s, rtol=1e-12)
    assert found.k.attrs["long_name"] == "wavenumber"


def test_the_wavenumber_knows_the_size_of_a_cell():
    x = 0.25 * np.arange(32)
    phi = xr.DataArray(np.cos(2 * np.pi * 3 * x / 8)[:, None] * np.ones(32), dims=("x", "y"), coords={"x": x, "y": x})
    found = phi.to_dataset(name="phi").phasemill.structure_factor()
    assert float(found.idxmax("k")) == pytest.approx(2 * np.pi * 3 / 8)


def test_a_film_is_shown_by_a_notebook_or_written(made, tmp_path):
    ds = opened(made, "cahn_hilliard").isel(sim=0, time=slice(0, 2))
    film = ds.phasemill.animate()
    assert film.content.startswith(b"GIF89a")
    assert film._repr_html_().startswith('<img alt="film" src="data:image/gif;base64,R0lGOD')
    assert "R0lGOD" not in repr(film)
    written = opened(made, "voronoi_heat").isel(sim=[0]).phasemill.animate(tmp_path / "last.png")
    assert written.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda ds: ds[["energy"]].phasemill.energy(), "has no field with an axis x"),
        (lambda ds: ds.drop_attrs().phasemill.energy(), "needs the attribute 'equation'"),
        (lambda ds: ds.assign_attrs(equation="u_t = u").phasemill.energy(), "of the equation 'u_t = u' is not known"),
        (lambda ds: _without(ds, "eps").phasemill.energy(), r"does not tell eps: set ds.attrs\['eps'\]"),
        (lambda ds: ds.phasemill.energy("ph"), "unknown field 'ph'; did you mean 'phi'"),
        (lambda ds: ds.rename(phi="a").assign(b=ds.phi).phasemill.energy(), r"has several fields \(a, b\): name one"),
        (lambda ds: ds.phasemill.interface_displacement(ds.phi[..., :6]), "the fields differ along z"),
        (lambda ds: ds.phasemill.interface_displacement(ds.assign(time=ds.time + 1)), "the fields differ along time"),
        (lambda ds: ds.phasemill.interface_displacement(ds.phi[..., 0]), "has no axis z"),
        (lambda ds: ds.phasemill.interface_displacement(ds.phi.values), "is an array without axes: give a DataArray"),
        (lambda ds: ds.phasemill.animate(), r"phi has the further axes sim: choose, such as ds.isel\(sim=0\)"),
        (lambda ds: ds.isel(sim=0, y=0, z=0).phasemill.animate(), "fewer than 2 cells"),
        (lambda ds: ds.isel(sim=0).phasemill.animate("film.mp4"), "unknown ending '.mp4'"),
        (lambda ds: ds.isel(sim=0).phasemill.to_vtk("film.vtu"), "unknown ending '.vtu'"),
        (lambda ds: ds.assign_coords(x=ds.x**2).phasemill.energy(), "not evenly spaced"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(made, call, words):
    with pytest.raises(InputError, match=words) as caught:
        call(opened(made, "cahn_hilliard"))
    assert "\n" not in str(caught.value)


def _without(ds, name):
    return ds.assign_attrs({}).drop_attrs().assign_attrs({k: v for k, v in ds.attrs.items() if k != name})


def test_grids_of_their_own_have_no_common_wavenumber(made):
    ds = opened(made, "grains_unseen_truth")
    with pytest.raises(InputError, match="have grids of their own"):
        ds.phasemill.structure_factor()
    one = ds.isel(sim=0)
    cells = int(one.cells)
    k, values = structure_factor(one.phi[0, :cells, :cells].values, float(one.dx))
    np.testing.assert_allclose(one.phasemill.structure_factor()[0], values, rtol=1e-12)
    np.testing.assert_array_equal(one.phasemill.structure_factor().k, k)
