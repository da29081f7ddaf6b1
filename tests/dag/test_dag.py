"""The DAG of every target at every scale, the profiles, and what people see when something is wrong."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.cli import args_to_api, parse_args

from phasemill import config
from tests.conftest import ROOT, copy_checkout, snakemake

SNAPSHOTS = Path(__file__).with_name("snapshots")
TARGETS = ["all", "truth", "models", *config.TARGETS]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """An empty folder with the workflow in it, by links: no results, nothing to collide with."""
    for name in ("Snakefile", "workflow", "src", "config", "profiles", "slurm", "environment.yml"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def dry_run(folder: Path, *words: str, where: tuple[str, ...] = ("--cores", "2")) -> str:
    """`snakemake -n ...` inside this process, which saves a second of imports; what it prints, or its failure."""
    output = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        parser, arguments = parse_args(["-n", *where, *words])
        success = args_to_api(arguments, parser)
    assert success, output.getvalue()
    return output.getvalue()


def jobs(text: str) -> dict[str, int]:
    """Rule -> number of jobs, from the table that Snakemake prints."""
    table = re.search(r"^job +count\n-+ +-+\n(.*?)^total", text, re.MULTILINE | re.DOTALL)
    assert table, text
    return {line.split()[0]: int(line.split()[1]) for line in table[1].splitlines() if line.strip()}


@pytest.mark.parametrize("scale", config.SCALES)
@pytest.mark.parametrize("target", TARGETS)
def test_every_target_at_every_scale(clone, target, scale):
    counts = jobs(dry_run(clone, target, "--config", f"scale={scale}"))
    assert counts[target] == 1


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_through_the_slurm_profile(clone, target):
    text = dry_run(clone, target, where=("--profile", "slurm"))
    assert jobs(text)[target] == 1
    assert "/laptop/" not in text


def test_a_shorter_run_makes_what_it_needs_alone(clone):
    counts = jobs(dry_run(clone, "all", "--config", "run=transport_map"))
    assert set(counts) == {
        "transport_map_simulate",
        "transport_map_evaluate",
        "draw",
        "page",
        "summary",
        "index",
        "all",
    }


def test_the_dag_needs_no_heavy_packages(clone, tmp_path_factory):
    """What `make dry-run` does in an environment of its own."""
    blocked = tmp_path_factory.mktemp("blocked")
    for name in ("torch", "numba", "xarray", "zarr", "dask", "matplotlib", "scipy"):
        (blocked / f"{name}.py").write_text("raise ImportError('not installed here')")
    done = snakemake(clone, "-n", "-c1", "all", variables={"PYTHONPATH": str(blocked)})
    assert jobs(done.stdout)["all"] == 1


@pytest.mark.parametrize(("attempt", "memory", "minutes"), [("1", 14000, 600), ("2", 28000, 1200)])
def test_memory_and_run_time_grow_with_the_attempt(clone, attempt, memory, minutes):
    text = dry_run(clone, "models", "--attempt", attempt, "--config", "scale=paper")
    (resources,) = re.findall(r"rule transport_train:(?:\n .*)*?\n    resources: (.*)", text)
    assert f"mem_mb={memory}," in resources
    assert f"runtime={minutes}," in resources


def test_the_dag_of_all_is_the_one_we_know(clone):
    text = dry_run(clone, "all", "--config", "scale=smoke")
    edges = re.findall(r"^(?:local)?rule (\w+):\n(?:    input: (.*)\n)?    output: (.*)", text, re.MULTILINE)
    lines = [f"{rule}: {given} -> {made}" for rule, given, made in sorted(edges)]
    seen = "\n".join([f"{count} {rule}" for rule, count in jobs(text).items()] + lines) + "\n"
    snapshot = SNAPSHOTS / "all.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOTS.mkdir(exist_ok=True)
        snapshot.write_text(seen)
    assert seen == snapshot.read_text(), "if this is meant: UPDATE_SNAPSHOTS=1 pytest tests/dag"


@pytest.mark.parametrize("name", [*config.TARGETS, "truth", "models", "all"])
def test_targets_are_listed(clone, name):
    done = snakemake(clone, "--list-target-rules")
    assert re.search(rf"^{name}\b", done.stdout, re.MULTILINE)


def test_a_path_decides_its_own_scale(clone):
    text = dry_run(clone, "results/smoke/transport/transport_zero_shot/report.html", "--config", "scale=paper")
    assert '"size":32' in text
    assert "results/paper" not in text


def test_run_selects_benchmarks(clone):
    counts = jobs(dry_run(clone, "all", "--config", "run=transport_zero_shot"))
    assert "transport_train" not in counts


@pytest.mark.parametrize(("words", "scale"), [([], "laptop"), (["--configfile", "config/smoke.yaml"], "smoke")])
def test_the_scale_is_printed(clone, words, scale):
    done = snakemake(clone, "-n", "-c1", "all", *words)
    assert f"phasemill: scale {scale}, all benchmarks" in done.stdout
    assert f"results/{scale}/index.html" in done.stdout


# ---- profiles


def profile(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / name / "config.yaml").read_text()))


def test_the_default_profile_is_safe_in_every_mode():
    """It is merged after --profile and would win over it without a word."""
    harmful = {"executor", "cores", "jobs", "default-resources", "set-resources", "set-threads", "config"}
    assert not set(profile("profiles/default")) & (harmful | {"configfile", "retries"})


def test_the_slurm_profile_is_the_cluster_at_paper_scale():
    slurm = profile("slurm")
    assert slurm["executor"] == "slurm"
    assert slurm["configfile"] == "config/paper.yaml"
    assert not set(slurm) & {"set-resources", "config", "cores"}  # they would override rules or users silently


def test_a_plain_slurm_run_needs_no_arguments_but_its_profile(clone):
    done = snakemake(clone, "--profile", "slurm", "all", "-n")
    assert "phasemill: scale paper" in done.stdout
    with contextlib.chdir(ROOT):
        _, arguments = parse_args(["--profile", "slurm", "all"])
    assert arguments.executor == "slurm"


def test_slurm_without_a_scale_stops_with_a_sentence(clone, tmp_path_factory):
    mine = tmp_path_factory.mktemp("mine") / "mine.yaml"
    mine.write_text("device: cpu\n")
    done = snakemake(clone, "--profile", "slurm", "all", "--configfile", str(mine), check=False, timeout=120)
    assert done.returncode == 1
    assert "phasemill: a Slurm run needs a scale: add --config scale=paper" in done.stdout
    assert not list((clone / ".snakemake" / "locks").glob("*"))


def test_slurm_without_its_programs_stops_with_a_sentence(clone, tmp_path_factory, monkeypatch):
    path = tmp_path_factory.mktemp("bin")
    for tool in ("bash", "env", "git", "sh", "which"):
        (path / tool).symlink_to(str(shutil.which(tool)))
    monkeypatch.setenv("PATH", str(path))
    done = snakemake(clone, "--profile", "slurm", "all", check=False, timeout=120)
    assert done.returncode == 1
    assert "--profile slurm needs sbatch and squeue on PATH: start it on a login node" in done.stdout


def test_site_settings_reach_the_jobs(tmp_path):
    for name in ("Snakefile", "workflow", "src", "profiles", "slurm", "environment.yml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "config").mkdir()
    for path in (ROOT / "config").glob("*.yaml"):
        if path.name != "site.yaml":
            (tmp_path / "config" / path.name).symlink_to(path)
    text = dry_run(tmp_path, "truth")
    assert "slurm_account" not in text
    site = "slurm: {account: proj1, partition: short, max_minutes: 7}\n"
    (tmp_path / "config" / "site.yaml").write_text(site)
    text = dry_run(tmp_path, "all")
    assert "slurm_account=proj1" in text
    assert "slurm_partition=short" in text
    assert set(re.findall(r"runtime=(\d+)", text)) == {"7"}


# ---- bad configuration, as people see it


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["scal=smoke"], "scal: unknown key 'scal'; did you mean 'scale'?"),
        (["scale=huge"], "scale: Input should be 'smoke', 'laptop' or 'paper' (got 'huge')"),
        (
            ["run=nothing"],
            f"run: unknown benchmark 'nothing'; known: {', '.join(sorted(config.BENCHMARKS))}",
        ),
    ],
)
def test_a_bad_configuration_stops_before_anything_starts(clone, words, sentence):
    done = snakemake(clone, "-n", "-c1", "all", "--config", *words, check=False)
    assert done.returncode == 1
    assert sentence in done.stdout
    assert "Traceback" not in done.stdout


# ---- a new wing

GUIDE = (ROOT / "docs" / "how-to" / "add-a-system.md").read_text()


def add_the_wing_of_the_guide(folder: Path) -> set[str]:
    """Write the files of the guide into a clone whose folders are its own; returns their names."""
    files = dict(re.findall(r'^```\w+ title="(.+?)"\n(.*?)^```', GUIDE, re.MULTILINE | re.DOTALL))
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    return set(files)


def test_a_new_wing_is_one_folder_one_rules_file_and_one_config_block(tmp_path):
    copy_checkout(tmp_path)
    places = {"config/fronts.yaml", "workflow/rules/fronts.smk", "src/phasemill/fronts"}
    names = add_the_wing_of_the_guide(tmp_path)
    assert {name if name in places else str(Path(name).parent) for name in names} == places
    done = snakemake(tmp_path, "-c1", "fronts", "--config", "scale=smoke")
    assert "rule fronts_rate_evaluate" in done.stdout
    page = (tmp_path / "results/smoke/fronts/fronts_rate/report.html").read_text()
    assert "Fisher (1937)" in page
    assert "fronts_rate" in jobs(snakemake(tmp_path, "-n", "-c1", "all", "fronts_rate").stdout)
    told = snakemake(tmp_path, "-n", "fronts", "--config", "fronts={'videos': {'rte': 1}}", check=False).stdout
    assert "fronts.videos.rte: unknown key 'rte'; did you mean 'rate'?" in told


# ---- checks of form


@pytest.mark.parametrize(
    "words",
    [
        ["ruff", "check", "src", "tests", "workflow"],
        ["ruff", "format", "--check", "src", "tests", "workflow"],
        ["mypy"],
        ["snakefmt", "--check", "Snakefile", "workflow"],
        ["snakemake", "--lint"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_form(words):
    tool = Path(sys.executable).with_name(words[0])
    done = subprocess.run([tool, *words[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
