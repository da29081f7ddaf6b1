"""What the README tells people to type works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from phasemill import config
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code", PYTHON, ids=["evolve", "grains", "own_video", "equation", "xarray"])
def test_python_examples_run(smoke_run: Path, code: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(smoke_run / "src"), "MPLBACKEND": "Agg"}
    command = [sys.executable, "-W", "error", "-c", code.replace("/laptop/", "/smoke/")]
    done = subprocess.run(command, cwd=smoke_run, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    if "recover_direct" in code:
        assert float(done.stdout) == pytest.approx(0.4, abs=1e-6)


def test_a_coefficient_is_recovered_from_a_data_set(smoke_run: Path) -> None:
    (words,) = re.findall(r"^phasemill (recover data/\S+voronoi_heat\S+ --sim) \d+", README, re.MULTILINE)
    environment = {**os.environ, "PYTHONPATH": str(smoke_run / "src")}
    command = [sys.executable, "-m", "phasemill", *words.replace("/laptop/", "/smoke/").split(), "7"]
    done = subprocess.run(command, cwd=smoke_run, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found = re.search(r"kappa = (\S+) \+- (\S+) +\(truth (\S+)\)", done.stdout)
    assert found, done.stdout
    value, sigma, truth = map(float, found.groups())
    assert abs(value - truth) < 3 * sigma
    assert (smoke_run / "voronoi_heat.zarr_sim7_recovery/recovery.html").is_file()


def test_every_linked_file_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_make_targets_and_benchmarks_that_it_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"(?<![a-z])make ([a-z][a-z-]*)", README)) - {"it"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    named = set(re.findall(r"\b(?:transport|spinodal|grains?)_[a-z_0-9]+\b", README))
    assert {name for name in named if not name.endswith("_evaluate")} <= set(config.TARGETS)
