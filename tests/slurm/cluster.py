"""A real Slurm of one node in one directory.

Everything is private to the directory: configuration, key, sockets, ports, state, spool and logs. Nothing of
the machine's own Slurm or MUNGE is read or written, no root is needed, and stopping ends only what was
started here.

In a test::

    with one_node_slurm(tmp_path) as cluster:
        cluster.run("srun", "hostname")

By hand, to try the Slurm profile on one machine::

    eval "$(python tests/slurm/cluster.py up /some/folder)"
    snakemake --profile slurm all --configfile config/smoke.yaml
    python tests/slurm/cluster.py down /some/folder
"""

from __future__ import annotations

import argparse
import os
import pwd
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
CPUS = 4
REQUEUE_DELAY = 15
"""Seconds that Slurm lets a requeued job wait: the life of a job credential, 120 unless configured."""

CONFIGURATION = """\
ClusterName=onenode
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={directory}/munge.socket,cred_expire={requeue_delay}
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.log
MailProg=/bin/true
AccountingStorageType=accounting_storage/none
# No cgroups: they need the machine's own tree. Memory is held to the request by polling instead.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
MinJobAge=3600
KillWait=10
ReturnToService=2
GresTypes=gpu
# The node may pretend to more than the machine has.
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=32000 Gres=gpu:fake:1 State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=ALL MaxTime=INFINITE State=UP
"""

SRUN = """\
#!/bin/sh
# Snakemake's job step drops every SLURM_* variable before it calls srun, SLURM_CONF with them.
SLURM_CONF={configuration} exec {srun} "$@"
"""


def skip_reason() -> str | None:
    """Say in one sentence which program of Slurm is missing here; None if all are present."""
    missing = [name for name in (*DAEMONS, *COMMANDS) if _program(name) is None]
    if not missing:
        return None
    return f"Slurm is not installed (Debian: slurm-wlm munge): {', '.join(missing)} not found."


@dataclass(frozen=True)
class Job:
    """One row of `scontrol show jobs`; `comment` is where Snakemake's executor puts the rule's name."""

    id: int
    name: str
    comment: str
    state: str
    partition: str
    restarts: int

    @classmethod
    def parse(cls, row: str) -> Job:
        field: dict[str, str] = dict(re.findall(r"(?:^| )(\w+)=(\S*)", row))
        return cls(
            id=int(field["JobId"]),
            name=field["JobName"],
            comment=field.get("Comment", ""),
            state=field["JobState"],
            partition=field["Partition"],
            restarts=int(field["Restarts"]),
        )


