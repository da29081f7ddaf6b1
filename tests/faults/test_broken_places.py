"""Places that cannot be written and disks that are full: one sentence, exit code 1, and the old result stays whole."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from safetensors.numpy import load_file

from phasemill.core import store
from tests.faults.conftest import DATA, GRAINS, Command, spec

HEAT = json.loads(spec("voronoi_heat"))
HEAT["data"] |= {"size": 32, "simulations": 3, "validation": 1, "test": 1, "steps": 100}

# Commands that write each kind of result, and the largest file that the full disk still takes.
WRITERS = {
    "simulate": (["simulate", "voronoi_heat", "--spec", json.dumps(HEAT), "--output", "out/x.zarr"], 4000),
    "statistics": (["statistics", "--data", DATA, "--output", "out/s.json"], 100),
    "train": (
        ["train", "grain_shrink_64_narrow_stepper", "--spec", spec("grain_shrink_64_narrow_stepper"), "--data", DATA,
         "--checkpoints", "out/checkpoints", "--history", "out/h.csv", "--output", "out/m.safetensors",
         "--start", f"{GRAINS}/march.safetensors"],
        2000,
    ),
    "gate": (["gate", f"{GRAINS}/march.safetensors", "--output", "out/g.json"], 10),
    "report": (["report", GRAINS], 1000),
    "evolve": (["evolve", "start.npy", "--until", "1", "--every", "0.5", "-o", "out/e.zarr"], 2000),
    "view": (["view", DATA, "-o", "out/v.html"], 1000),
    "record": (["record", GRAINS, "-o", "out/grain_shrink_64_narrow_1.json"], 1000),
}  # fmt: skip

FULL = """
import resource, sys
from phasemill.cli import main
size = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))  # writing more fails as on a full disk, for every user
main()
"""
BOUND = """
import ctypes, os, sys
if os.geteuid() == 0:  # permissions do not bind root, unless it gives this power away: CAP_DAC_OVERRIDE
    assert ctypes.CDLL(None).prctl(24, 1, 0, 0, 0) == 0
os.execv(sys.executable, [sys.executable, "-m", "phasemill", *sys.argv[1:]])
"""


def child(folder: Path, code: str, *words: object) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, which `code` has put into trouble."""
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], cwd=folder, capture_output=True, text=True)


def refused(done: subprocess.CompletedProcess[str], *sentences: str) -> None:
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("phasemill: ")
    for sentence in sentences:
        assert sentence in last


def content(folder: Path) -> dict[str, bytes]:
    """All files, apart from those in which a training keeps where it stands."""
    files = [path for path in folder.rglob("*") if path.is_file() and "checkpoints" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name != "h.csv"}


