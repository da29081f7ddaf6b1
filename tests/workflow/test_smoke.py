"""The whole pipeline for real at scale smoke, and what makes Snakemake run what again."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import xarray as xr
from safetensors import safe_open
from safetensors.numpy import load_file

from phasemill import config
from phasemill.core import store
from phasemill.core.files import read_json
from phasemill.core.provenance import config_hash
from phasemill.report.claims import VERDICTS, load
from tests.conftest import SNAKEMAKE, copy_checkout, snakemake

SMOKE = ("--config", "scale=smoke")
PAGES = {"draw", "page", "summary", "index"}


def planned(folder: Path, *words: str) -> set[str]:
    """The rules that a run would execute now."""
    text = snakemake(folder, "-n", "-c2", "all", *SMOKE, *words).stdout
    if "Nothing to be done" in text:
        return set()
    return set(re.findall(r"^(?:local)?rule (\w+):", text, re.MULTILINE)) - {"all"}


@contextlib.contextmanager
def changed(path: Path, old: str, new: str) -> Iterator[None]:
    """A file with other words, for a while."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    try:
        yield
    finally:
        path.write_text(text)


def stores(folder: Path) -> list[Path]:
    return sorted([*(folder / "data").rglob("*.zarr"), *(folder / "results").rglob("*.zarr")])


def test_a_second_run_has_nothing_to_do(smoke_run):
    assert planned(smoke_run) == set()


def test_every_benchmark_has_its_files(smoke_run):
    names = (
        "report.html",
        "metrics.json",
        "claims.csv",
        "provenance.json",
        "fields.json",
        "fields.zarr",
        "figures.json",
    )
    for benchmark, wing in config.BENCHMARKS.items():
        folder = smoke_run / "results" / "smoke" / wing / benchmark
        assert [name for name in names if not (folder / name).exists()] == []
    assert (smoke_run / "results" / "smoke" / "index.html").is_file()


def test_every_store_opens_silently_with_named_dims_and_units(smoke_run):
    found = stores(smoke_run)
    assert len(found) == len(config.DATASETS) + len(config.BENCHMARKS)
    code = "import sys, xarray as xr; [print(xr.open_zarr(path)) for path in sys.argv[1:]]"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, *found], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for path in found:
        dataset = xr.open_zarr(path)
        assert dataset.sizes["sim"] > 0
        for name, array in dataset.data_vars.items():
            assert array.dims[0] == "sim", name
            assert "units" in array.attrs, name
            assert "long_name" in array.attrs, name
        assert dataset.attrs["provenance_git_commit"]
        assert store.open_dataset(path, chunks=store.DASK_CHUNKS).chunks["sim"] == (1,) * dataset.sizes["sim"]


def test_claims_are_tidy_and_judged(smoke_run):
    judged = set()
    for path in (smoke_run / "results").rglob("claims.csv"):
        with path.open() as stream:
            rows = list(csv.DictReader(stream))
        assert {row["verdict"] for row in rows} <= set(VERDICTS)
        judged |= {row["claim"] for row in rows}
    assert judged == set(load().claims)  # each claim by some benchmark, and none that is not in the catalogue


def left_by(folder: Path, job: str) -> list[dict[str, object]]:
    """The provenance that a job has left in its data set, in each of its models, or beside its page."""
    if job in config.DATASETS:
        return [store.provenance(xr.open_zarr(folder / f"data/smoke/{config.WING_OF[job]}/{job}.zarr"))]
    if job in config.MODELS:
        entries = []
        for path in smoke_settings(folder).model_paths(job, "smoke"):
            with safe_open(folder / path, "np") as stream:
                entries.append(json.loads(stream.metadata()["card"])["provenance"])
        return entries
    return [read_json(folder / f"results/smoke/{config.WING_OF[job]}/{job}/provenance.json")[-1]]


def smoke_settings(folder: Path) -> config.Config:
    return config.load(config.read_yaml(folder / "config" / "config.yaml"))


