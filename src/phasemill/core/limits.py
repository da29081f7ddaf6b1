"""What this process may use of the machine: cores and memory, also inside a container or a batch job."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

import psutil

CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def affinity() -> int:
    """Cores that the scheduler lets this process use; what `--cores all` of Snakemake takes."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores() -> int:
    """Cores whose time this process gets: its affinity, or less where a control group rations CPU time."""
    settings = [_words(group / "cpu.max") for group in _groups()]
    shares = [float(its[0]) / float(its[1]) for its in settings if its and its[0] != "max"]
    return max(1, round(min([affinity(), *shares])))


def processor() -> str:
    """Name of the processor."""
    try:
        found = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def memory() -> int:
    """Bytes that are free for this process: the machine's, or less where a control group limits them."""
    free = [int(psutil.virtual_memory().available)]
    for group in _groups():
        limit, used = _words(group / "memory.max"), _words(group / "memory.current")
        if limit and used and limit[0] != "max":
            facts = _words(group / "memory.stat")
            counts = dict(zip(facts[::2], facts[1::2], strict=False))
            # what is used holds the cache of files, which the system gives back on demand
            free.append(int(limit[0]) - int(used[0]) + int(counts.get("inactive_file", 0)))
    return max(0, min(free))


def _groups() -> Iterator[Path]:
    """This process's control group and all above it (version 2, Linux)."""
    try:
        group = MEMBERSHIP.read_text().rpartition("::")[2].strip().lstrip("/")
    except OSError:
        return
    place = CONTROL_GROUPS / group
    yield from (folder for folder in [place, *place.parents] if folder.is_relative_to(CONTROL_GROUPS))


def _words(path: Path) -> list[str]:
    """A setting's words; none where there is no such setting."""
    try:
        return path.read_text().split()
    except OSError:
        return []
