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
    shares = [float(quota) / float(period) for quota, period in _settings("cpu.max", 2)]
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
    used = [int(value) for (value,) in _settings("memory.current", 1)]
    limits = [int(value) for (value,) in _settings("memory.max", 1)]
    free = [limit - min(used, default=0) for limit in limits]
    return max(0, min([int(psutil.virtual_memory().available), *free]))


def _settings(name: str, words: int) -> Iterator[tuple[str, ...]]:
    """A setting of this process's control group and of all above it, where one is set (version 2, Linux)."""
    try:
        group = MEMBERSHIP.read_text().rpartition("::")[2].strip().lstrip("/")
    except OSError:
        return
    place = CONTROL_GROUPS / group
    for folder in [place, *place.parents]:
        if not folder.is_relative_to(CONTROL_GROUPS):
            return
        try:
            values = (folder / name).read_text().split()
        except OSError:
            continue
        if len(values) == words and values[0] != "max":
            yield tuple(values)
