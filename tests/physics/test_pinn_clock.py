"""CPU seconds of recipes over restarts."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from phasemill.pinns.recipes.clock import Clock

pytestmark = pytest.mark.physics

KEY = "a" * 40


def stage(folder: Path, name: str, key: str, *seconds: float) -> tuple[Path, Path]:
    (folder / name / key[:16]).mkdir(parents=True)
    history = folder / f"{name}.csv"
    history.write_text("step,cpu\n" + "".join(f"{step},{cpu}\n" for step, cpu in enumerate(seconds)))
    return folder / name, history


def busy(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_the_newest_stage_of_the_same_settings_goes_before(tmp_path: Path) -> None:
    adam, newton = stage(tmp_path, "adam", KEY, 100.0, 200.0), stage(tmp_path, "newton", KEY)
    assert 200 <= Clock(KEY, adam, newton)() < 210  # newton was stopped before its first row
    newton[1].write_text("step,cpu\n1,350\n")
    assert 350 <= Clock(KEY, adam, newton)() < 360


def test_other_settings_in_the_same_folder_do_not_count(tmp_path: Path) -> None:
    assert Clock(KEY, stage(tmp_path, "window", "b" * 40, 100.0))() < 10
    assert Clock(KEY, (tmp_path / "none", tmp_path / "none.csv"))() < 10


def test_it_stands_while_it_is_held() -> None:
    clock = Clock(KEY)
    with clock.held():
        busy(0.2)
    assert clock() < 0.1
    busy(0.2)
    assert clock() >= 0.2
