"""Clear a Snakemake lock whose owner is dead, and only then: after a kill or a power cut a rerun just goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil


def owner(folder: Path) -> psutil.Process | None:
    """A living Snakemake of this machine, or a job that outlived its Snakemake, that works in `folder`."""
    own = {process.pid for process in psutil.Process().parents()} | {psutil.Process().pid}
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if process.pid in own or not any(Path(word).name in ("snakemake", "phasemill") for word in words[:3]):
            continue
        try:
            if Path(process.cwd()) == folder:
                return process
        except psutil.Error:
            continue
    return None


def main() -> None:
    """Unlock the current folder, or say who holds it."""
    folder = Path.cwd()
    if not any((folder / ".snakemake" / "locks").glob("*")):
        return
    if process := owner(folder):
        sys.exit(f"another run (process {process.pid}) is at work in {folder}; wait for it or stop it first")
    print("phasemill: clearing the lock of a run that was killed", flush=True)
    snakemake = Path(sys.executable).with_name("snakemake")
    done = subprocess.run([snakemake, "--unlock"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    sys.exit(done.stdout if done.returncode else 0)


if __name__ == "__main__":
    main()
