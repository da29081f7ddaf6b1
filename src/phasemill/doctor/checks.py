"""What a run needs, checked one by one; each problem comes with the sentence that mends it."""

from __future__ import annotations

import importlib.metadata
import os
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from phasemill import config as settings
from phasemill.config import Config
from phasemill.core import limits
from phasemill.core.errors import InputError
from phasemill.core.run_times import size

EXTRAS = ("docs", "peers", "viz")
SHOWN = ("torch", "numba", "snakemake", "zarr", "xarray")


@dataclass(frozen=True)
class Check:
    """One line of the doctor: `ok`, `note` (a run can start) or `problem` (it cannot), with the remedy."""

    name: str
    state: Literal["ok", "note", "problem"]
    text: str
    remedy: str = ""


def python(folder: Path) -> Iterator[Check]:
    """The interpreter and the packages, against pyproject.toml."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    allowed = Requirement(f"python{project['requires-python']}").specifier
    version = ".".join(map(str, sys.version_info[:3]))
    if allowed.contains(version):
        yield Check("Python", "ok", f"{version}, {sys.executable}")
    else:
        remedy = "make a new environment: rm -rf .venv, then make install PYTHON=python3.12"
        yield Check("Python", "problem", f"{version}, but phasemill needs {allowed}", remedy)
    wrong = [text for line in project["dependencies"] if (text := lacking(line))]
    shown = ", ".join(f"{name} {_version(name) or 'missing'}" for name in SHOWN)
    if wrong:
        yield Check("packages", "problem", f"not as needed: {', '.join(wrong)}", "make install")
    else:
        yield Check("packages", "ok", shown)
    optional = project["optional-dependencies"]
    absent = [extra for extra in EXTRAS if any(map(lacking, optional.get(extra, [])))]
    extras = ", ".join(f"[{extra}] {'no' if extra in absent else 'yes'}" for extra in EXTRAS)
    yield Check("extras", "ok", extras + (f"; add it: pip install -e '.[{','.join(absent)}]'" if absent else ""))


def lacking(line: str) -> str:
    """A requirement that is not met, with what is there; empty where it is met."""
    wanted = Requirement(line)
    found = _version(wanted.name)
    if found is None:
        return wanted.name
    return (
        ""
        if wanted.specifier.contains(found, prereleases=True)
        else f"{wanted.name} {found} (needs {wanted.specifier})"
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def cores() -> Check:
    """What this process may use, and what others use of it."""
    may, gets = limits.affinity(), limits.cores()
    load = os.getloadavg()[0]
    text = f"{gets} of {os.cpu_count()}; the rules fix the threads of each job, so cores run jobs side by side"
    if gets < may:
        text = f"{may}, but a control group grants the time of {gets}"
        return Check("cores", "note", text, f"run with: snakemake -c {gets} --profile profiles/local all")
    if load > 0.5 * gets:
        return Check(
            "cores", "note", f"{gets} of {os.cpu_count()}; other programs keep {load:.1f} busy: expect longer times"
        )
    return Check("cores", "ok", text)


def memory(needed: Mapping[str, float]) -> Check:
    """Free memory against what jobs side by side took where they were measured (scale -> bytes)."""
    free = limits.memory()
    tight = [scale for scale, wants in needed.items() if wants > free]
    text = f"{_gb(free)} free" + _wants("needs", needed)
    if tight:
        return Check(
            "memory",
            "note",
            text,
            f"{tight[0]} is safer with fewer jobs at once: snakemake -c 1 --profile profiles/local all",
        )
    return Check("memory", "ok", text)


def disk(needed: Mapping[str, float], active: str, folder: Path) -> Check:
    """Free disk space of data/ and results/ against what the scales left where they were measured (scale -> bytes).

    What a scale has made here already is not needed again.
    """
    kinds = ("data", "results")
    needed = {
        scale: max(0.0, its - sum(size(folder / kind / scale) for kind in kinds)) for scale, its in needed.items()
    }
    free = min(
        shutil.disk_usage(place if place.exists() else folder).free for place in (folder / kind for kind in kinds)
    )
    text = f"{_gb(free)} free in data/ and results/" + _wants("still needs", needed)
    if needed.get(active, 0) > free:
        return Check(
            "disk", "problem", text, f"make room for scale {active}, or link data/ and results/ to a larger disk"
        )
    return Check("disk", "ok", text)


def _wants(word: str, needed: Mapping[str, float]) -> str:
    """What each scale takes, and of which it is not known."""
    known = [f"{scale} {_gb(wants)}" for scale, wants in needed.items()]
    unknown = [scale for scale in settings.SCALES if scale not in needed]
    parts = [f"{word} {', '.join(known)}"] if known else []
    return "".join(f"; {part}" for part in [*parts, *([f"{', '.join(unknown)} not measured"] if unknown else [])])


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size < 1e10 else f"{size / 1e9:.0f} GB"


def gpu(device: str) -> Check:
    """What PyTorch sees, and what the configured device comes to."""
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
        text = f"{names}; device {device} takes {'the CPU' if device == 'cpu' else 'the GPU'}"
        return Check("GPU", "ok", text)
    if device == "cuda":
        return Check(
            "GPU", "problem", "none seen by PyTorch, but device is cuda", "set device: auto in config/config.yaml"
        )
    return Check("GPU", "ok", f"none seen by PyTorch; device {device} takes the CPU")


def slurm() -> Check:
    """Whether jobs can be submitted from here; never needed for a run on this machine."""
    missing = [tool for tool in ("sbatch", "squeue") if not shutil.which(tool)]
    if missing:
        return Check("Slurm", "ok", f"not here (no {' and '.join(missing)}); runs use this machine")
    try:
        done = subprocess.run(["squeue", "--noheader", "--states=RUNNING"], capture_output=True, text=True, timeout=5)
        answer = "" if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2][:70] or "squeue fails"
    except subprocess.TimeoutExpired:
        answer = "no answer in 5 s"
    if answer:
        return Check(
            "Slurm",
            "note",
            f"its controller is not reached ({answer})",
            "for --profile slurm: ask the site, or use another login node",
        )
    return Check("Slurm", "ok", "the controller answers; snakemake --profile slurm all")


def checkout(folder: Path) -> tuple[Check, Config | None]:
    """Whether `folder` holds the workflow with a valid configuration."""
    absent = [name for name in ("Snakefile", "config/config.yaml", "pyproject.toml") if not (folder / name).exists()]
    if absent:
        return Check(
            "checkout",
            "problem",
            f"{folder} has no {absent[0]}",
            "go to the folder of phasemill (cd), where README.md is",
        ), None
    site = folder / "config/site.yaml"
    try:
        config = settings.load({**settings.read_site(site), **settings.read_yaml(folder / "config/config.yaml")})
    except InputError as error:
        return Check("checkout", "problem", str(error), "mend that line; config/schema.json explains all keys"), None
    own = "with config/site.yaml" if site.exists() else "no config/site.yaml (for Slurm alone)"
    return Check("checkout", "ok", f"{folder}; configuration valid, scale {config.scale}, {own}"), config


def lock(folder: Path) -> Check:
    """A Snakemake that runs here, or the lock of one that was killed."""
    if not any((folder / ".snakemake" / "locks").glob("*")):
        return Check("lock", "ok", "none: no run is at work here")
    owner = runpy.run_path(str(folder / "workflow/unlock.py"))["owner"](folder.resolve())
    if owner:
        return Check("lock", "problem", f"a run (process {owner.pid}) is at work here", "wait for it, or stop it first")
    return Check(
        "lock", "problem", "a run was killed and left its lock", "make run clears it; so does: snakemake --unlock"
    )


def folders(folder: Path) -> Check:
    """Whether a run may write where it must."""
    places = [folder / name for name in (".", "data", "results", "logs", ".snakemake")]
    closed = [place for place in places if place.exists() and not os.access(place, os.W_OK)]
    if closed:
        return Check(
            "folders", "problem", f"{closed[0]} cannot be written", "change its owner, or clone phasemill elsewhere"
        )
    return Check("folders", "ok", "data/, results/, logs/ can be written")
