"""Where a result comes from: code, versions, parameters, machine class, time."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import phasemill
from phasemill.core.files import canonical_json

PACKAGES = ("numpy", "numba", "scipy", "xarray", "zarr", "dask", "torch", "snakemake")


def config_hash(spec: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON of a job's parameters."""
    return hashlib.sha256(canonical_json(dict(spec)).encode()).hexdigest()


def git_state() -> tuple[str, bool | None]:
    """Commit and whether tracked files differ from it; ("unknown", None) outside a checkout of phasemill."""
    if named := os.environ.get("PHASEMILL_GIT_SHA"):
        return named, None
    root = Path(phasemill.__file__).parents[2]
    if not (root / "src" / "phasemill").is_dir():
        return "unknown", None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit, bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return "unknown", None


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def command() -> str:
    """The command line of this process as typed, with the parameters (they are in the config hash) left out."""
    words = ["phasemill", *sys.argv[1:]]
    if "--spec" in words[:-1]:
        words[words.index("--spec") + 1] = "SPEC"
    return shlex.join(words)


class Clock:
    """Start of a stage; `record` closes it."""

    def __init__(self) -> None:
        self.started = datetime.now(UTC)
        self._tick = time.perf_counter()
        self._cpu = time.process_time()

    def record(self, stage: str, spec: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
        """One provenance entry; `facts` are added as they are (threads, device, data digest ...)."""
        commit, dirty = git_state()
        return {
            "stage": stage,
            "command": command(),
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - self._tick, 2),
            "cpu_seconds": round(time.process_time() - self._cpu, 2),
            "package_version": phasemill.__version__,
            "git_commit": commit,
            "git_dirty": dirty,
            "config_hash": config_hash(spec),
            "system": f"{platform.system()} {platform.machine()}",
            "slurm_job": os.environ.get("SLURM_JOB_ID"),
            "versions": versions(),
            **facts,
        }
