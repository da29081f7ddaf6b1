"""What can be known of the containers without a container runtime: their files, versions and steps, and how they start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from tests.conftest import ROOT

DOCKER = (ROOT / "containers" / "Dockerfile").read_text()
APPTAINER = (ROOT / "containers" / "phasemill.def").read_text()
BOTH = pytest.mark.parametrize("recipe", [DOCKER, APPTAINER], ids=["Dockerfile", "phasemill.def"])


def section(name: str) -> list[str]:
    (body,) = re.findall(rf"^%{name}\n((?:    .+\n|\n)+)", APPTAINER, re.MULTILINE)
    return [line.strip() for line in body.splitlines() if line.strip()]


def copied_by_docker() -> set[str]:
    return {name for words in re.findall(r"^COPY (.+) \S+$", DOCKER, re.MULTILINE) for name in words.split()}


def test_both_copy_the_same_files_and_all_exist() -> None:
    copied = {line.split()[0] for line in section("files")}
    assert copied == copied_by_docker()
    assert {"src", "workflow", "config", "Snakefile", "requirements.lock"} <= copied
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_apptainer_puts_each_file_where_docker_does() -> None:
    assert [line for line in section("files") if line.split()[1] != f"/opt/phasemill/{Path(line.split()[0])}"
            and line.split()[0] != "containers/entrypoint.sh"] == []  # fmt: skip


@BOTH
def test_python_is_one_that_the_package_allows(recipe: str) -> None:
    (version,) = re.findall(r"^F(?:ROM|rom:) python:(\S+?)-slim-bookworm$", recipe, re.MULTILINE)
    allowed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert version in SpecifierSet(allowed)


@BOTH
def test_packages_are_those_of_the_lock_and_an_index_may_be_added(recipe: str) -> None:
    assert re.search(r"^(?:ARG|   ) WHEELS=pypi$", recipe, re.MULTILINE)
    assert re.search(r'!= pypi \]; then export PIP_EXTRA_INDEX_URL="(?:\$WHEELS|{{ WHEELS }})"; fi', recipe)
    installs = re.findall(r"pip install (.+?)(?: && \\)?$", recipe, re.MULTILINE)
    assert installs == ["--requirement /opt/phasemill/requirements.lock", "--no-deps --editable /opt/phasemill"]


def test_the_image_runs_as_a_user_of_its_own() -> None:
    lines = DOCKER.splitlines()
    assert [line for line in lines if line.startswith("USER ")] == ["USER phasemill"]
    assert lines.index("USER phasemill") < next(i for i, line in enumerate(lines) if line.startswith("ENTRYPOINT"))


def start(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PHASEMILL_HOME": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
    }
    command = ["sh", str(ROOT / "containers" / "entrypoint.sh"), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


def test_it_starts_verbs_of_phasemill_and_python(tmp_path: Path) -> None:
    assert start(tmp_path, "--version").stdout.startswith("phasemill ")
    assert start(tmp_path, "python", "-c", "print(7)").stdout == "7\n"
    assert list(tmp_path.iterdir()) == []


def test_snakemake_finds_the_workflow_and_leaves_what_is_there(tmp_path: Path) -> None:
    done = start(tmp_path, "snakemake", "-n", "-c1", "transport_zero_shot", "--config", "scale=smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "transport_zero_shot_evaluate" in done.stdout + done.stderr
    changed = tmp_path / "config" / "config.yaml"
    changed.write_text(changed.read_text() + "# mine\n")
    start(tmp_path, "snakemake", "--version")
    assert changed.read_text().endswith("# mine\n")
