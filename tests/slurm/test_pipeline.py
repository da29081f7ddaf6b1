"""`all` of a few benchmarks at scale smoke through the shipped Slurm profile, on a real one-node Slurm.

Every kind of job is among them; more would only make the queue longer (the plan of every target through the profile is
tested in tests/dag). One run shows everything. On its way a simulation is cancelled from outside and the training is requeued, as a
preemption would do it. `pytest tests/slurm/test_pipeline.py -s` prints the list of jobs.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import SNAKEMAKE, copy_checkout
from tests.slurm.cluster import Cluster, Job, wait_until

PROFILE = ["--profile", "slurm", "all", "--configfile", "config/smoke.yaml", "config/longer.yaml"]
# The profile's 20 s between looks at the queue suit jobs of hours. After a look that finds nothing finished the
# executor waits 10 s longer, so the best first wait is a little more than a short job (two starts of Snakemake).
SWIFT = ["--slurm-init-seconds-before-status-checks", "12"]
LONGER = """\
run: [spinodal_long, transport_trained]
# Long enough to be requeued in the middle on any machine.
transport: {training: {patience: 1000}}
scales: {smoke: {transport: {training: {epochs: 120}}}}
"""
LOCAL = {"all"}


@dataclass(frozen=True)
class Run:
    """What is left of the run: its clone, its log and its Slurm jobs."""

    clone: Path
    returncode: int
    log: str
    jobs: list[Job]
    cancelled: Job
    requeued: Job
    checkpoint_step: int
    """Step of the checkpoint that lay on disk while the requeued training waited."""

    def table(self) -> str:
        lines = [f"{'id':>3}  {'rule':<28}  {'state':<10}  {'partition':<9}  restarts"]
        lines += [f"{j.id:>3}  {rule(j):<28}  {j.state:<10}  {j.partition:<9}  {j.restarts}" for j in self.jobs]
        return "\n".join(lines) + "\n"


def rule(job: Job) -> str:
    """The executor writes `rule_NAME` or `rule_NAME_wildcards_VALUES` into the job's comment."""
    return job.comment.removeprefix("rule_").partition("_wildcards_")[0]


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def checkpoint_steps(clone: Path) -> list[int]:
    files = clone.glob("results/smoke/transport/transport_trained/checkpoints/*/step-*.pt")
    return sorted(int(file.stem.removeprefix("step-")) for file in files)


@pytest.fixture(scope="module")
def run(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Run:
    clone = copy_checkout(tmp_path_factory.mktemp("clone"))
    (clone / "config/longer.yaml").write_text(LONGER)
    log_file = clone / "snakemake.log"
    with log_file.open("w") as output:
        process = subprocess.Popen(
            [SNAKEMAKE, *PROFILE, *SWIFT],
            cwd=clone,
            env=cluster.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_for(what: str, ready: Callable[[], bool], seconds: float) -> None:
        in_time = wait_until(lambda: process.poll() is not None or ready(), seconds)
        if not in_time or not ready():
            tail = "\n".join(log_file.read_text().splitlines()[-60:])
            pytest.fail(f"{what}: not within {seconds:.0f} s (Snakemake: {process.poll()})\n{tail}")

    def job_of(name: str) -> Job:
        return [job for job in cluster.jobs() if rule(job) == name][-1]

    try:
        simulation = clone / "logs/smoke/transport/simulate.log"
        wait_for("the simulation begins", simulation.exists, seconds=90)
        cancelled = job_of("transport_simulate")
        cluster.run("scancel", str(cancelled.id))

        training = clone / "logs/smoke/transport/train.log"
        wait_for("the training begins", lambda: "starts at step 0 of" in text_of(training), seconds=180)
        wait_for("a checkpoint", lambda: max(checkpoint_steps(clone), default=0) > 0, seconds=120)
        requeued = job_of("transport_train")
        cluster.run("scontrol", "requeue", str(requeued.id))
        wait_for("the training waits", lambda: job_of("transport_train").state == "PENDING", seconds=30)
        checkpoint_step = max(checkpoint_steps(clone), default=0)

        returncode = process.wait(timeout=420)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finished = Run(clone, returncode, log_file.read_text(), cluster.jobs(), cancelled, requeued, checkpoint_step)
    table = clone / "slurm_jobs.txt"
    table.write_text(finished.table())
    print(f"\n{table}\n{finished.table()}")
    return finished


def test_every_job_goes_through_sbatch(run: Run) -> None:
    stats = re.search(r"^job +count\n[- ]+\n((?:\w+ +\d+\n)+)", run.log, re.MULTILINE)
    assert stats is not None
    planned = Counter({name: int(count) for name, count in map(str.split, stats[1].splitlines())})
    expected = Counter({name: count for name, count in planned.items() if name not in LOCAL | {"total"}})
    assert expected
    completed = Counter(rule(job) for job in run.jobs if job.state == "COMPLETED")
    assert completed == expected

    submitted = {int(i) for i in re.findall(r"submitted with SLURM jobid (\d+)", run.log)}
    assert submitted == {job.id for job in run.jobs}
    run_id = re.search(r"SLURM run ID: (\S+)", run.log)
    assert run_id is not None
    assert {job.name for job in run.jobs} == {run_id[1]}


def test_a_job_cancelled_from_outside_is_submitted_again(run: Run) -> None:
    tries = [job for job in run.jobs if rule(job) == "transport_simulate"]
    assert [job.state for job in tries] == ["CANCELLED", "COMPLETED"]
    assert tries[0].id == run.cancelled.id


def test_a_requeued_training_goes_on_from_its_checkpoint(run: Run) -> None:
    trainings = [job for job in run.jobs if rule(job) == "transport_train"]
    assert [(job.id, job.state, job.restarts) for job in trainings] == [(run.requeued.id, "COMPLETED", 1)]
    assert run.checkpoint_step > 0
    log = (run.clone / "logs/smoke/transport/train.log").read_text()
    assert f"goes on at step {run.checkpoint_step} of " in log


def test_the_run_ends_complete(run: Run) -> None:
    assert run.returncode == 0, run.log[-3000:]
    assert (run.clone / "results/smoke/index.html").is_file()


def test_a_second_run_has_nothing_to_do(run: Run, cluster: Cluster) -> None:
    again = subprocess.run(
        [SNAKEMAKE, *PROFILE, "--dry-run"],
        cwd=run.clone,
        env=cluster.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr
