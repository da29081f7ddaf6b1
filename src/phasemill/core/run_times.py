"""How long each job of the workflow takes: measured here, or on another machine and scaled by the speed of a core.

Snakemake writes `logs/{scale}/{wing}/NAME.tsv` for a job that has run; `{wing}/NAME` is the job's name in this module.
`record` collects them into the tracked file `results/recorded/run_times.json`, which `seconds` reads where no run on
this machine says better.
"""

from __future__ import annotations

import csv
import heapq
import time
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from phasemill.core.errors import InputError
from phasemill.core.files import read_json, write_json
from phasemill.core.limits import cores

RECORDED = Path("results/recorded/run_times.json")
SHORT = 3.0
"""Seconds of a job that is not measured because it is over in a moment: a rule without `benchmark:`."""

KEYS = {"wall_s": "s", "cpu_s": "cpu_time", "memory_mb": "max_rss"}
"""Our names of Snakemake's columns, memory in MiB. It samples: CPU time lack the last moments, up to 30 s."""

RESUMED = (": goes on at step", ": already finished at step")
"""What the log of a training says that began from a checkpoint: its time is not that of a whole training."""


@dataclass(frozen=True)
class Task:
    """A job as scheduling sees it: `seconds` on `threads` cores, once all of `needs` are done."""

    seconds: float
    threads: int = 1
    needs: Collection[Hashable] = ()
    priority: int = 0


def makespan(tasks: Mapping[Any, Task], cores: int) -> float:
    """Seconds from the first start to the last end if ready jobs start by priority, then in the order given.

    Needs outside `tasks` count as done.
    """
    order = {name: (-task.priority, place) for place, (name, task) in enumerate(tasks.items())}
    needs = {name: set(task.needs) & tasks.keys() for name, task in tasks.items()}
    heirs: dict[Any, list[Any]] = {name: [] for name in tasks}
    for name, its in needs.items():
        for need in its:
            heirs[need].append(name)
    ready = [(order[name], name) for name in tasks if not needs[name]]
    running: list[tuple[float, tuple[int, int], Any]] = []
    now, free = 0.0, cores
    while ready or running:
        for job in sorted(ready, key=lambda job: job[0]):
            threads = min(tasks[job[1]].threads, cores)
            if threads <= free:
                free -= threads
                ready.remove(job)
                heapq.heappush(running, (now + tasks[job[1]].seconds, *job))
        now, _, done = heapq.heappop(running)
        free += min(tasks[done].threads, cores)
        for heir in heirs[done]:
            needs[heir].discard(done)
            if not needs[heir]:
                ready.append((order[heir], heir))
    return now


@cache
def speed() -> float:
    """How fast one core is, in 1/s: the geometric mean of its rates in the interpreter, the first cache and the memory.

    Takes about 0.3 s, once in a process; only ratios between machines mean something.
    """
    small, large = np.linspace(0.0, 1.0, 2048), np.linspace(0.0, 1.0, 1 << 20)
    cache, memory = np.empty_like(small), np.empty_like(large)

    def interpret() -> None:
        total = 0
        for k in range(60_000):
            total += k * k % 7

    def compute() -> None:
        for _ in range(200):
            np.tanh(small, out=cache)

    def stream() -> None:
        for _ in range(3):
            np.multiply(large, 0.5, out=memory)

    rates = [1 / _least(work) for work in (interpret, compute, stream)]
    return float(np.prod(rates) ** (1 / len(rates)))


def _least(work: Callable[[], None], repeats: int = 100) -> float:
    """The least CPU seconds: others may share the core, and this process may have other threads."""
    found = []
    for _ in range(repeats):
        start = time.thread_time()
        work()
        found.append(time.thread_time() - start)
    return min(found)


