"""A folder in which pages of the manual run: what a reader has in a checkout, without results of others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT

READ = ["Snakefile", "config", "environment.yml", "profiles", "results/recorded", "slurm", "src", "workflow"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copies, so that no page can change the checkout itself."""
    for name in READ:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tmp_path / name)
    return tmp_path
