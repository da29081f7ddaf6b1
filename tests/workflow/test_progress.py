"""The progress of a run: what is left by the schedule and the pace, and what people see of Snakemake."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from phasemill.core.run_times import RECORDED
from snakemake_logger_plugin_phasemill import LogHandler, LogHandlerSettings, clock
from snakemake_logger_plugin_phasemill.progress import PRIOR, Progress
from tests.conftest import SNAKEMAKE, snakemake

SECONDS = {"simulate": 10.0, "train": 100.0, "draw": 4.0, "all": 0.0}
NEEDS = {"train": {"simulate"}, "draw": {"train"}, "all": {"draw"}}


def run_of(counts: dict[str, int], cores: int = 2) -> Progress:
    return Progress(counts, NEEDS, SECONDS.get, cores)


def test_the_first_estimate_is_the_schedule():
    left = run_of({"simulate": 2, "train": 2, "draw": 3, "all": 1}).left(0.0)
    assert (left.seconds, left.share, left.complete) == (10 + 100 + 8, 0.0, True)


def test_running_jobs_count_with_what_is_left_of_them():
    run = run_of({"simulate": 1, "train": 1})
    run.start(1, "simulate", 0.0)
    assert run.left(4.0).seconds == pytest.approx(106)
    assert run.finish(1, 10.0) == ("simulate", 10.0)
    run.start(2, "train", 10.0)
    left = run.left(60.0)
    assert (left.seconds, left.share) == pytest.approx((50, 60 / 110))
    assert run.running(60.0) == [("train", 50.0)]


def test_the_pace_of_this_run_corrects_the_estimates():
    run = run_of({"simulate": 1, "train": 2}, cores=1)
    run.start(1, "train", 0.0)
    run.finish(1, 200.0)
    assert run.pace(200.0) == (200 + PRIOR) / (100 + PRIOR)
    assert run.left(200.0).seconds == pytest.approx(110 * run.pace(200.0))
    run.start(2, "train", 200.0)
    assert run.pace(600.0) > run.pace(250.0)  # a job that is late tells before it ends
    assert run.left(600.0).seconds > 0


def test_a_job_that_starts_again_is_one_job():
    run = run_of({"train": 2}, cores=1)
    run.start(1, "train", 0.0)
    run.start(1, "train", 50.0)
    assert run.left(50.0).seconds == 200.0


def test_a_failed_job_waits_again():
    run = run_of({"train": 2}, cores=1)
    run.start(1, "train", 0.0)
    run.fail(1)
    run.fail(1)  # told twice
    assert run.running(900.0) == []
    assert (run.pace(900.0), run.left(900.0).seconds) == (1.0, 200.0)
    run.start(1, "train", 900.0)
    assert run.left(950.0).seconds == 150.0


def test_the_end_of_an_unknown_job_is_no_error():
    run = run_of({"train": 1})
    assert run.finish(7, 10.0) is None
    assert (run.done, run.left(10.0).seconds) == (0, 100.0)


def test_a_rule_with_two_threads_takes_two_cores():
    run = run_of({"train": 3, "simulate": 1}, cores=2)
    run.start(1, "train", 0.0, threads=2)
    assert run.left(0.0).seconds == 100 + 10 + 2 * 100  # nothing beside any training


def test_an_error_that_snakemake_tells_is_followed(monkeypatch):
    settings = SimpleNamespace(stdout=False, nocolor=True, dryrun=False)
    handler = LogHandler(settings, LogHandlerSettings())
    monkeypatch.setattr(handler, "_print", lambda text, style="": None)

    def tell(event, **facts):
        handler._follow(event, SimpleNamespace(**facts))

    tell(LogEvent.RUN_INFO, stats={"train": 2, "total": 2})
    tell(LogEvent.JOB_INFO, jobid=1, rule_name="train", wildcards={"scale": "smoke"}, threads=2)
    assert [rule for rule, _ in handler._progress.running(0.0)] == ["train"]
    assert handler._progress.threads == {"train": 2}
    tell(LogEvent.JOB_ERROR, jobid=1, rule_name="train")
    assert handler._progress.running(0.0) == []
    tell(LogEvent.JOB_FINISHED, job_id=1)  # of a job that does not run
    assert handler._progress.done == 0


def test_what_was_never_measured_is_said():
    assert run_of({"unknown": 2}).left(0.0).seconds is None
    left = run_of({"unknown": 2, "train": 1}).left(0.0)
    assert (left.seconds, left.complete) == (100.0, False)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (3.3, "3 s"), (59.6, "60 s"), (200, "3 min"), (605, "10 min"), (3599, "60 min"), (7500, "2.08 h")],
)
def test_times_show_no_parts_of_a_second(seconds, text):
    assert clock(seconds) == text


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A workflow of six short jobs, with recorded times."""
    (tmp_path / "Snakefile").write_text(
        'rule all:\n    input: expand("out/smoke/b{n}.txt", n=range(3))\n    localrule: True\n'
        'rule first:\n    output: "out/{scale}/a{n}.txt"\n    log: "logs/{scale}/w/first_{n}.log"\n'
        '    shell: "echo told by the job > {log}; sleep {config[sleep]}; {config[command]}; touch {output}"\n'
        'rule second:\n    input: "out/{scale}/a{n}.txt"\n    output: "out/{scale}/b{n}.txt"\n    shell: "touch {output}"\n'
    )
    jobs = {f"w/{rule}": {"rule": rule, "wall_s": 60, "cpu_s": 60, "memory_mb": 9} for rule in ("first", "second")}
    machine = {"speed": 1e9, "cores": 2}
    scale = {"machine": machine, "bytes": {"data": 1, "results": 1}, "short": ["second"], "jobs": jobs}
    (tmp_path / RECORDED).parent.mkdir(parents=True)
    (tmp_path / RECORDED).write_text(json.dumps({"smoke": scale}))
    return tmp_path