def measured(scale: str, folder: Path = Path()) -> dict[str, dict[str, float]]:
    """What runs in `folder` left at a scale: job -> `KEYS`; trainings that began from a checkpoint are left out."""
    found = {}
    logs = folder / "logs" / scale
    for path in sorted(logs.rglob("*.tsv")):
        log = path.with_suffix(".log")
        if log.exists() and any(words in log.read_text(errors="replace") for words in RESUMED):
            continue
        with path.open() as stream:
            row = next(csv.DictReader(stream, delimiter="\t"), {})
        if None in row.values() or not set(KEYS.values()) <= row.keys():
            continue  # not written to its end
        numbers = {
            key: float(row[column].replace("NA", "0")) for key, column in KEYS.items()
        }  # NA: under half a second
        found[path.relative_to(logs).with_suffix("").as_posix()] = numbers
    return found


def recorded(folder: Path = Path()) -> dict[str, Any]:
    """The tracked file: scale -> machine, bytes and jobs; empty where there is none."""
    path = folder / RECORDED
    content: dict[str, Any] = read_json(path) if path.exists() else {}
    return content


def record(
    scale: str, rules: Mapping[str, str], short: Collection[str], origin: Mapping[str, str], folder: Path = Path()
) -> list[str]:
    """Put what the runs in `folder` say into the tracked file; returns the jobs of which it has no time.

    `rules`: job -> rule, of all jobs of the scale that are measured; `short`: the other rules; `origin`: what else the
    file says of the machine. What these runs do not say keeps its older record, scaled to this machine; jobs that are
    not in `rules` are forgotten.
    """
    new = {name: job for name, job in measured(scale, folder).items() if name in rules}
    if not new:
        raise InputError(
            f"logs/{scale} has no times of finished jobs; make them with: snakemake -c all --config scale={scale}"
        )
    content, own = recorded(folder), speed()
    old = content.get(scale, {"jobs": {}, "machine": {"speed": own}})
    ratio = old["machine"]["speed"] / own
    kept = {
        name: {"wall_s": job["wall_s"] * ratio, "cpu_s": job["cpu_s"] * ratio, "memory_mb": job["memory_mb"]}
        for name, job in old["jobs"].items()
        if name in rules
    }
    times = kept | new
    content[scale] = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": {**origin, "cores": cores(), "speed": round(own, 1)},
        "bytes": {kind: size(folder / kind / scale) for kind in ("data", "results")},
        "short": sorted(short),
        "jobs": {
            name: {"rule": rules[name], **{key: round(value, 2) for key, value in times[name].items()}}
            for name in sorted(times)
        },
    }
    write_json(folder / RECORDED, content)
    return sorted(rules.keys() - times.keys())


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Times:
    """Wall seconds of the jobs of a scale on this machine: measured here, or recorded and scaled by speed."""

    def __init__(self, scale: str, folder: Path = Path()) -> None:
        known = recorded(folder).get(scale, {"jobs": {}})
        here = measured(scale, folder)
        elsewhere = {name: job for name, job in known["jobs"].items() if name not in here}
        self.ratio = known["machine"]["speed"] / speed() if elsewhere else 1.0
        """How much longer a job takes here than where it was recorded."""
        self.seconds = {name: job["wall_s"] * self.ratio for name, job in elsewhere.items()}
        self.seconds |= {name: job["wall_s"] for name, job in here.items()}
        self.memory = {name: 2**20 * job["memory_mb"] for name, job in (elsewhere | here).items()}
        self.disk: int | None = sum(known["bytes"].values()) if known["jobs"] else None
        self.here, self.elsewhere = len(here), len(elsewhere)
        self._short = known.get("short", [])
        self._rules = {name: job["rule"] for name, job in known["jobs"].items()}

    def of_rule(self, rule: str) -> float | None:
        """Mean over the jobs of a rule; None where there is none."""
        if rule in self._short:
            return SHORT
        found = [self.seconds[name] for name, its in self._rules.items() if its == rule]
        return sum(found) / len(found) if found else None
