"""The command line inside the test's own process, and a finished benchmark that may be damaged."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from phasemill import cli, config
from phasemill.cli import pipeline, tools
from tests.conftest import ROOT

Command = Callable[..., tuple[int, str]]

GRAINS = "results/smoke/grains/grain_shrink_64_narrow"
DATA = "data/smoke/grains/grain_shrink_64_narrow_truth.zarr"
SETTINGS = config.load(config.read_yaml(ROOT / "config" / "config.yaml"))


def spec(job: str) -> str:
    """What the workflow hands to a job at scale smoke."""
    return SETTINGS.spec(job, "smoke")


@pytest.fixture
def run(smoke_run: Path, tmp_path: Path) -> Path:
    """The folder of one benchmark and its data set, copied from the smoke run, free to be damaged."""
    for part in (GRAINS, DATA):
        shutil.copytree(smoke_run / part, tmp_path / part, ignore=shutil.ignore_patterns("*_checkpoints"))
    shutil.copy2((smoke_run / DATA).with_suffix(".json"), tmp_path / Path(DATA).parent)
    return tmp_path


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `phasemill WORDS` in an empty folder; returns the exit code and what it says in the end.

    Everything but a sentence and an exit code, such as an exception, fails the test.
    """
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(cli, "logging", _Silent())
    for module in (pipeline, tools):  # numba refuses another number of threads once some have been started
        monkeypatch.setattr(module, "use_threads", lambda threads: None)

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["phasemill", *map(str, words)])
        try:
            cli.main()
            code: object = 0
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        if isinstance(code, str):
            return 1, code
        return int(code or 0), said.out + said.err

    return run


class _Silent:
    """Stands for `logging` in `cli`: a test must not change the settings of pytest's own process."""

    INFO = logging.INFO
    basicConfig = captureWarnings = staticmethod(lambda *_, **__: None)