@dataclass(frozen=True)
class Cluster:
    """One-node Slurm that lives in `directory` (an absolute path; a socket's path ends at 107 bytes)."""

    directory: Path

    @property
    def configuration(self) -> Path:
        return self.directory / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment for this cluster, free of any other Slurm."""
        other = ("SLURM_", "SBATCH_", "SRUN_", "SQUEUE_", "SINFO_")
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(other)},
            "SLURM_CONF": str(self.configuration),
            "PATH": f"{self.directory / 'bin'}:{os.environ.get('PATH', os.defpath)}",
        }

    def run(self, *command: str, timeout: float = 60) -> str:
        """Run a command on this cluster and return its output."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{shlex.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def jobs(self) -> list[Job]:
        """Every job of the last hour (MinJobAge), finished ones included."""
        rows = self.run("scontrol", "--oneliner", "show", "jobs").splitlines()
        return [Job.parse(row) for row in rows if row.startswith("JobId=")]

    def start(self) -> None:
        """Write the configuration, start the three daemons and wait until the node takes jobs."""
        if reason := skip_reason():
            raise RuntimeError(reason)
        if self.processes():
            raise RuntimeError(f"A cluster is already running in {self.directory}; stop it first.")
        self._write_configuration()
        try:
            # --force: only this user needs the socket, so the directory above it may be closed to others.
            files = {f"--{name}-file={self.directory}/munge.{name}" for name in ("key", "pid", "log", "seed")}
            self._daemon("munged", "--force", f"--socket={self.directory}/munge.socket", *sorted(files))
            self._daemon("slurmctld", "-f", str(self.configuration))
            self._daemon("slurmd", "-f", str(self.configuration))
            if not wait_until(lambda: self._node_state() == "idle", seconds=60):
                raise RuntimeError(f"The node did not become idle in 60 s.\n{self._logs()}")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Cancel the jobs and end the daemons; whatever does not end by itself is killed."""
        if "slurmctld" in self.processes().values():
            with suppress(RuntimeError, subprocess.TimeoutExpired):  # if it does not answer, jobs are ended below
                self.run("scancel", f"--user={_user()}", timeout=20)
                wait_until(lambda: not self.run("squeue", "--noheader").strip(), seconds=20)
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, sign)
            if wait_until(lambda: not self.processes(), seconds=5):
                return
        raise RuntimeError(f"Processes of the cluster in {self.directory} do not end: {self.processes()}.")

    def processes(self) -> dict[int, str]:
        """Name of each running daemon of this cluster and of each process inside its jobs, by their environment."""
        mine = f"SLURM_CONF={self.configuration}".encode()
        found = {}
        for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
            variables = _proc(pid, "environ").split(b"\0")
            name = _proc(pid, "comm").decode(errors="replace").strip()
            in_job = any(variable.startswith(b"SLURM_JOB_ID=") for variable in variables)
            if mine in variables and (in_job or name.startswith(("munged", "slurm"))):
                found[pid] = name
        return found

    def _write_configuration(self) -> None:
        at = self.directory
        for path in (at, at / "state", at / "spool", at / "bin"):
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
        host = socket.gethostname().split(".")[0]
        controller_port, node_port = _free_ports()
        self.configuration.write_text(
            CONFIGURATION.format(
                host=host,
                user=_user(),
                directory=at,
                cpus=CPUS,
                controller_port=controller_port,
                node_port=node_port,
                requeue_delay=REQUEUE_DELAY,
            )
        )
        # slurmd wants a device file, and every machine has this one.
        (at / "gres.conf").write_text(f"NodeName={host} Name=gpu Type=fake File=/dev/zero\n")
        key = at / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        srun = at / "bin" / "srun"
        srun.write_text(SRUN.format(configuration=shlex.quote(str(self.configuration)), srun=_program("srun")))
        srun.chmod(0o755)

    def _daemon(self, name: str, *options: str) -> None:
        """Start a daemon that detaches itself; its start-up errors come back here or stand in its log."""
        program = _program(name)
        assert program is not None  # start() has looked
        done = subprocess.run(
            [program, *options],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=(self.directory / f"{name}.out").open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{name} ended with {done.returncode}.\n{self._logs()}")

    def _node_state(self) -> str:
        try:
            return self.run("sinfo", "--noheader", "--partition=cpu", "--format=%t").strip()
        except (RuntimeError, subprocess.TimeoutExpired):
            return "unreachable"

    def _logs(self) -> str:
        logs = [*sorted(self.directory.glob("*.out")), *sorted(self.directory.glob("*.log"))]
        tails = {log.name: log.read_text(errors="replace").splitlines()[-15:] for log in logs}
        return "\n".join(f"--- {name}\n" + "\n".join(lines) for name, lines in tails.items())


@contextmanager
def one_node_slurm(directory: Path) -> Iterator[Cluster]:
    """Run a one-node Slurm in `directory` for a with block, and end it whatever happens inside."""
    cluster = Cluster(directory.resolve())
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


def wait_until(ready: Callable[[], bool], seconds: float) -> bool:
    """Poll until `ready()`; whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _program(name: str) -> str | None:
    """Daemons lie in sbin, which an ordinary user's PATH may lack."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin")


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def _proc(pid: int, name: str) -> bytes:
    """A file of /proc/PID; empty for a process that has ended (a zombie too) or belongs to someone else."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def main() -> None:
    parser = argparse.ArgumentParser(description="A one-node Slurm in a directory, to try the Slurm profile.")
    parser.add_argument("action", choices=["up", "down"])
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    cluster = Cluster(arguments.directory.resolve())
    if arguments.action == "down":
        cluster.stop()
        return
    try:
        cluster.start()
    except RuntimeError as problem:
        sys.exit(str(problem))
    print(f"export SLURM_CONF={shlex.quote(str(cluster.configuration))}")
    print(f'export PATH={shlex.quote(str(cluster.directory / "bin"))}:"$PATH"')


if __name__ == "__main__":
    main()
