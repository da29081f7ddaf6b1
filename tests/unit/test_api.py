"""What `import phasemill` offers: a handful of names, loaded when they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
import warnings

import numpy as np
import pytest
import xarray as xr

import phasemill
from phasemill import InputError
from phasemill.core import store
from tests.conftest import ROOT

KAPPA = 0.4


def python(code):
    environment = {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_name_is_there_and_is_listed():
    assert set(phasemill.__all__) <= set(dir(phasemill))
    for name in phasemill.__all__:
        assert getattr(phasemill, name).__name__.endswith(name)


def test_type_checkers_see_every_name():
    tree = ast.parse((ROOT / "src/phasemill/__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        (f"{line.module}.{alias.name}".removeprefix("phasemill."))
        for line in block.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }
    assert seen == {f"{phasemill._PLACES[n]}.{n}" if n in phasemill._PLACES else n for n in phasemill.__all__}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'evolv'"):
        phasemill.evolv  # noqa: B018


def test_the_import_is_light_and_names_load_what_they_need():
    heavy = "[n for n in ('torch', 'numba', 'xarray', 'dask', 'scipy', 'numpy') if n in sys.modules]"
    assert python(f"import sys, phasemill; dir(phasemill); print({heavy})") == "[]"
    assert python(f"import sys, phasemill; phasemill.Medium; print({heavy})") == "['numpy']"


@pytest.mark.parametrize(
    "use",
    [
        "import xarray, phasemill; phasemill.Medium",
        "import phasemill; phasemill.evolve",
        "import phasemill.accessor",
        "import phasemill; phasemill.open_dataset",
    ],
)
def test_data_sets_get_the_accessor(use):
    assert python(f"{use}; import xarray; print(hasattr(xarray.Dataset, 'phasemill'))") == "True"


def test_the_accessor_alone_is_light():
    heavy = "[n for n in ('torch', 'numba', 'dask', 'scipy', 'matplotlib') if n in sys.modules]"
    assert python(f"import sys, phasemill.accessor; print({heavy})") == "[]"


def film(noise=0.0):
    """Waves that decay as the 5-point heat equation with kappa = 0.4 has them, dx = dt = 0.5."""
    t, x = 0.5 * np.arange(14), 2 * np.pi * np.arange(32) / 32
    frames = np.zeros((14, 32, 32))
    for k, m in ((1, 2), (2, 1), (3, 2), (0, 3)):
        rate = 4 / 0.5**2 * (np.sin(k * np.pi / 32) ** 2 + np.sin(m * np.pi / 32) ** 2)
        frames += np.exp(-KAPPA * rate * t)[:, None, None] * (np.cos(k * x)[:, None] * np.cos(m * x))
    return frames + np.random.default_rng(0).normal(0, noise, frames.shape) if noise else frames


def labelled(frames):
    axis = 0.5 * np.arange(32)
    coords = {"time": 0.5 * np.arange(len(frames)), "x": axis, "y": axis, "kappa": KAPPA}
    return xr.DataArray(frames, dims=("time", "x", "y"), coords=coords, name="phi")


def test_an_array_gives_its_coefficient_with_a_sigma():
    found = phasemill.recover(film(0.002), dx=0.5, dt=0.5)
    (kappa,) = found.coefficients
    assert found.fits
    assert 0 < kappa.sigma < 0.02
    assert abs(kappa.value - KAPPA) < 3 * kappa.sigma


def test_a_data_array_tells_its_grid_and_its_truth_in_any_order_of_axes():
    plain = phasemill.recover(film(0.002), dx=0.5, dt=0.5)
    told = phasemill.recover(labelled(film(0.002)).transpose("y", "time", "x"))
    assert told.coefficients[0].value == plain.coefficients[0].value
    assert told.coefficients[0].truth == KAPPA
    assert (told.dx, told.interval, told.video) == (0.5, 0.5, "phi")


@pytest.mark.parametrize(
    ("video", "options", "words"),
    [
        (film(), {"dx": 0.5}, "the time between two frames: give dt"),
        (film(), {"dt": 0.5}, "the size of a pixel: give dx"),
        ((film() * 50).astype(int), {"dx": 1, "dt": 1}, "holds int64 values: convert it"),
        (labelled(film()).to_dataset(), {}, "choose a variable and a simulation"),
        (labelled(film()).expand_dims(sim=2), {}, "phi has the axes sim, time, x, y: give one video"),
        (film()[:5], {"dx": 1, "dt": 1}, "has 5 frames: give at least 8"),
        (np.float64(3), {"dx": 1, "dt": 1}, "give one video as"),
    ],
)
def test_what_is_no_video_is_refused_in_one_sentence(video, options, words):
    with pytest.raises(InputError, match=words):
        phasemill.recover(video, **options)


def make(path):
    coords = xr.Dataset(coords={"sim": [0, 1], "time": [0.0, 1.0], "x": [0.0, 1.0], "y": [0.0, 1.0]})
    with store.create(path, coords, {"phi": store.Variable(("sim", "time", "x", "y"), "1", "field")}, {}) as writer:
        for sim in range(2):
            writer.write(sim, phi=np.full((2, 2, 2), sim + 1.0))
    return path


def test_a_store_opens_lazily_with_or_without_dask(tmp_path):
    lazy = phasemill.open_dataset(make(tmp_path / "a.zarr"))
    assert lazy.phi.data.numblocks == (2, 1, 1, 1)
    assert phasemill.open_dataset(tmp_path / "a.zarr", chunks={"time": 1}).phi.data.numblocks == (1, 2, 1, 1)
    assert phasemill.open_dataset(tmp_path / "a.zarr", eager=True).phi.chunks is None
    xr.testing.assert_identical(lazy.compute(), xr.open_zarr(tmp_path / "a.zarr").compute())


def test_it_is_an_engine_of_xarray(tmp_path):
    from phasemill.accessor import Engine

    found = xr.open_dataset(make(tmp_path / "a.zarr"), engine=Engine, drop_variables="y")
    assert "y" not in found.coords
    assert float(found.phi.sum()) == 24.0


def test_a_store_without_a_manifest_is_as_good_as_any(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Zarr, about consolidated metadata
        labelled(film()).to_dataset().to_zarr(tmp_path / "own.zarr")
    assert phasemill.open_dataset(tmp_path / "own.zarr").phi.shape == (14, 32, 32)


def lose_a_chunk(path):
    next(file for file in (path / "phi" / "c").rglob("*") if file.is_file()).unlink()


def spoil_metadata(path):
    (path / "zarr.json").write_text("{")


def forget_arrays(path):
    (path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    path.with_suffix(".json").unlink()
    for file in path.glob("*/zarr.json"):
        file.unlink()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lose_a_chunk, "is damaged: chunks are missing"),
        (spoil_metadata, "cannot be opened as Zarr"),
        (forget_arrays, "holds no arrays"),
        (lambda path: path.with_suffix(".json").write_text("[]"), "is not a manifest"),
    ],
)
def test_a_broken_store_is_one_sentence(tmp_path, harm, words):
    harm(make(tmp_path / "a.zarr"))
    with pytest.raises(InputError, match=words) as caught:
        phasemill.open_dataset(tmp_path / "a.zarr")
    assert "\n" not in str(caught.value)


def test_what_is_missing_or_no_store_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="does not exist: give the"):
        phasemill.open_dataset(tmp_path / "b.zarr")
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "start.npy", np.ones(3))
    for name in ("folder", "start.npy"):
        with pytest.raises(InputError, match=f"{name} is no Zarr store: give the .zarr that phasemill evolve or"):
            phasemill.open_dataset(tmp_path / name)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda phi: phasemill.evolve(phi.to_dataset(name="phi"), until=1), "takes one array: choose a variable"),
        (lambda phi: phasemill.evolve(phi, until="50"), "until is '50': give a number"),
        (lambda phi: phasemill.evolve(phi, until=None), "until is None: give a number"),
        (lambda phi: phasemill.evolve(phi, until=1, every="1"), "every is '1': give a number"),
        (lambda phi: phasemill.evolve(phi, until=1, dt="1", solver="euler"), "dt is '1': give a number"),
        (lambda phi: phasemill.evolve(phi, until=1, tolerance="1"), "tolerance is '1': give a number"),
        (lambda phi: phasemill.evolve(phi, until=1, eps="3"), "eps is '3': give a number"),
    ],
)
def test_what_cannot_be_evolved_is_refused_in_one_sentence(call, words):
    with pytest.raises(InputError, match=words):
        call(xr.DataArray(np.random.default_rng(0).random((8, 8)), dims=("x", "y")))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"direction": "smooth"}, "unknown direction 'smooth'; did you mean 'smoothing'"),
        ({"intensity": "gama"}, "unknown intensity 'gama'; did you mean 'gamma'"),
        ({"physics": "heet"}, "unknown physics 'heet'; did you mean 'heat'"),
        ({"boundary": "walls"}, "unknown boundary 'walls'; known: crop, neumann, periodic"),
        ({"boundary": "periodic", "physics": "fisher"}, "boundary periodic is for physics heat: leave it at crop"),
        ({"dx": -1}, "^dx is -1: give a positive number"),
    ],
)
def test_choices_that_do_not_exist_are_refused_in_one_sentence(options, words):
    with pytest.raises(InputError, match=words) as caught:
        phasemill.recover(film(), **({"dx": 0.5, "dt": 0.5} | options))
    assert "--" not in str(caught.value)
