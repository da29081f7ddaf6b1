"""Kernels are compiled, kept, and do without a place to be kept in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

CODE = """
import resource
from phasemill.core.kernels import kernel
resource.setrlimit(resource.RLIMIT_FSIZE, (MOST, MOST))

@kernel
def double(x):
    return 2 * x

@kernel(fastmath=True)
def triple(x):
    return double(x) + x

print(triple(7))
"""


def triple(tmp_path: Path, limit: int) -> set[str]:
    (tmp_path / "mine.py").write_text(CODE.replace("MOST", str(limit)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-B", "mine.py"], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout) == (0, "21\n"), done.stderr
    return {path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()}


def test_compiled_kernels_are_kept(tmp_path: Path) -> None:
    assert triple(tmp_path, 10**7) == {".nbi", ".nbc"}


def test_a_full_disk_costs_the_kept_code_alone(tmp_path: Path) -> None:
    assert ".nbc" not in triple(tmp_path, 10)
