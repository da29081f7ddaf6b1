"""`phasemill recover`: what it prints, its JSON and page, and one sentence for each wrong option."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phasemill.core.errors import InputError
from phasemill.core.files import read_json
from phasemill.core.video import Video
from phasemill.transport.video.command import recover_file, replacing
from phasemill.transport.video.recovery import recover_video
from tests.conftest import ROOT
from tests.unit.test_page import Elements

NAME = "a <b>&'\" film.npy"  # a file name may be anything but a page


def recover(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "phasemill", "recover", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin", "COLUMNS": "100", "OMP_NUM_THREADS": "1"},
    )


def decaying(noise: float = 0.01) -> np.ndarray:
    """Two modes of a square with cells of 1, kappa = 0.5, frames 1 apart."""
    x, t = np.arange(24), np.arange(21)[:, None, None]
    video = 0.0
    for k, m in ((0.9, 0.4), (0.3, 0.7)):
        eigenvalue = 4 * np.sin(k / 2) ** 2 + 4 * np.sin(m / 2) ** 2
        video = video + np.exp(-0.5 * eigenvalue * t) * np.cos(k * x + 1)[:, None] * np.cos(m * x)
    return video + noise * np.random.default_rng(0).standard_normal((21, 24, 24))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder in which the command has run."""
    folder = tmp_path_factory.mktemp("recover")
    np.save(folder / NAME, decaying())
    return folder / "out", recover(folder, NAME, "--dx", "1", "--dt", "1", "--output", "out")


def test_the_terminal_shows_the_answer_and_the_verdict(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    run = done[1]
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    found = re.search(r"kappa = ([\d.]+) \+- ([\d.]+)", run.stdout)
    assert found
    assert abs(float(found[1]) - 0.5) < 3 * float(found[2])
    for part in ("reduced chi^2", "whiteness p", "direction: smoothing", "fits: nothing relevant is missing"):
        assert part in run.stdout
    assert run.stdout.strip().endswith("out/recovery.html")


def test_the_json_has_a_fixed_layout(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    content = read_json(done[0] / "recovery.json")
    assert list(content) == ["format", "source", "recovery", "prediction", "provenance"]
    assert set(content["source"]) == {"sha256", "values"}
    result = content["recovery"]
    kinds = {
        "video": str, "frames": int, "cells": list, "bits": type(None), "dx": float, "interval": float, "physics": str,
        "equation": str, "boundary": str, "intensity": str, "method": str, "direction": str, "coefficients": list,
        "noise": float, "chi2": float, "sigma_scale": float, "whiteness": dict, "unexplained": float, "used": float,
        "fits": bool, "verdict": str, "notes": list, "missing": list, "estimates": list,
    }  # fmt: skip
    assert {key: type(value) for key, value in result.items()} == kinds
    assert [set(item) for item in result["coefficients"]] == [{"name", "value", "sigma", "truth"}]
    assert {frozenset(item) for item in result["missing"]} == {frozenset(("term", "meaning", "t", "share", "needed"))}
    assert {frozenset(item) for item in result["estimates"]} == {frozenset(("method", "values", "sigmas"))}
    assert set(result["whiteness"]) == {"t", "x", "y", "p"}
    prediction = content["prediction"]
    assert len(prediction["frames"]) == len(prediction["rms_error"]) == len(prediction["rms_no_motion"]) == 21
    assert prediction["rms_error"][-1] < prediction["rms_no_motion"][-1] / 10
    assert content["provenance"]["stage"] == f"recover {NAME}"


def test_the_page_is_self_contained_and_escaped(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    html = (done[0] / "recovery.html").read_text()
    elements = Elements(html).found
    loaded = [a[name] or "" for _, a in elements for name in ("src", "href", "xlink:href") if name in a]
    assert loaded
    assert all(value.startswith(("data:", "#")) for value in loaded)
    assert [a.get("type") for tag, a in elements if tag == "script"] == ["application/json"]
    assert "<b>&'" not in html
    assert "&lt;b&gt;" in html
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert block is not None
    assert json.loads(block[1]) == read_json(done[0] / "recovery.json")
    assert [tag for tag, _ in elements].count("svg") == 5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["none.mp4", "--dx", "1", "--dt", "1"], "none.mp4 does not exist"),
        (["a.npy", "--dt", "1"], "a.npy does not say the size of a pixel: give --dx"),
        (["a.npy", "--dx", "1"], "a.npy does not say the time between two frames: give --dt"),
        (["a.npy", "--dx", "-1", "--dt", "1"], ": dx is -1: give a positive number"),
        (["few.npy", "--dx", "1", "--dt", "1"], "few.npy has 3 frames: give at least 8"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, words: list[str], sentence: str) -> None:
    np.save(tmp_path / "a.npy", decaying())
    np.save(tmp_path / "few.npy", decaying()[:3])
    run = recover(tmp_path, *words)
    assert run.returncode == 1
    assert sentence in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
    assert "Traceback" not in run.stderr


def test_a_run_that_fails_leaves_the_old_result_whole(tmp_path: Path) -> None:
    (tmp_path / "out" / "figures").mkdir(parents=True)
    (tmp_path / "out" / "figures" / "old.svg").touch()
    with pytest.raises(FileExistsError), replacing(tmp_path / "out") as partial:
        partial.mkdir()  # in the middle of a run, something fails
    assert [path.name for path in (tmp_path / "out" / "figures").iterdir()] == ["old.svg"]
    with replacing(tmp_path / "out") as partial:
        (partial / "figures").mkdir()
        (partial / "figures" / "new.svg").touch()
    assert [path.name for path in (tmp_path / "out" / "figures").iterdir()] == ["new.svg"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match="out is a file: give the name of a folder"), replacing(tmp_path / "out"):
        pass


def test_numbers_that_are_not_finite_are_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overflowing(*args: Any, **options: Any) -> Any:
        result, evidence = recover_video(*args, **options)
        return replace(result, chi2=float("nan")), evidence

    monkeypatch.setattr("phasemill.transport.video.command.recover_video", overflowing)
    with pytest.raises(InputError, match="the numbers overflow or vanish"):
        recover_file(
            Video(decaying(), "a"), tmp_path / "out", dx=1, interval=1, physics="heat", direction="auto",
            boundary="crop", intensity="identity",
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_the_default_folder_names_file_and_choice(tmp_path: Path) -> None:
    np.savez(tmp_path / "film.npz", one=decaying(), two=decaying())
    run = recover(tmp_path, "film.npz", "--variable", "two", "--dx", "1", "--dt", "1")
    assert run.stdout.strip().endswith("film.npz_two_recovery/recovery.html")
    assert "<h1>film.npz, two</h1>" in (tmp_path / "film.npz_two_recovery" / "recovery.html").read_text()


def test_help_lists_the_options() -> None:
    text = recover(ROOT, "--help").stdout
    for option in ("--dx", "--dt", "--direction", "--boundary", "--intensity", "--physics", "--output", "--values"):
        assert option in text
