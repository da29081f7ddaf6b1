"""Speed on one core, ours and a peer's in turn in one run -> results/performance.json, which `make bench` makes a page.

`compare` keeps a ratio, `limit` a fraction of what the core can do at most, `keep` any other numbers.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import torch

from phasemill.core.files import read_json, write_json
from phasemill.core.limits import processor
from phasemill.core.machine import bandwidth, best, multiply_adds
from phasemill.core.provenance import git_state, versions

Compare = Callable[[str, Callable[[], object], Callable[[], object], int], float]
Keep = Callable[..., None]

PEERS = ("py-pde", "exponax", "jax", "deepxde")
WORKING_SETS = {"24 kB": 24_000, "512 kB": 512_000, "8 MB": 8_000_000, "256 MB": 256_000_000}


@pytest.fixture(scope="session", autouse=True)
def one_core() -> None:
    """Pinned before numba or jax count the cores; torch has counted them, and its threads would wait for each other."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def path(pytestconfig: pytest.Config, one_core: None) -> Path:
    """The file with the machine's own entry: what it is, and what one core of it can do."""
    path = pytestconfig.rootpath / "results" / "performance.json"
    commit, dirty = git_state()
    peers = {name: importlib.metadata.version(name) for name in PEERS if _installed(name)}
    path.unlink(missing_ok=True)  # one machine, one commit: no entry of an older run stays
    _write(path, "machine", {
        "processor": processor(),
        "cores": os.cpu_count(),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_commit": commit,
        "git_dirty": dirty,
        "versions": versions() | peers,
        "multiply_adds_per_second": {kind: _rounded(multiply_adds(np.dtype(kind))) for kind in ("float32", "float64")},
        "bytes_per_second": {name: _rounded(bandwidth(size)) for name, size in WORKING_SETS.items()},
    })  # fmt: skip
    return path


@pytest.fixture
def keep(path: Path, capsys: pytest.CaptureFixture[str]) -> Keep:
    """keep(key, section="others", **entry): into results/performance.json, and printed."""

    def run(key: str, section: str = "others", **entry: Any) -> None:
        rounded = {name: _rounded(value) if isinstance(value, float) else value for name, value in entry.items()}
        _write(path, section, {key: rounded})
        with capsys.disabled():
            print(f"\n{key}: " + ", ".join(f"{name} {value}" for name, value in rounded.items()))

    return run


@pytest.fixture
def compare(keep: Keep) -> Compare:
    """compare("WING SUBJECT against PEER", ours, peer, rounds): how many times faster `ours` is.

    From the fastest of `rounds` interleaved rounds, on the clock.
    """

    def run(key: str, ours: Callable[[], object], peer: Callable[[], object], rounds: int) -> float:
        assert " against " in key
        times = [(_milliseconds(ours), _milliseconds(peer)) for _ in range(rounds)]
        mine, others = zip(*times, strict=True)
        ratio = min(others) / min(mine)
        keep(
            key, "comparisons", ratio=ratio, ours_ms_min=min(mine), ours_ms_median=median(mine),
            peer_ms_min=min(others), peer_ms_median=median(others), rounds=rounds,
        )  # fmt: skip
        return ratio

    return run


@pytest.fixture
def limit(keep: Keep) -> Callable[..., float]:
    """limit(key, run, count=, operations=, moved=, working_set=, dtype=): the fraction of the core's limit.

    Each of `count` units of `run` takes `operations` and moves `moved` bytes, out of a working set of so many; the limit
    is the longer of the two, if each operation (also an addition, a minimum) takes the place of a multiply-add. CPU
    time, the least of 20 runs.
    """

    def measure(
        key: str,
        run: Callable[[], object],
        *,
        count: float,
        operations: float,
        moved: float,
        working_set: int,
        dtype: Any,
    ) -> float:
        bounds = {
            "arithmetic": 1e9 * operations / multiply_adds(dtype),
            "memory": 1e9 * moved / bandwidth(working_set, dtype),
        }
        taken = 1e9 * best(run, 20) / count
        bound = max(bounds, key=lambda name: bounds[name])
        fraction = bounds[bound] / taken
        keep(
            key, "limits", fraction=fraction, limit=bound, ours_ns=taken,
            arithmetic_ns=bounds["arithmetic"], memory_ns=bounds["memory"],
        )  # fmt: skip
        return fraction

    return measure


def _write(path: Path, section: str, entries: dict[str, Any]) -> None:
    content = read_json(path) if path.exists() else {}
    write_json(path, content | {section: content.get(section, {}) | entries})


def _rounded(value: float) -> float:
    """Four digits, also of a few microseconds."""
    return float(f"{value:.4g}")


def _milliseconds(function: Callable[[], object]) -> float:
    """Of a call; short ones are repeated for 20 ms, so that they are not timed in the caches that the other one left."""
    start, calls, spent = perf_counter(), 0, 0.0
    while spent < 0.02:
        function()
        calls, spent = calls + 1, perf_counter() - start
    return 1e3 * spent / calls


def _installed(name: str) -> bool:
    return any(importlib.metadata.distributions(name=name))
