"""pyproject.toml, environment.yml, requirements.lock and the running environment say the same."""

from __future__ import annotations

import ast
import gc
import importlib.metadata
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from phasemill.config import WINGS
from phasemill.core.environment import loading
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def by_name(lines: list[str]) -> dict[str, Requirement]:
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


WANTED = by_name(PROJECT["dependencies"])
DEVELOPMENT = by_name(PROJECT["optional-dependencies"]["dev"])
LOCK = by_name([line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")])


def test_environment_yml_names_the_same_packages():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, _, pip = environment["dependencies"]
    assert python == f"python{PROJECT['requires-python']}"
    assert {name: str(one.specifier) for name, one in by_name(pip["pip"]).items()} == {
        name: str(one.specifier) for name, one in WANTED.items()
    }


@pytest.mark.parametrize("name", sorted(WANTED | DEVELOPMENT))
def test_the_lock_satisfies_the_project(name):
    (pin,) = LOCK[name].specifier
    assert pin.operator == "=="
    assert (WANTED | DEVELOPMENT)[name].specifier.contains(pin.version)


@pytest.mark.parametrize("name", sorted(WANTED))
def test_the_running_environment_is_the_locked_one(name):
    running = importlib.metadata.version(name).split("+")[0]  # torch names its build after a plus
    assert LOCK[name].specifier.contains(running)


def test_every_import_is_a_declared_dependency():
    modules = {"yaml": "pyyaml", "cycler": "matplotlib", "markupsafe": "jinja2"}
    modules["snakemake_interface_logger_plugins"] = "snakemake-interface-logger-plugins"
    found = set()
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "workflow").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            found |= {name.split(".")[0] for name in names}
    outside = {name for name in found if name not in sys.stdlib_module_names and name != "phasemill"}
    assert {modules.get(name, name) for name in outside} <= set(WANTED)


@pytest.mark.parametrize("module", ["phasemill", "phasemill.config", "phasemill.cli", "phasemill.core.errors"])
def test_the_workflow_parses_without_heavy_packages(module):
    code = f"import sys, {module}; print([n for n in ('torch', 'numba', 'xarray', 'dask') if n in sys.modules])"
    environment = {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"


def test_garbage_is_searched_for_again_after_loading():
    def broken():
        with loading():
            assert not gc.isenabled()
            raise ImportError

    with pytest.raises(ImportError):
        broken()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


def test_arrows_point_down():
    """cli -> report and wings -> core; no wing imports another."""
    wings = set(WINGS)
    above = {
        "__init__.py": {"accessor", "core", *wings},
        "__main__.py": {"cli", "core"},
        "accessor": {"accessor", "core", "report", *wings},
        "cli": {"cli", "config", "core", "doctor", "report", *wings},
        "doctor": {"config", "core", "doctor"},
        "config.py": {"core", *wings},
        "report": {"core", "report"},
        "core": {"core"},
    }
    for path in (ROOT / "src" / "phasemill").rglob("*.py"):
        place = path.relative_to(ROOT / "src" / "phasemill").parts[0]
        imported = set(re.findall(r"^\s*(?:from|import) phasemill\.(\w+)", path.read_text(), re.MULTILINE))
        allowed = {"core", place} if place in wings else above[place]
        assert imported <= allowed, f"{path} imports {imported - allowed}"


def test_no_file_is_longer_than_a_room():
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("src", "tests", "workflow")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert not long