@pytest.mark.parametrize("job", config.JOBS)
def test_what_snakemake_tracks_is_what_the_job_used(smoke_run, job):
    """The hash in the provenance of each output is that of the spec in the rule's params."""
    expected = config_hash(json.loads(smoke_settings(smoke_run).spec(job, "smoke")))
    for part, entry in enumerate(left_by(smoke_run, job)):
        assert entry["config_hash"] == expected
        assert entry["stage"].removesuffix(f" part {part}") == f"{config.JOBS[job].verb} {job}"


@pytest.mark.parametrize("training", config.MODELS)
def test_where_a_model_comes_from_stands_on_a_page(smoke_run, training):
    pages = [read_json(path) for path in (smoke_run / "results").rglob("provenance.json")]
    assert any(all(entry in entries for entry in left_by(smoke_run, training)) for entries in pages)


def test_the_native_report_works_offline(smoke_run, tmp_path):
    target = tmp_path / "report.zip"
    snakemake(smoke_run, "all", *SMOKE, "--report", str(target))
    assert target.stat().st_size > 100_000


@pytest.mark.parametrize(
    ("old", "new", "rules"),
    [
        (
            "zero_shot: { steps: 20,",
            "zero_shot: { steps: 21,",
            {"transport_zero_shot_evaluate", "transport_trained_evaluate", *PAGES},
        ),
        (
            "training: { epochs: 6,",
            "training: { epochs: 7,",
            {"transport_train", "transport_trained_evaluate", *PAGES},
        ),
        ("      transport_zero_shot: 10\n", "      transport_zero_shot: 11\n", set()),
        ("# Every number that", "# Each number that", set()),
    ],
    ids=["zero_shot", "training", "minutes", "comment"],
)
def test_a_changed_parameter_reruns_its_rules_alone(smoke_run, old, new, rules):
    with changed(smoke_run / "config" / "transport.yaml", old, new):
        assert planned(smoke_run) == rules


def test_a_lost_store_is_remade_and_identical_data_rerun_nothing(smoke_run):
    data = smoke_run / "data" / "smoke" / "transport"
    before = (data / "voronoi_heat.json").read_bytes()
    shutil.rmtree(data / "voronoi_heat.zarr")
    assert "transport_simulate" in planned(smoke_run)
    done = snakemake(smoke_run, "-c2", "data/smoke/transport/voronoi_heat.zarr", *SMOKE)
    assert "rule transport_simulate" in done.stdout
    assert (data / "voronoi_heat.json").read_bytes() == before
    assert planned(smoke_run) == set()


def test_changed_data_rerun_all_that_follows(smoke_run):
    path = smoke_run / "config" / "transport.yaml"
    with changed(path, "grains: { low: 4, high: 8 }", "grains: { low: 4, high: 9 }"):
        assert planned(smoke_run) >= {"transport_simulate", "transport_train", "transport_zero_shot_evaluate", "index"}


def test_touched_source_code_reruns_nothing(smoke_run):
    with changed(smoke_run / "src/phasemill/transport/solver.py", "Explicit Euler", "Euler, explicit"):
        assert planned(smoke_run) == set()


# ---- faults (tests/physics/test_coarsening.py kills the long simulation that goes on from its frames)