@pytest.fixture
def place(run: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all inputs of the commands, entered (after `command` has entered its own)."""
    np.save(run / "start.npy", np.random.default_rng(0).uniform(0.4, 0.6, (16, 16)))
    monkeypatch.chdir(run)
    return run


@pytest.mark.parametrize("name", WRITERS)
def test_on_a_full_disk_the_old_result_stays_and_a_rerun_succeeds(place, command, name):
    words, size = WRITERS[name]
    assert command(*words)[0] == 0
    shutil.rmtree(place / "out/checkpoints", ignore_errors=True)
    before = content(place)
    refused(child(place, FULL, size, *words), "out" if name != "report" else GRAINS, "File too large")
    assert content(place) == before
    code, said = command(*words)
    assert code == 0, said


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_whose_place_a_file_takes_is_named(place, command, name):
    words, _ = WRITERS[name]
    (place / "out").write_text("mine")
    code, said = command(*(str(word).replace(GRAINS, "out") for word in words) if name == "report" else words)
    assert code == 1
    assert said.startswith("phasemill: ")
    assert "out" in said
    assert (place / "out").read_text() == "mine"


@pytest.mark.parametrize("name", ["simulate", "train", "gate", "evolve"])
def test_a_folder_that_may_only_be_read_is_named(place, name):
    words, _ = WRITERS[name]
    (place / "out").mkdir()
    (place / "out").chmod(0o555)
    done = child(place, BOUND, *words)
    (place / "out").chmod(0o755)
    refused(done, "out")
    assert list((place / "out").iterdir()) == []


WRITING = """
import sys
from pathlib import Path
import numpy as np
import xarray as xr
from phasemill.core import store
coords = xr.Dataset(coords={"sim": [0], "x": np.arange(4), "y": np.arange(4)})
variables = {"u": store.Variable(("sim", "x", "y"), "1", "u")}
value, count = float(sys.argv[1]), int(sys.argv[2])
for number in range(count):
    with store.create("out/x.zarr", coords, variables, {"value": value}) as writer:
        writer.write(0, u=np.full((4, 4), value))
"""


def at_once(place: Path, *commands: list[str]) -> list[tuple[int, str]]:
    """Exit codes and last words of processes that run together."""
    running = [
        subprocess.Popen(
            [sys.executable, *words], cwd=place, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        for words in commands
    ]
    said = [process.communicate(timeout=240)[1] for process in running]
    assert not any("Traceback" in words for words in said), said
    return [(process.returncode, words) for process, words in zip(running, said, strict=True)]


def test_writers_of_one_store_replace_each_other_whole(place):
    (place / "out").mkdir()
    writers = [["-c", WRITING, str(value), "12"] for value in (7, 8, 9)]
    assert [code for code, _ in at_once(place, *writers)] == [0, 0, 0]
    left = store.open_dataset(place / "out/x.zarr")
    assert left.attrs["value"] in (7, 8, 9)
    assert float(left.u.mean()) == left.attrs["value"]
    assert sorted(path.name for path in (place / "out").iterdir()) == ["x.json", "x.zarr"]


def test_a_store_and_its_manifest_are_of_one_writer(tmp_path, monkeypatch):
    """A second writer comes while the first one is between its store and its manifest, and has to wait."""
    path, real, second = tmp_path / "out/x.zarr", os.replace, []

    def replace(source: Path, target: Path) -> None:
        if target == store.manifest_path(path) and not second:
            second.append(subprocess.Popen([sys.executable, "-c", WRITING, "2", "1"], cwd=tmp_path))
            deadline = time.monotonic() + 30
            while not list(path.parent.glob(f".x.zarr.json.*{second[0].pid}.partial")):  # ready to be renamed
                assert second[0].poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.001)
            with suppress(subprocess.TimeoutExpired):
                second[0].wait(2)
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    coords = xr.Dataset(coords={"sim": [0], "x": np.arange(4)})
    with store.create(path, coords, {"u": store.Variable(("sim", "x"), "1", "u")}, {"value": 1.0}) as writer:
        writer.write(0, u=np.ones(4))
    assert second[0].wait(30) == 0
    assert store.open_dataset(path).attrs["value"] == 2.0


def test_a_writer_that_is_overtaken_at_the_last_moment_replaces_the_other(tmp_path, monkeypatch):
    path, real, overtaken = tmp_path / "x.zarr", os.replace, []

    def replace(source: Path, target: Path) -> None:
        if target == path and not overtaken:
            overtaken.append(True)
            (path / "of another writer").mkdir(parents=True)
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    coords = xr.Dataset(coords={"sim": [0], "x": np.arange(4)})
    with store.create(path, coords, {"u": store.Variable(("sim", "x"), "1", "u")}, {}) as writer:
        writer.write(0, u=np.ones(4))
    assert overtaken
    assert float(store.open_dataset(path).u.mean()) == 1.0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.json", "x.zarr"]


@pytest.mark.parametrize("name", ["simulate", "train", "evolve"])
def test_of_two_jobs_with_one_output_one_wins_whole(place, command, name):
    words, _ = WRITERS[name]
    codes = [code for code, _ in at_once(place, *[["-m", "phasemill", *words]] * 2)]
    assert 0 in codes
    assert set(codes) <= {0, 1}
    if name == "train":
        assert load_file(place / "out/m.safetensors")
    else:
        store.open_dataset(next((place / "out").glob("*.zarr"))).load()
    assert not list((place / "out").glob(".*"))
    assert command(*words)[0] == 0
