"""From SI to the solver and back: dimensions, round trips, and data sets whose numbers stay the same physics."""

from __future__ import annotations

import ast

import numpy as np
import pytest
import xarray as xr

import phasemill
from phasemill import InputError, Medium, Units
from phasemill.core.units import ABSTRACT, DIMENSIONS
from phasemill.grains.physics import lifetime
from phasemill.spinodal import physics as spinodal
from tests import stores
from tests.conftest import ROOT

GRAINS = Units.grains(sigma=0.8, mu=2.5e-13, eta=70e-9)
DEMIXING = Units.cahn_hilliard(sigma=0.2, mobility=3e-30, eps=2e-9)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return stores.make(tmp_path_factory.getbasetemp())


def test_a_worked_example_by_hand():
    """eta = 70 nm is 7 cells, so a cell is 10 nm; mu sigma = 2e-13 m^2/s, so a unit of time is (10 nm)^2 / 2e-13."""
    assert pytest.approx(10e-9) == GRAINS.length
    assert pytest.approx(1e-16 / 2e-13) == GRAINS.time
    assert pytest.approx(0.8 * 1e-16) == GRAINS.energy


def test_the_constants_of_the_solver_become_the_material():
    assert GRAINS.in_si("interface_energy", 1.0) == pytest.approx(0.8)
    assert GRAINS.in_si("boundary_mobility", 1.0) == pytest.approx(2.5e-13)
    assert GRAINS.in_si("length", 7.0) == pytest.approx(70e-9)
    assert DEMIXING.in_si("interface_energy", 1.0) == pytest.approx(0.2)
    assert DEMIXING.in_si("mobility", 1.0) == pytest.approx(3e-30)
    assert DEMIXING.in_si("length", 3.0) == pytest.approx(2e-9)


def test_the_constants_of_another_solver_too():
    medium = Medium(eta=5.0, mu=2.0, sigma=0.3)
    units = Units.grains(sigma=0.8, mu=2.5e-13, eta=70e-9, solver=medium)
    assert units.in_si("interface_energy", 0.3) == pytest.approx(0.8)
    assert units.in_si("boundary_mobility", 2.0) == pytest.approx(2.5e-13)
    assert units.in_si("length", 5.0) == pytest.approx(70e-9)
    other = Units.cahn_hilliard(sigma=0.2, mobility=3e-30, eps=2e-9, solver=spinodal.Medium(eps=4.0, mobility=7.0))
    assert other.in_si("mobility", 7.0) == pytest.approx(3e-30)
    assert other.in_si("length", 4.0) == pytest.approx(2e-9)


def test_a_grain_lives_as_long_in_seconds_whatever_the_solver_counts():
    radius, sigma, mu = 2e-6, 0.8, 2.5e-13
    expected = radius**2 / (2 * mu * sigma)
    for medium in (Medium(eta=7.0, mu=1.0), Medium(eta=5.0, mu=2.0, sigma=0.3)):
        units = Units.grains(sigma=sigma, mu=mu, eta=70e-9, solver=medium)
        found = units.in_si("time", lifetime(units.from_si("length", radius), medium))
        assert found == pytest.approx(expected, rel=1e-12)


def test_demixing_grows_as_fast_in_seconds_whatever_the_solver_counts():
    """The rate of the mode k is -M k^2 sigma (-18/eps + eps k^2) at the mean 1/2, in SI."""
    sigma, mobility, eps = 0.2, 3e-30, 2e-9
    k = 2 / eps
    expected = -mobility * sigma * k**2 * (-18 / eps + eps * k**2)
    for medium in (spinodal.Medium(), spinodal.Medium(eps=5.0, mobility=0.1)):
        units = Units.cahn_hilliard(sigma=sigma, mobility=mobility, eps=eps, solver=medium)
        rate = spinodal.growth_rate(units.from_si("wavenumber", k) ** 2, medium)
        assert rate / units.time == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("quantity", DIMENSIONS)
def test_there_and_back(quantity):
    for units in (GRAINS, DEMIXING, Units(2.0, 3.0, 5.0)):
        assert units.from_si(quantity, units.in_si(quantity, 1.7)) == pytest.approx(1.7, rel=1e-14)


