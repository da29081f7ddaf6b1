"""The one-node Slurm that the other tests of this folder stand on."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slurm import cluster as slurm
from tests.slurm.cluster import Cluster, one_node_slurm, skip_reason, wait_until

needs_slurm = pytest.mark.skipif(skip_reason() is not None, reason=skip_reason() or "")


def processes_of(directory: Path) -> list[str]:
    """Command lines and environments that name the directory, found without the cluster's own book-keeping."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if f"{directory}/".encode() in text and int(process.name) != os.getpid():
            found.append(text.replace(b"\0", b" ").decode(errors="replace")[:120])
    return found


def running(cluster: Cluster) -> bool:
    return [job.state for job in cluster.jobs()] == ["RUNNING"]


def test_srun_runs_on_the_node(cluster: Cluster) -> None:
    assert cluster.run("srun", "hostname").strip() == socket.gethostname()


def test_srun_finds_the_cluster_without_slurm_conf(cluster: Cluster) -> None:
    """Snakemake's job step calls srun in an environment without SLURM_CONF."""
    assert cluster.run("env", "-u", "SLURM_CONF", "srun", "echo", "found").strip() == "found"


@pytest.mark.parametrize(
    ("options", "visible"),
    [
        (["--partition=gpu", "--gpus=1"], "0"),
        (["--partition=gpu", "--gpus=fake:1"], "0"),
        (["--partition=gpu"], "none"),
        ([], "none"),
    ],
)
def test_a_job_sees_the_fake_gpu_if_it_asks(cluster: Cluster, options: list[str], visible: str) -> None:
    shown = cluster.run("srun", *options, "sh", "-c", "echo ${CUDA_VISIBLE_DEVICES-none}")
    assert shown.strip() == visible


def test_jobs_land_in_the_cpu_partition_by_default(cluster: Cluster) -> None:
    cluster.run("srun", "true")
    cluster.run("srun", "--partition=gpu", "true")
    assert [job.partition for job in cluster.jobs()][-2:] == ["cpu", "gpu"]


@needs_slurm
@pytest.mark.parametrize("controller_dies", [False, True], ids=["whole", "controller killed"])
def test_nothing_is_left_after_a_failure_inside(tmp_path: Path, controller_dies: bool) -> None:
    def fail_with_a_running_job() -> None:
        with one_node_slurm(tmp_path) as cluster:
            cluster.run("sbatch", "--output=/dev/null", "--wrap", "srun sleep 1000")
            assert wait_until(lambda: running(cluster), seconds=20)
            assert {"munged", "slurmctld", "slurmd", "slurmstepd"} <= set(cluster.processes().values())
            if controller_dies:
                os.kill(int((tmp_path / "slurmctld.pid").read_text()), signal.SIGKILL)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_with_a_running_job()
    assert processes_of(tmp_path) == []


@needs_slurm
def test_by_hand(tmp_path: Path) -> None:
    def by_hand(action: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, slurm.__file__, action, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)

    up = by_hand("up")
    try:
        assert up.returncode == 0, up.stderr
        shell = f"{up.stdout}\nsrun echo hello"
        hello = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, timeout=60, check=True)
        assert hello.stdout.strip() == "hello"
        again = by_hand("up")
        assert (again.returncode, again.stderr.strip()) == (
            1,
            f"A cluster is already running in {tmp_path}; stop it first.",
        )
        assert processes_of(tmp_path), "the running cluster must survive the second `up`"
    finally:
        assert by_hand("down").returncode == 0
    assert processes_of(tmp_path) == []


def test_skip_reason_names_the_packages_and_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = skip_reason()
    assert reason is not None
    assert reason.startswith("Slurm is not installed (Debian: slurm-wlm munge): ")
    assert "sbatch" in reason
