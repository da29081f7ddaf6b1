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


DIGESTS = """
from hashlib import sha256
import numpy as np
from phasemill.grains.physics import Medium
from phasemill.grains.solver import Euler
from phasemill.pinns.kernels import RESIDUAL, VALUE
from phasemill.pinns.network import Network
from phasemill.pinns.terms import Term, plain

dice, found = np.random.default_rng(0), {}
net = Network((2, 20, 20, 1))
theta, x = dice.normal(size=net.count).astype(np.float32), dice.uniform(size=(200, 2))
for kind in (RESIDUAL, VALUE):
    loss, gradient, _ = Term(net, kind, plain(x, (0, 0), (1, 1)), x[:, 0]).loss_and_gradient(theta)
    found[f"term {kind}"] = np.float64(loss).tobytes() + gradient.tobytes()
for sides, dg in ((16, 16), 0.0), ((16, 16, 16), 0.1):
    solver = Euler(dice.uniform(size=sides), Medium(eta=5.0, mu=1.0, dg=dg), dtype=np.float32)
    solver.advance(30 * solver.dt)
    found[f"grains {sides}"] = solver.phi.tobytes()
print({name: sha256(content).hexdigest() for name, content in found.items()})
"""


def test_compiled_code_gives_the_same_bits_whether_just_made_or_kept(tmp_path: Path) -> None:
    """Fused arithmetic depends on how the compiler has seen it: a job that compiles must agree with one that loads."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "NUMBA_CACHE_DIR": str(tmp_path)}

    def digests() -> str:
        command = [sys.executable, "-c", DIGESTS]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout

    just_made, kept = digests(), digests()
    for entry in (*tmp_path.rglob("*.loss_and_gradient-*"), *tmp_path.rglob("*.march-*")):
        entry.unlink()  # as where two jobs compile at once, each some of the functions
    assert (just_made, digests()) == (kept, kept)