DATA = "data/smoke/transport/voronoi_heat.zarr"
MODEL = "results/smoke/transport/transport_trained/model.safetensors"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory) -> Path:
    """A clone of its own for runs that get killed, with a training long enough to be killed in the middle."""
    folder = copy_checkout(tmp_path_factory.mktemp("faulty"))
    path = folder / "config" / "transport.yaml"
    text = (
        path.read_text()
        .replace("training: { epochs: 6,", "training: { epochs: 120,")
        .replace(" patience: 5\n", " patience: 1000\n")
    )
    path.write_text(text)
    return folder


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Snakemake in a process group of its own, so that a test can kill it with all its jobs."""
    return subprocess.Popen(
        [SNAKEMAKE, "-c2", *words, *SMOKE],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def wait_for(found: Callable[[], object], process: subprocess.Popen[str], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_snakemake_goes_on_after_unlock(faulty):
    """kill -9 of Snakemake and its jobs while a store is half-written, then while a training is at work."""
    target = faulty / MODEL
    for moment in (
        lambda: list(faulty.glob("data/smoke/transport/.voronoi_heat.zarr.*.partial")),
        lambda: list(target.parent.glob("checkpoints/*/step-*.pt")),
    ):
        process = start(faulty, MODEL)
        wait_for(moment, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if store.manifest_path(faulty / DATA).exists():
            store.open_dataset(faulty / DATA)
        assert not target.exists()
        blocked = snakemake(faulty, "-c2", MODEL, *SMOKE, check=False)
        assert "LockException" in blocked.stdout
        unlock = subprocess.run(
            [sys.executable, "workflow/unlock.py"], cwd=faulty, capture_output=True, text=True, check=True
        )
        assert "clearing the lock of a run that was killed" in unlock.stdout
    snakemake(faulty, "-c2", MODEL, *SMOKE)
    assert "goes on at step" in (faulty / "logs/smoke/transport/train.log").read_text()
    shutil.move(target, faulty / "once_killed.safetensors")


def test_a_killed_job_is_remade_by_a_plain_rerun(faulty):
    """kill -9 of one job alone: Snakemake reports it and a plain rerun completes."""
    target = faulty / MODEL
    shutil.rmtree(target.parent)
    process = start(faulty, MODEL)
    wait_for(lambda: list(target.parent.glob("checkpoints/*/step-*.pt")), process)
    for child in psutil.Process(process.pid).children(recursive=True):
        if "phasemill" in child.cmdline():
            child.kill()
    assert process.wait(timeout=60) == 1
    assert not target.exists()
    snakemake(faulty, "-c2", MODEL, *SMOKE)
    assert target.exists()


def test_the_same_configuration_gives_the_same_data_and_model(smoke_run, faulty):
    """Also after all those kills, each at another moment: bit-equal data and weights."""
    assert store.manifest_path(smoke_run / DATA).read_bytes() == store.manifest_path(faulty / DATA).read_bytes()
    one, other = load_file(faulty / "once_killed.safetensors"), load_file(faulty / MODEL)
    assert one
    assert all((one[key] == other[key]).all() for key in one)


def test_a_job_that_outlives_its_snakemake_keeps_the_lock(faulty):
    """kill -9 of Snakemake's process alone leaves its job at work: two must not write at once."""
    target = faulty / MODEL
    shutil.rmtree(target.parent)
    process = start(faulty, MODEL)
    wait_for(lambda: list(target.parent.glob("checkpoints/*/step-*.pt")), process)
    orphans = [child for child in psutil.Process(process.pid).children(recursive=True) if "train" in child.cmdline()]
    process.kill()
    process.wait()
    done = subprocess.run([sys.executable, "workflow/unlock.py"], cwd=faulty, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(r"another run \(process \d+\) is at work", done.stderr)
    psutil.wait_procs(orphans, timeout=240)
    subprocess.run([sys.executable, "workflow/unlock.py"], cwd=faulty, check=True)
    snakemake(faulty, "-c2", MODEL, *SMOKE)
    assert target.exists()


def test_unlock_respects_a_living_owner(faulty):
    (faulty / "logs/smoke").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(faulty / "data")
    process = start(faulty, DATA)
    try:
        wait_for(lambda: list((faulty / ".snakemake/locks").glob("*")), process)
        done = subprocess.run([sys.executable, "workflow/unlock.py"], cwd=faulty, capture_output=True, text=True)
        assert done.returncode == 1
        assert f"another run (process {process.pid}) is at work" in done.stderr
    finally:
        process.wait(timeout=240)
