"""Every module imports with the packages that the project depends on alone."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

from packaging.utils import canonicalize_name

from tests.conftest import ROOT

OPTIONAL = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
MODULES = {
    "py-pde": "pde", "mkdocs-material": "mkdocs", "scipy-stubs": None, "pandas-stubs": None, "types-pyyaml": None,
}  # fmt: skip
"""Distribution -> what it is imported as, where the names differ."""
SHARED = {"packaging"}
"""In the extras for the tests, and there anyhow: what we depend on needs it."""
BEHIND = {"jax", "h5py", "vtk", "tensorflow", "netCDF4"}
"""What the optional packages bring along."""

CODE = """
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

blocked, modules = (set(words.split()) for words in sys.argv[1:])
sys.meta_path.insert(0, Blocker())
for name in blocked:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    raise AssertionError(f"{name} is not blocked")
for name in sorted(modules):
    importlib.import_module(name)
"""


def blocked():
    names = {canonicalize_name(re.split(r"[\[<>=]", line)[0]) for extra in OPTIONAL.values() for line in extra}
    modules = {MODULES.get(name, name.replace("-", "_")) for name in names - SHARED}
    return {module for module in modules if module} | BEHIND


def modules():
    """All but the one that runs the command line."""
    source = ROOT / "src"
    paths = [path.relative_to(source).with_suffix("") for path in (source / "phasemill").rglob("*.py")]
    return [".".join(path.parts).removesuffix(".__init__") for path in paths if path.name != "__main__"]


def test_every_module_imports_without_the_optional_packages():
    wanted = blocked()
    assert {"pyvista", "h5netcdf", "deepxde", "pde", "exponax", "mkdocs", "selenium", "pytest"} <= wanted
    environment = {"PYTHONPATH": str(ROOT / "src")}
    words = [" ".join(names) for names in (sorted(wanted), modules())]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words], capture_output=True, text=True, env=environment, cwd="/"
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_folder_with_modules_is_a_package():
    folders = {path.parent for path in (ROOT / "src/phasemill").rglob("*.py")}
    assert [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").is_file()] == []