def test_dimensions_are_products_of_metre_second_and_joule():
    units = Units(2.0, 3.0, 5.0)
    assert units.factor("speed") == pytest.approx(2 / 3)
    assert units.factor("boundary_mobility") == pytest.approx(2**4 / (5 * 3))
    assert units.factor("mobility") == pytest.approx(2**5 / (5 * 3))
    assert units.factor("energy_density") == pytest.approx(5 / 2**3)
    # v = mu (sigma / R + dg) and phi_t = M lap(dF/dphi) agree in their dimensions
    assert units.factor("boundary_mobility") * units.factor("energy_density") == pytest.approx(units.factor("speed"))
    assert units.factor("interface_energy") / units.length == pytest.approx(units.factor("energy_density"))
    assert units.factor("mobility") * units.factor("energy_density") / units.length**2 == pytest.approx(1 / units.time)


@pytest.mark.parametrize(
    "name", ["cahn_hilliard", "grain_growth_driven_truth", "grain_polycrystal_truth", "evolved", "varying_heat"]
)
def test_a_data_set_in_si_is_the_same_physics(made, name):
    ds = phasemill.open_dataset(made[name])
    units = Units(2e-9, 3e-5, 5e-18)
    si = units.to_si(ds)
    assert si.phi.chunks == ds.phi.chunks  # still lazy
    for axis in [a for a in ("x", "y", "z") if a in ds.dims]:
        np.testing.assert_allclose(si[axis], 2e-9 * ds[axis], rtol=1e-14)
        assert si[axis].attrs["units"] == "m"
    np.testing.assert_allclose(si.time, 3e-5 * ds.time, rtol=1e-14)
    assert (si.time.attrs["units"], si.time.attrs["long_name"]) == ("s", ds.time.attrs["long_name"])
    scale = {"varying_heat": (2e-9**2 / 3e-5, "m2 s-1"), "cahn_hilliard": (5e-18, "J")}.get(
        name, (5e-18 / 2e-9, "J m-1")
    )
    np.testing.assert_allclose(si.energy, scale[0] * ds.energy, rtol=1e-12)
    assert si.energy.attrs["units"] == si.phasemill.energy().attrs["units"] == scale[1]
    # the accessor goes on, with constants and lengths that are now in SI
    np.testing.assert_allclose(si.phasemill.energy(), si.energy, rtol=1e-6)
    np.testing.assert_allclose(si.phasemill.mean_radius(), 2e-9 * ds.phasemill.mean_radius(), rtol=1e-11)
    assert si.phasemill.mean_radius().attrs["units"] == si.phasemill.interface_displacement(si).attrs["units"] == "m"


def test_names_that_begin_like_a_length_but_are_ratios_stay(made):
    ds = phasemill.open_dataset(made["grain_growth_driven_truth"])
    si = GRAINS.to_si(ds)
    assert si.attrs["eta_over_dx"] == ds.attrs["eta_over_dx"]
    assert si.attrs["eta"] == pytest.approx(1e-8 * ds.attrs["eta"])
    assert si.attrs["dg"] == pytest.approx(0.8 / 1e-8 * ds.attrs["dg"])
    np.testing.assert_array_equal(si.start, ds.start)  # flags
    np.testing.assert_allclose(si.extinction, 5e-4 * ds.extinction)
    np.testing.assert_allclose(si.radius_half, 1e-8 * ds.radius_half)
    np.testing.assert_array_equal(si.grains, ds.grains)
    crystals = phasemill.open_dataset(made["grain_polycrystal_truth"])
    np.testing.assert_allclose(GRAINS.to_si(crystals).area, 1e-16 * crystals.area)
    assert GRAINS.to_si(crystals).area.attrs["units"] == "m2"
    assert "sigma" not in phasemill.open_dataset(made["cahn_hilliard"]).attrs  # and what was given stays as it was


