"""`phasemill doctor`: estimates from one dry run, a sentence of remedy for each problem, one screen."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from phasemill import config
from phasemill.core.run_times import SHORT
from phasemill.doctor import checks, report
from phasemill.doctor.plan import UNKNOWN, Plan
from phasemill.doctor.report import Report, short, show
from tests.conftest import ROOT
from tests.unit.test_cli import phasemill


@pytest.fixture(scope="module")
def settings():
    return config.load(config.read_yaml(ROOT / "config/config.yaml"))


@pytest.fixture(scope="module")
def plan(settings):
    return Plan(settings, config.SCALES, ROOT)


def test_one_dry_run_knows_the_jobs_of_every_target(plan):
    for scale in config.SCALES:
        whole = plan.of("all", scale)
        wings = [plan.of(wing, scale) for wing in config.WINGS]
        assert set().union(*wings) < whole
        assert {plan.jobs[job].scale for job in whole} == {scale}
        for target, benchmarks in config.TARGETS.items():
            rules = {plan.jobs[job].rule for job in plan.of(target, scale)}
            assert {f"{name}_evaluate" for name in benchmarks} <= rules, target
    jobs = {job.rule: job for job in plan.jobs if job.scale == "smoke"}
    assert jobs["grain_shrink_64_march_train"].name == "grains/train_grain_shrink_64_march"
    assert (jobs["spinodal_speed_evaluate"].threads, jobs["cahn_hilliard_simulate"].priority) == (2, 2)
    assert "grain_shrink_64_gate" in plan.short("smoke")
    assert "index" in plan.rules("smoke").values()


def test_an_estimate_is_the_schedule_of_its_jobs_and_says_what_was_not_measured(plan, settings):
    jobs = {number: plan.jobs[number] for number in plan.of("transport_map", "paper")}
    assert sorted(job.rule for job in jobs.values()) == [
        "draw",
        "page",
        "transport_map_evaluate",
        "transport_map_simulate",
    ]
    times = {job.name: 10.0 for job in jobs.values()}
    found = plan.estimate("transport_map", "paper", times, cores=4)
    assert (found.seconds, found.cpu_seconds, found.measured) == (40.0, 40.0, True)  # one after the other
    del times["transport/transport_map"]
    found = plan.estimate("transport_map", "paper", times, cores=4)
    assert (found.seconds, found.measured) == (30.0 + 60 * settings.minutes("transport_map", "paper"), False)


def test_a_small_job_that_was_not_measured_counts_as_others_of_its_kind(plan):
    times = dict.fromkeys(plan.rules("smoke"), 7.0)
    names = {job.rule: job.name for job in (plan.jobs[number] for number in plan.of("transport_map", "smoke"))}
    whole = plan.estimate("transport_map", "smoke", times, cores=1)
    del times[names["page"]]
    found = plan.estimate("transport_map", "smoke", times, cores=1)
    assert (found.seconds, found.measured) == (whole.seconds, False)
    assert found.share == pytest.approx((whole.seconds - 7) / whole.seconds)
    found = plan.estimate(
        "transport_map",
        "smoke",
        {name: 7.0 for name in names.values() if "/" in name and name not in (names["page"], names["draw"])},
        cores=1,
    )
    assert found.seconds == whole.seconds - 2 * 7.0 + 2 * UNKNOWN  # none of its kind


def test_a_sum_of_limits_is_no_estimate(plan):
    times = dict.fromkeys(plan.rules("smoke"), 7.0)
    del times[next(name for name, rule in plan.rules("smoke").items() if rule == "summary")]
    nothing, most, whole = (
        plan.estimate("all", scale, its, 2)
        for scale, its in (("paper", {}), ("smoke", times), ("smoke", times | dict.fromkeys(plan.rules("smoke"), 7.0)))
    )
    assert (nothing.known, most.known, whole.known) == (False, True, True)
    assert report.cell(nothing) == "?"
    assert report.cell(most) == f"≤{short(most.seconds)}"
    assert report.cell(whole) == short(whole.seconds)


def test_an_extra_is_offered_only_if_it_is_missing(monkeypatch):
    monkeypatch.setattr(checks, "lacking", lambda line: "")
    assert "pip install" not in list(checks.python(ROOT))[-1].text
    monkeypatch.setattr(checks, "lacking", lambda line: "x" if line.startswith("mkdocs") else "")
    assert list(checks.python(ROOT))[-1].text.endswith("add it: pip install -e '.[docs]'")


def test_what_is_there_already_is_not_needed_again(tmp_path):
    for kind in ("data", "results"):
        (tmp_path / kind / "laptop").mkdir(parents=True)
        (tmp_path / kind / "laptop/x").write_bytes(bytes(4 * 10**8))
    free = shutil.disk_usage(tmp_path).free
    found = checks.disk({"laptop": free + 5e8, "smoke": 1e9}, "laptop", tmp_path)
    assert found.state == "ok"
    assert checks.disk({"laptop": free + 2e9}, "laptop", tmp_path).state == "problem"
    assert (
        "still needs laptop 0.2 GB, smoke 1.0 GB" in checks.disk({"laptop": 1e9, "smoke": 1e9}, "laptop", tmp_path).text
    )


def test_a_check_that_takes_a_moment_needs_no_measurement(plan):
    times = dict.fromkeys(plan.rules("smoke"), 1.0)
    found = plan.estimate("grain_shrink_64", "smoke", times, cores=1)
    assert found.measured
    assert found.seconds == len(plan.of("grain_shrink_64", "smoke")) - 1 + SHORT


def test_it_fits_one_screen_and_names_every_target(plan, settings):
    estimates = {
        scale: {target: plan.estimate(target, scale, times, 2) for target in ("all", *config.TARGETS)}
        for scale, times in {
            "smoke": {name: 7.0 for name, rule in plan.rules("smoke").items() if rule != "page"},
            "laptop": dict.fromkeys(plan.rules("laptop"), 7e5),
            "paper": {},
        }.items()
    }
    lines = [checks.Check(f"check {number}", "ok", "text") for number in range(12)]
    console = Console(file=io.StringIO(), width=80)
    show(Report(lines, estimates, dict.fromkeys(config.SCALES, "not measured")), console)
    text = console.file.getvalue()
    assert len(text.splitlines()) <= 45
    assert max(map(len, text.splitlines())) <= 80
    words = text.split()
    assert [target for target in ("all", *config.TARGETS) if words.count(target) != 1] == []
    assert "≤" in text
    assert words.count("?") == 1 + len(config.TARGETS)
    assert "A run can start" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0s"),
        (59.4, "59s"),
        (59.6, "60s"),
        (91, "2m"),
        (89 * 60, "89m"),
        (100 * 60, "1.7h"),
        (5 * 3600, "5h"),
        (47 * 3600, "47h"),
        (3.1 * 86400, "3.1d"),
        (10 * 86400, "10d"),
    ],
)
def test_times_are_short(seconds, text):
    assert short(seconds) == text
    assert len(text) <= 4


@pytest.mark.parametrize(
    ("line", "text"),
    [("numpy>=2.0", ""), ("numpy>=99", "(needs >=99)"), ("no-such-package>=1", "no-such-package")],
)
def test_requirements_are_compared_with_what_is_installed(line, text):
    found = checks.lacking(line)
    assert (text in found) if text else found == ""


def test_a_folder_without_the_workflow_is_refused_with_a_remedy(tmp_path):
    done = phasemill("doctor", folder=tmp_path)
    assert done.returncode == 1
    assert "has no Snakefile" in done.stdout
    assert "go to the folder of phasemill" in done.stdout


def test_machines_read_json(tmp_path):
    done = phasemill("doctor", "--json", folder=tmp_path)
    found = json.loads(done.stdout)
    assert (done.returncode, found["can_start"]) == (1, False)
    assert found["checks"][0]["state"] == "problem"
    assert found["cores"] >= 1


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("Snakefile", "workflow", "src", "profiles", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "config", tmp_path / "config", ignore=shutil.ignore_patterns("site.yaml"))
    return tmp_path


def test_a_typo_of_the_configuration_and_of_the_site_is_named(clone):
    (clone / "config/site.yaml").write_text("slurm: {partitions: x}")
    found, read = checks.checkout(clone)
    assert (found.state, read) == ("problem", None)
    assert "partition" in found.text
    (clone / "config/site.yaml").write_text("slurm: {account: x}")
    found, read = checks.checkout(clone)
    assert (found.state, read.slurm.account) == ("ok", "x")


def test_a_lock_without_an_owner_is_stale(clone):
    assert checks.lock(clone).state == "ok"
    (clone / ".snakemake/locks").mkdir(parents=True)
    (clone / ".snakemake/locks/0.input.lock").write_text("x")
    found = checks.lock(clone)
    assert found.state == "problem"
    assert "snakemake --unlock" in found.remedy


def test_too_small_a_disk_is_a_problem_at_the_active_scale_alone(tmp_path):
    assert checks.disk({"laptop": 1e30}, "laptop", tmp_path).state == "problem"
    assert checks.disk({"paper": 1e30, "laptop": 1.0}, "laptop", tmp_path).state == "ok"
    assert "smoke, paper not measured" in checks.disk({"laptop": 1.0}, "laptop", tmp_path).text


def test_cuda_without_a_gpu_is_a_problem_and_auto_is_not(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert checks.gpu("cuda").state == "problem"
    assert checks.gpu("auto").state == "ok"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda number: "Card 7")
    assert "Card 7; device auto takes the GPU" in checks.gpu("auto").text
    assert "takes the CPU" in checks.gpu("cpu").text


def test_slurm_is_absent_or_answers_or_not(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no sbatch and squeue" in checks.slurm().text
    for name, script in (("sbatch", "exit 0"), ("squeue", "exit 0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        os.chmod(tmp_path / name, 0o755)
    assert checks.slurm().state == "ok"
    (tmp_path / "squeue").write_text("#!/bin/sh\necho Unable to contact controller >&2\nexit 1\n")
    assert checks.slurm().state == "note"
    assert "Unable to contact controller" in checks.slurm().text


def test_a_group_that_rations_cores_is_told(monkeypatch):
    monkeypatch.setattr("phasemill.core.limits.affinity", lambda: 16)
    monkeypatch.setattr("phasemill.core.limits.cores", lambda: 4)
    found = checks.cores()
    assert found.state == "note"
    assert "snakemake -c 4" in found.remedy


def test_a_workflow_that_snakemake_cannot_read_is_a_problem(clone):
    (clone / "Snakefile").unlink()
    (clone / "Snakefile").write_text('include: "none.smk"\n')
    found = report.examine(clone)
    assert [check.name for check in found.problems] == ["workflow"]
    assert "none.smk" in found.problems[0].text
