"""The wheel holds all that the package needs, and works where there is no checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT, copy_checkout

DEMIX = """
import sys
import numpy as np, xarray as xr
import phasemill
from phasemill import grains, pinns, spinodal, transport
from phasemill.report.page import render
assert phasemill.__file__.startswith(sys.argv[1]), phasemill.__file__
result = phasemill.evolve(np.random.default_rng(0).random((16, 16)), until=1, every=0.5, solver="spectral")
assert (np.diff(result.energy) < 0).all()
np.testing.assert_allclose(result.phasemill.energy(), result.energy, rtol=1e-6)
assert phasemill.load_model("features").eps == 3
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = copy_checkout(folder / "source")
    words = [
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
        str(source),
    ]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("phasemill-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel):
    target = wheel.parent / "site"
    words = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def python(installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(installed), "NUMBA_CACHE_DIR": str(installed.parent / "kernels")}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, env=environment, cwd=installed.parent
    )


XARRAY_ALONE = """
import sys
import xarray as xr
xr.Dataset({"phi": (("x", "y"), [[0.0, 1.0], [1.0, 0.0]])}).to_zarr("a.zarr", zarr_format=2)
assert "phasemill" not in sys.modules
ds = xr.open_dataset("a.zarr", engine="phasemill", chunks={})
assert ds.phi.chunks is not None
assert abs(float(ds.assign_attrs(dx=2.0).phasemill.mean_radius()) - 2 / 3.141592653589793**0.5) < 1e-6
"""


def test_the_wheel_holds_every_file_of_the_package(wheel):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("phasemill/")}
    kinds = {".py", ".yaml", ".j2", ".css", ".safetensors", ".typed"}
    wanted = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src/phasemill").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= held
    for kind in kinds:
        assert any(name.endswith(kind) for name in held), kind
    assert not [name for name in held if name.startswith(("tests", "workflow")) or name.endswith(".pyc")]


def test_the_installed_command_tells_its_version(installed):
    import phasemill

    done = python(installed, str(installed / "bin" / "phasemill"), "--version")
    assert done.stdout == f"phasemill {phasemill.__version__}\n", done.stderr


def test_the_installed_package_works_without_the_checkout(installed):
    done = python(installed, "-c", DEMIX, str(installed))
    assert done.returncode == 0, done.stderr


def test_xarray_finds_the_engine_and_with_it_the_accessor(installed):
    done = python(installed, "-c", XARRAY_ALONE)
    assert done.returncode == 0, done.stderr