STORED = {
    "m": {
        "x", "y", "z", "dx", "eps", "eta", "radius", "radius_half", "radius_visible", "grain_radius", "mean_radius",
        "mean_radius_truth", "interface_displacement", "displacement", "displacement_fourier", "displacement_nearest",
        "displacement_fourier_floor", "displacement_nearest_floor", "wavelength", "wavelength_truth", "roughness",
        "roughness_truth", "waviness", "waviness_truth", "map_length",
    },
    "s": {"time", "slice_time", "interval", "extinction", "grain_extinction", "dt", "save_interval", "elapsed"},
    "m2": {"interface_area"},
    "m3": {"area", "area_truth"},  # in 3-D a volume
    "m2 s-1": {"kappa", "kappa_estimate", "kappa_map", "kappa_low", "kappa_high"},
    "m-1": {"k"},
    "J-1 m4 s-1": {"mu"},
    "J-1 m5 s-1": {"mobility"},
    "J m-2": {"sigma"},
    "J m-3": {"dg", "energy_density"},
    "J": {
        "energy", "energy_truth", "energy_prediction", "energy_fine", "energy_fourier", "energy_fourier_truth",
    },
}  # fmt: skip
"""Unit -> what a data set of 3-D demixing or of grains could hold by that name."""
PURE = {
    # fields
    "phi", "u", "v", "truth", "prediction", "u_prediction", "v_prediction", "observed", "fitted", "latent",
    "slice_truth", "slice_prediction", "drawn_mean", "drawn_spread", "feed_forward", "attention", "visible",
    # what was measured of them
    "mean", "mse", "rmse", "rmse_fourier", "rmse_nearest", "rmse_fourier_floor", "rmse_nearest_floor", "rmse_still",
    "drift", "low", "low_truth", "high", "high_truth", "texture", "texture_truth", "energy_error",
    "energy_fourier_error", "step_error", "structure_factor", "noise", "seconds",
    # numbers of things, and settings
    "sim", "grain", "grains", "grain_number", "truth_grain", "cells", "components", "components_truth",
    "components_other", "euler", "euler_truth", "percolation", "percolation_truth", "lamella", "evaluations",
    "subdivisions", "axis", "base", "box", "video", "run", "seed", "row", "column", "octaves", "lattice", "deviation",
    "mean_drawn",
    # words
    "split", "start", "boundary", "kind", "shape", "stage", "arm", "around", "corruption", "direction", "horizon",
    "look", "method", "model", "series", "span",
    # of data sets that are refused, or that have a meaning of their own in test_maps_of_kappa and test_frames
    "frame", "estimate", "gradient_square", "system", "D_u", "D_v", "F", "M", "r", "eps2", "omega", "diffusion",
    "reaction", "viscosity", "solved_on", "grid_error", "splitting_error", "truth_error", "quadrature_error",
    "residual_error", "sample", "sample_t", "sample_u", "sample_x",
}  # fmt: skip


def written():
    """Names of the variables that the wings' writers declare."""
    for path in (ROOT / "src" / "phasemill").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            for key, value in zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ():
                called = ast.unparse(value.func).rpartition(".")[2] if isinstance(value, ast.Call) else ""
                if isinstance(key, ast.Constant) and called == "Variable":
                    yield key.value


def test_every_name_that_is_stored_has_its_unit_or_is_a_number(made):
    names = {str(name) for path in made.values() for name in phasemill.open_dataset(path).variables} | set(written())
    assert {"energy_density", "mean_radius_truth", "wavelength", "kappa_map"} <= names
    assert sorted(names - set().union(PURE, *STORED.values())) == []
    box = xr.Dataset({"phi": (("x", "y", "z"), np.ones((2, 2, 2)))}, attrs={"eps": 3.0, "kept": 1.0})
    for unit, its in {**STORED, "": PURE}.items():
        for name in its:
            flags = {"flag_meanings": "a b"} if name in ("start",) else {}
            ds = box.drop_vars("phi") if name in box else box
            ds = ds.assign_coords({name: xr.DataArray(np.float64(2), attrs=flags)}) if name not in box.dims else ds
            ds = ds.assign_coords(x=[0.0, 1.0]) if name not in box.dims else ds.assign_coords({name: [0.0, 1.0]})
            if name not in ABSTRACT | {"frame"}:
                assert GRAINS.to_si(ds)[name].attrs.get("units", "") == unit, name


