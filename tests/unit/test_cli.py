"""The command line by hand: help, specs, and one sentence for what a person can mend."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT


def phasemill(*words: str, folder=ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "phasemill", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin", "COLUMNS": "100"},
    )


def test_help_names_every_verb():
    text = phasemill("--help").stdout
    verbs = ("simulate", "statistics", "train", "evaluate", "draw", "report", "summarise", "index", "performance")
    for verb in (*verbs, "record-times", "recover", "evolve", "view", "doctor", "spec", "schema"):
        assert f" {verb} " in text


def test_help_begins_with_what_people_use():
    text = phasemill("--help").stdout
    places = [
        text.index(f" {word} ") for word in ("For people", "recover", "doctor", "Jobs of the workflow", "simulate")
    ]
    assert places == sorted(places)
    assert "Commands" not in text


def test_help_of_evolve_breaks_no_sentence_and_names_the_choices():
    text = phasemill("evolve", "--help").stdout
    assert " Interrupt at will: the same command goes on where a solver stopped." in text
    words = " ".join(text.replace("│", " ").split())
    assert "features, raw, published, stride, or a file" in words
    assert "below 2 cells a warning" in words
    assert "the only one so far" in words
    assert "STORE.zarr" in phasemill("view", "--help").stdout


@pytest.mark.parametrize(
    ("words", "choices"),
    [
        (["spec", "voronoi_heat", "--scale", "huge"], "'smoke', 'laptop', 'paper'"),
        (["summarise", "x", "--output", "y", "--scale", "huge"], "'smoke', 'laptop', 'paper'"),
        (["index", "x", "--output", "y", "--scale", "huge"], "'smoke', 'laptop', 'paper'"),
        (["train", "x", "--spec", "{}", "--data", "x", "--checkpoints", "x", "--history", "x", "--output", "x", "--device", "gpu"], "'auto', 'cpu', 'cuda'"),
        (["evaluate", "x", "--spec", "{}", "--data", "x", "--output", "x", "--scale", "smoke", "--device", "gpu"], "'auto', 'cpu', 'cuda'"),
    ],
)  # fmt: skip
def test_choices_are_named(words, choices):
    done = phasemill(*words)
    assert done.returncode == 2
    assert choices in " ".join(done.stderr.replace("│", " ").split())


def test_spec_prints_what_the_workflow_hands_over():
    spec = json.loads(phasemill("spec", "voronoi_heat", "--scale", "smoke").stdout)
    assert spec["data"]["size"] == 32


def test_a_job_runs_by_hand(tmp_path):
    spec = json.loads(phasemill("spec", "voronoi_heat", "--scale", "smoke").stdout)
    spec["data"] |= {"size": 8, "simulations": 3, "validation": 1, "test": 1, "steps": 100}
    target = tmp_path / "small.zarr"
    done = phasemill("simulate", "voronoi_heat", "--spec", json.dumps(spec), "--output", str(target))
    assert done.returncode == 0, done.stderr
    done = phasemill("statistics", "--data", str(target), "--output", str(tmp_path / "small.statistics.json"))
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "small.statistics.json").read_text())
    assert numbers["simulations"] == {"train": 1, "validation": 1, "test": 1}
    assert 0 <= numbers["statistics"]["train"]["phi"]["min"] < numbers["statistics"]["train"]["phi"]["max"] <= 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["spec", "voronoi_het"], "unknown job 'voronoi_het'; did you mean 'voronoi_heat'?"),
        (["spec", "voronoi_heat", "--configfile", "none.yaml"], "none.yaml cannot be read (No such file or directory)"),
        (["spec", "voronoi_heat", "--configfile", "LICENSE"], "LICENSE"),
        (["simulate", "voronoi", "--spec", "{}", "--output", "x.zarr"], "did you mean 'voronoi_heat'?"),
        (["simulate", "voronoi_heat", "--spec", "{}", "--output", "x.zarr"], "--spec of voronoi_heat: seed: Field required"),
        (["simulate", "voronoi_heat", "--spec", "{", "--output", "x.zarr"], "--spec of voronoi_heat: JSON: Invalid JSON"),
        (["statistics", "--data", "none.zarr", "--output", "x.json"], "none.zarr does not exist; make it with: snakemake"),
        (["evaluate", "transport_trained", "--spec", "{}", "--data", "x.zarr", "--output", "y", "--scale", "smoke"], "transport_trained needs --model"),
        (["evaluate", "transport_zero_shot", "--spec", "{}", "--data", "x.zarr", "--output", "y", "--scale", "smoke", "--device", "cpu"], "transport_zero_shot takes no --device"),
        (["report", "results/smoke/transport/none"], "figures.json is missing"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(words, sentence):
    done = phasemill(*words)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    spec = phasemill("spec", "voronoi_heat", "--scale", "smoke").stdout
    done = phasemill("simulate", "voronoi_heat", "--spec", spec, "--output", str(tmp_path / "file" / "x.zarr"))
    assert done.returncode == 1
    assert f"{tmp_path / 'file'}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_reach_numba_and_torch(threads):
    code = (
        f"from phasemill.core.environment import use_threads; use_threads({threads}); "
        "import phasemill.core.kernels, numba, torch; print(numba.get_num_threads(), torch.get_num_threads())"
    )
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == [str(threads)] * 2
