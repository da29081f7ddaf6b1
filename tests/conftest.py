"""Shared by all tests: the checkout, its configuration, and one real smoke run."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from phasemill import config

ROOT = Path(__file__).parents[1]
SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))

FOLDER_MARKS = ("physics", "workflow", "faults", "slurm", "browser", "performance")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test's tier is its folder."""
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        if folder in FOLDER_MARKS:
            item.add_marker(folder)


@pytest.fixture(autouse=True)
def threads_of_others() -> Iterator[None]:
    """A test that fixes the threads of this process decides over all tests after it; it does so in one of its own."""
    before = _threads()
    yield
    assert _threads() == before


def _threads() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")}


@pytest.fixture
def raw() -> dict[str, Any]:
    """The shipped configuration, its files joined, free to be changed."""
    return copy.deepcopy(_shipped())


def _shipped() -> dict[str, Any]:
    return config.read_yaml(ROOT / "config" / "config.yaml")


def copy_checkout(target: Path) -> Path:
    """What a clone of the working tree would hold: tracked files and new ones that git does not ignore."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True) if shutil.which("git") else None
    if listed is None or listed.returncode:  # an unpacked archive
        made = (".*", "__pycache__", "*.egg-info", "logs", "*.zarr", "smoke", "laptop", "paper")
        return Path(shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*made), dirs_exist_ok=True))
    for name in filter(None, listed.stdout.split("\0")):
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    return target


Run = Callable[..., subprocess.CompletedProcess[str]]


def snakemake(
    folder: Path, *words: str, check: bool = True, variables: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake as a person would; standard output and error in one."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "SNAKEMAKE_PROFILE")}
    environment |= variables or {}
    done = subprocess.run(
        [SNAKEMAKE, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        **options,
    )
    if check and done.returncode:
        raise AssertionError(f"snakemake {' '.join(words)} exited with {done.returncode}:\n{done.stdout[-6000:]}")
    return done


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in which `snakemake all` has run at scale smoke, once per test session.

    Tests may read it; one that changes files in it must put them back.
    """
    folder = copy_checkout(tmp_path_factory.mktemp("smoke"))
    snakemake(folder, "-c2", "all", "--config", "scale=smoke")
    return folder