def test_energies_per_volume_and_lengths_by_any_name_follow():
    ds = xr.Dataset(
        {"energy_density": ("time", [2.0, 1.0]), "wavelength_truth": ("time", [8.0, 9.0])},
        coords={"time": [0.0, 1.0], "slice_time": ("time", [0.0, 2.0])}, attrs={"eps": 3.0, "map_length": 4.0},
    )  # fmt: skip
    si = GRAINS.to_si(ds)
    np.testing.assert_allclose(si.energy_density, [2 * 0.8e8, 0.8e8])
    np.testing.assert_allclose(si.wavelength_truth, [8e-8, 9e-8])
    np.testing.assert_allclose(si.slice_time, [0, 1e-3])
    assert si.attrs["map_length"] == pytest.approx(4e-8)


def test_maps_of_kappa_are_diffusivities():
    """Fields by the same name, of other stores, are not."""
    names = ("truth", "estimate", "gradient_square")
    ds = xr.Dataset({name: (("x", "y"), np.ones((2, 2))) for name in names}, coords={"x": [0.0, 1.0], "y": [0.0, 1.0]})
    si = GRAINS.to_si(ds)
    np.testing.assert_allclose(si.truth, 1e-16 / 5e-4)
    np.testing.assert_allclose(si.estimate, 1e-16 / 5e-4)
    np.testing.assert_allclose(si.gradient_square, 1e16)
    assert [si[name].attrs["units"] for name in names] == ["m2 s-1", "m2 s-1", "m-2"]
    np.testing.assert_array_equal(GRAINS.to_si(ds[["truth"]]).truth, ds.truth)


def test_frames_are_times_unless_they_are_counted():
    ds = xr.Dataset(coords={"x": [0.0, 1.0], "frame": [0.0, 2.0]})
    np.testing.assert_allclose(GRAINS.to_si(ds).frame, [0, 1e-3])
    np.testing.assert_array_equal(GRAINS.to_si(ds.assign_coords(frame=[0, 2])).frame, [0, 2])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda made: GRAINS.to_si(xr.Dataset({"a": ("n", [1.0])})),
            "the data set has no axis or variable with a unit:",
        ),
        (lambda made: GRAINS.to_si(3.0), "to_si takes a Dataset; for one number use in_si"),
        (lambda made: GRAINS.to_si(xr.DataArray([1.0], dims="x")), "to_si takes a Dataset; for one number use in_si"),
        (
            lambda made: Units.cahn_hilliard(
                sigma=1, mobility=1, eps=1, solver=phasemill.open_dataset(made["grain_growth_driven_truth"])
            ),
            "eps is not told",
        ),
        (lambda made: Units(1.0, 0.0, 1.0), "time is 0.0: it must be finite and positive"),
        (lambda made: Units.grains(sigma=-1, mu=1, eta=1), "sigma is -1"),
        (lambda made: Units.cahn_hilliard(sigma=1, mobility=np.nan, eps=1), "mobility is nan"),
        (lambda made: Units.grains(sigma=1, mu=1, eta=1, solver=spinodal.Medium()), "eta is not told"),
        (lambda made: GRAINS.factor("lenght"), "unknown quantity 'lenght'; did you mean 'length'"),
        (lambda made: GRAINS.to_si(GRAINS.to_si(phasemill.open_dataset(made["evolved"]))), "is in SI units already"),
        (lambda made: GRAINS.to_si(phasemill.open_dataset(made["grains_unseen_truth"])), "x counts cells"),
        (lambda made: GRAINS.to_si(phasemill.open_dataset(made["burgers_truth"])), "one of mathematics"),
        (lambda made: GRAINS.to_si(phasemill.open_dataset(made["other_physics"])), "one of mathematics"),
        *(
            (lambda made, one=one: GRAINS.to_si(xr.Dataset(coords={"x": [0.0, 1.0], one: 1.0})), "one of mathematics")
            for one in ("omega", "viscosity", "reaction")  # as beside the predictions of PINNs
        ),
    ],
)
def test_what_makes_no_sense_is_one_sentence(made, call, words):
    with pytest.raises(InputError, match=words):
        call(made)


def test_a_data_set_tells_the_constants_of_its_solver(made):
    ds = phasemill.open_dataset(made["grain_growth_driven_truth"])
    units = Units.grains(sigma=0.8, mu=2.5e-13, eta=70e-9, solver=ds)
    assert units.to_si(ds).attrs["eta"] == pytest.approx(70e-9)
    assert units.to_si(ds).attrs["mu"] == pytest.approx(2.5e-13)
    assert units.to_si(ds).attrs["sigma"] == pytest.approx(0.8)
