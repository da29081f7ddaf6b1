"""`compare`: time ours and a peer in one run and keep the ratio in results/performance.json."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

import pytest

from phasemill.core.files import read_json, write_json

Compare = Callable[[str, Callable[[], object], Callable[[], object], int], float]


@pytest.fixture
def compare(pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]) -> Compare:
    """compare(key, ours, peer, rounds): how many times faster `ours` is, from the fastest of interleaved rounds."""
    path = pytestconfig.rootpath / "results" / "performance.json"

    def run(key: str, ours: Callable[[], object], peer: Callable[[], object], rounds: int) -> float:
        times = [(_milliseconds(ours), _milliseconds(peer)) for _ in range(rounds)]
        entry = {}
        for name, column in zip(("ours", "peer"), zip(*times, strict=True), strict=True):
            entry |= {f"{name}_ms_min": _rounded(min(column)), f"{name}_ms_median": _rounded(median(column))}
        ratio = entry["peer_ms_min"] / entry["ours_ms_min"]
        entry |= {"ratio": round(ratio, 1), "rounds": rounds}
        write_json(path, {**(read_json(path) if path.exists() else {}), key: entry})
        with capsys.disabled():
            print(f"\n{key}: {ratio:.1f}x ({entry['ours_ms_min']} ms against {entry['peer_ms_min']} ms)")
        return ratio

    return run


def _rounded(value: float) -> float:
    """Four digits, also of a few microseconds."""
    return float(f"{value:.4g}")


def _milliseconds(function: Callable[[], object]) -> float:
    start = perf_counter()
    function()
    return 1e3 * (perf_counter() - start)
