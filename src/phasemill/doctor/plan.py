"""The jobs of the workflow, asked of Snakemake by one dry run, and how long a target of them takes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from phasemill import config as settings
from phasemill.config import Config, data_path, result_path
from phasemill.core.errors import InputError
from phasemill.core.run_times import SHORT, Task, makespan

SMALL = ("draw", "page", "summary", "index", "statistics")
"""Last word of the rules whose jobs are over in seconds at every scale."""

UNKNOWN = 10.0
"""Seconds of a small job where none of its kind was measured."""


@dataclass(frozen=True)
class Job:
    """A job as a dry run shows it; `name` is that of its times (None: not measured), `needs` are jobs by number."""

    rule: str
    name: str | None
    scale: str
    needs: frozenset[int]
    threads: int
    priority: int
    limit: float  # seconds on Slurm

    @property
    def kind(self) -> str:
        """What it does: simulate, train, evaluate, draw ..."""
        return self.rule.rpartition("_")[2]


@dataclass(frozen=True)
class Estimate:
    """Seconds of a target, of whose CPU seconds `share` was measured.

    A job that was not measured counts with its limit on Slurm; a small one with the median of its kind, or `UNKNOWN`.
    """

    seconds: float
    cpu_seconds: float
    measured: bool  # all of its jobs
    share: float

    @property
    def known(self) -> bool:
        """Whether it is more than a sum of limits."""
        return self.share >= 0.5


class Plan:
    """All jobs of some scales."""

    def __init__(self, config: Config, scales: Collection[str], folder: Path = Path()) -> None:
        self.config = config
        everything = [path for scale in scales for path in self.files("all", scale)]
        everything += [path for scale in scales for name in settings.WINGS for path in self.files(name, scale)]
        self.jobs, self._makers = _dry_run(dict.fromkeys(everything), folder)

    def files(self, target: str, scale: str) -> list[str]:
        """What a target makes: those of workflow/rules/targets.smk."""
        if target == "all":
            stores = [data_path(name, scale) for name in settings.DATASETS]
            whole = set(self.config.run) == set(settings.BENCHMARKS)
            data = [store.replace(".zarr", ".statistics.json") for store in stores] if whole else []
            return [f"results/{scale}/index.html", *data]
        return [result_path(name, "report.html", scale) for name in settings.TARGETS[target]]

    def of(self, target: str, scale: str) -> set[int]:
        """Numbers of the jobs of a target from an empty folder."""
        found: set[int] = set()
        waiting = {self._makers[path] for path in self.files(target, scale)}
        while waiting:
            job = waiting.pop()
            found.add(job)
            waiting |= self.jobs[job].needs - found
        return found

    def rules(self, scale: str) -> dict[str, str]:
        """Name -> rule of all jobs of a scale that are measured."""
        return {job.name: job.rule for job in self.jobs if job.scale == scale and job.name}

    def short(self, scale: str) -> set[str]:
        """Rules whose jobs are over in a moment and not measured."""
        return {job.rule for job in self.jobs if job.scale == scale and not job.name}

    def estimate(self, target: str, scale: str, times: Mapping[str, float], cores: int) -> Estimate:
        """How long a target takes from an empty folder."""
        tasks, work, guessed = {}, 0.0, 0.0
        for number in sorted(self.of(target, scale)):
            job = self.jobs[number]
            seconds = SHORT if job.name is None else times.get(job.name)
            if seconds is None:
                seconds = self._small(job, times) if job.kind in SMALL else job.limit
                guessed += seconds * job.threads
            work += seconds * job.threads
            tasks[number] = Task(seconds, job.threads, job.needs, job.priority)
        return Estimate(makespan(tasks, cores), work, not guessed, 1 - guessed / work if work else 1.0)

    def _small(self, job: Job, times: Mapping[str, float]) -> float:
        """Seconds of a small job by those of its kind."""
        alike = (its.name for its in self.jobs if (its.scale, its.kind) == (job.scale, job.kind))
        return median([times[name] for name in alike if name and name in times] or [UNKNOWN])


def _dry_run(files: Iterable[str], folder: Path) -> tuple[list[Job], dict[str, int]]:
    """All jobs that make `files`, and which of them makes which file."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--forceall", "--cores", "all", "--nolock", *files]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise InputError(f"snakemake cannot plan a run: {' '.join(done.stdout.split())[-300:]}")
    blocks = re.split(r"^(?:local)?rule (\S+):\n", done.stdout, flags=re.MULTILINE)[1:]
    shown = []
    for rule, text in zip(blocks[::2], blocks[1::2], strict=True):
        shown.append({"rule": rule, **dict(re.findall(r"^    (\w+): (.*)$", text, re.MULTILINE))})
    makers = {path: number for number, job in enumerate(shown) for path in job["output"].split(", ")}
    return [_job(fields, makers) for fields in shown], makers


def _job(fields: Mapping[str, str], makers: Mapping[str, int]) -> Job:
    log = Path(fields["log"])
    scale = log.parts[1]
    minutes = re.search(r"\bruntime=(\d+)", fields["resources"])
    return Job(
        rule=fields["rule"],
        name=log.relative_to(f"logs/{scale}").with_suffix("").as_posix() if "benchmark" in fields else None,
        scale=scale,
        needs=frozenset(makers[path] for path in fields.get("input", "").split(", ") if path in makers),
        threads=int(fields.get("threads", 1)),
        priority=int(fields.get("priority", 0)),
        limit=60.0 * int(minutes[1]) if minutes else SHORT,
    )