PLUGIN = ("--logger", "phasemill", "--show-failed-logs", "--config", "sleep=0")


def test_a_run_into_a_file_is_a_few_lines(toy):
    text = snakemake(toy, "-c2", *PLUGIN, "command=true").stdout
    first, last, log = text.splitlines()
    assert first.startswith("  0 %, 0 of 7 jobs")
    assert " left (" in first
    assert first.endswith("on 2 cores")
    assert last.startswith("100 %, 7 jobs in ")
    assert Path(log.removeprefix("Complete log(s): ")).read_text().count("rule first:") == 3  # Snakemake's own, whole
    assert "Nothing to be done" in snakemake(toy, "-c2", *PLUGIN, "command=true").stdout


def test_a_failed_job_is_shown_with_its_log(toy):
    done = snakemake(toy, "-c1", *PLUGIN, "command=false", check=False)
    assert done.returncode == 1
    assert "Error in rule first" in done.stdout
    assert "told by the job" in done.stdout


def test_commands_are_shown_on_demand(toy):
    text = snakemake(toy, "-c1", "--printshellcmds", "--logger-phasemill-commands", *PLUGIN, "command=true").stdout
    assert "touch out/smoke/a0.txt" in text


def test_a_dry_run_looks_as_ever(toy):
    plain, ours = (snakemake(toy, "-n", "-c1", *words, "command=true").stdout for words in (PLUGIN[2:], PLUGIN))
    assert [line for line in ours.splitlines() if "rule" in line] == [
        line for line in plain.splitlines() if "rule" in line
    ]
    assert "Reason" in ours or "reason" in ours


def test_a_terminal_gets_a_bar_that_ends_with_the_run(toy):
    """In a real terminal; once this hung, because a lock was taken twice."""
    ours, theirs = pty.openpty()
    variables = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80"}
    command = [SNAKEMAKE, "-c2", *PLUGIN[:-1], "sleep=2", "command=true"]
    process = subprocess.Popen(command, cwd=toy, stdin=theirs, stdout=theirs, stderr=theirs, env=variables)
    os.close(theirs)
    text = b""
    try:
        while part := os.read(ours, 4096):
            text += part
    except OSError:  # how Linux ends a terminal
        pass
    assert process.wait(timeout=60) == 0
    assert "━" in text.decode()
    assert b"now: first" in text
    assert b"100 %, 7 jobs in " in text
    assert text.rindex(b"\x1b[?25h") > text.index(b"now: first")  # the cursor is there again
