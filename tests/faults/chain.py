"""Runs that are killed at moments drawn by chance, one stage after the other, and what must come out all the same."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phasemill.core.files import canonical_json, read_json
from phasemill.core.model_files import load_tensors
from tests.conftest import SNAKEMAKE, snakemake

CLOCK = re.compile(r"seconds|cpu|costs|pinns\.poisson\.overhead|transport\.zero_shot\.faster_than_search")
"""Keys, columns and claims that a clock has measured, as whole words: they differ between two equal runs."""


TIMED = ("recipes.svg",)
"""Figures of a chain with an axis of seconds."""
SHARED = ("summary", "index")
"""Rules whose output is of all benchmarks in the undisturbed run, and of one here."""


@dataclass(frozen=True)
class Job:
    """A job of the plan: its rule, its log, which begins with it, and its outputs."""

    rule: str
    log: str
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Kill:
    """What was killed, at which event and how many seconds after it; whether the run, and its stage, still went on."""

    rule: str
    event: str
    delay: float
    landed: bool
    unfinished: bool

    def __str__(self) -> str:
        late = "" if self.unfinished else " (stage finished)" if self.landed else " (too late)"
        return f"{self.rule}: {self.delay:.3f} s after {self.event}{late}"


class Chain:
    """A clone of a finished run, without its results, that makes one benchmark again."""

    def __init__(self, done: Path, folder: Path, benchmark: str, dataset: str) -> None:
        made = {"smoke", "logs", ".snakemake"}  # the compiled kernels stay
        shutil.copytree(done, folder, ignore=lambda _, names: made.intersection(names), symlinks=True)
        self.done, self.folder = done, folder
        statistics = f"data/smoke/{dataset}.statistics.json"
        self.words = ["-c2", "results/smoke/index.html", statistics, "--config", "scale=smoke", f"run={benchmark}"]
        plan = snakemake(folder, "-n", *self.words).stdout
        found = re.findall(r"^rule (\w+):\n(?:    input: .*\n)?    output: (.*)\n    log: (\S+)$", plan, re.MULTILINE)
        self.jobs = [Job(rule, log, tuple(outputs.split(", "))) for rule, outputs, log in found]

    def kill(self, job: Job, dice: random.Random) -> Kill:
        """Start the run, and kill Snakemake and its jobs with SIGKILL soon after an event of `job`; then unlock."""
        if not self.unfinished(job):  # an earlier kill has come too late: once more
            for output in job.outputs:
                remove(self.folder / output)
        event, seen = dice.choice(self.events(job))
        if event == "its start":
            delay = dice.uniform(0, 0.8) * self.seconds(job)
        else:  # little comes after the last job
            delay = 0 if job.rule == "index" else dice.choice([0, 0, 0.03, 0.3])
        started = time.time()
        process = self.start()
        self.wait_for(lambda: seen(started), process)
        time.sleep(delay)
        landed = process.poll() is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        unfinished = self.unfinished(job)
        snakemake(self.folder, "--unlock", *self.words)
        return Kill(job.rule, event, delay, landed, unfinished)

    def unfinished(self, job: Job) -> bool:
        """Whether an output is missing, or Snakemake's mark that the job which makes it has not ended is there."""
        return any(not (self.folder / output).exists() or self.marked(output) for output in job.outputs)

    def marked(self, output: str) -> bool:
        """Whether Snakemake has marked an output as incomplete: it deletes it, and makes it again."""
        return (self.folder / ".snakemake/incomplete" / urlsafe_b64encode(output.encode()).decode()).exists()

    def start(self) -> subprocess.Popen[bytes]:
        """Snakemake in a process group of its own, which its jobs join."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([SNAKEMAKE, *self.words], cwd=self.folder, start_new_session=True, **quiet)

    def wait_for(self, seen: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 300) -> None:
        """Look until something is seen, or the process has ended."""
        deadline = time.monotonic() + seconds
        while process.poll() is None and not seen():
            assert time.monotonic() < deadline, f"nothing was seen within {seconds} s"
            time.sleep(0.002)

    def jobs_of(self, rule: str) -> list[Job]:
        """The jobs of a rule."""
        return [job for job in self.jobs if job.rule == rule]

    def events(self, job: Job) -> list[tuple[str, Callable[[float], bool]]]:
        """Names of the moments at which `job` can be killed, and what tells that one has come since a time."""

        def fresh(pattern: str) -> Callable[[float], bool]:
            def seen(since: float) -> bool:
                try:
                    return any(path.stat().st_mtime > since for path in self.folder.glob(pattern))
                except FileNotFoundError:  # gone meanwhile
                    return False

            return seen

        found = [("its start", fresh(job.log))]
        for output in job.outputs:
            parent, name = os.path.split(output)
            found.append((f"{name} was there", fresh(f"{output}/*.svg" if name == "figures" else output)))
            if name.endswith(".zarr"):
                found.append((f"{name}.partial was there", fresh(f"{parent}/.{name}.*.partial")))
            if name.endswith(".safetensors"):
                found.append(("a checkpoint was written", fresh(f"{parent}/*checkpoints/**/step-*.pt")))
        return found

    def seconds(self, job: Job) -> float:
        """How long the job has taken in the undisturbed run; short ones are not timed."""
        timed = (self.done / job.log).with_suffix(".tsv")
        if job.rule in SHARED or not timed.exists():
            return 0.5
        with timed.open() as stream:
            return float(next(csv.DictReader(stream, delimiter="\t"))["s"])

    def finish(self) -> None:
        """The plain rerun."""
        snakemake(self.folder, *self.words)

    def digests(self, folder: Path) -> dict[str, Any]:
        """What all outputs hold, apart from what a clock has measured and from the summary, which is of all benchmarks."""
        own = [job for job in self.jobs if job.rule not in SHARED]
        outputs = [output for job in own for output in job.outputs if not output.endswith((".html", ".zarr"))]
        return {output: digest(folder / output) for output in outputs if "provenance" not in output}


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def digest(path: Path) -> str:
    """Of the content of an output, whichever kind it is of."""
    if path.is_dir():
        content: Any = sorted(file.name for file in path.iterdir())
    elif path.name == "metrics.json":
        content = timeless({key: read_json(path)[key] for key in ("metrics", "claims")})  # the others repeat these
    elif path.name == "figures.json":
        content = [entry for entry in read_json(path) if entry["file"] not in TIMED]
    elif path.suffix == ".json":
        content = timeless(read_json(path))
    elif path.suffix == ".csv":
        with path.open() as stream:
            content = [timeless(row) for row in csv.DictReader(stream) if not CLOCK.fullmatch(row.get("claim", ""))]
    elif path.suffix == ".safetensors":
        tensors, card = load_tensors(path)
        for name in [name for name in tensors if name.endswith(".history")]:
            columns = card["runs"][name.removesuffix(".history")]["columns"]
            tensors[name] = tensors[name][:, [not CLOCK.fullmatch(column) for column in columns]]
        content = {name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for name, tensor in tensors.items()}
    else:
        raise ValueError(f"no digest for {path}")
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def timeless(content: Any) -> Any:
    """JSON without what a clock has measured."""
    if isinstance(content, dict):
        return {key: timeless(value) for key, value in content.items() if not CLOCK.fullmatch(key)}
    return [timeless(value) for value in content] if isinstance(content, list) else content
