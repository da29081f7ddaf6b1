"""Remake requirements.lock from pyproject.toml: exact versions for Linux and macOS, Python 3.11 to 3.13.

torch is pinned to the one release for which the project was tested; its CUDA packages are left out, so that pip adds
them only where the installed torch asks for them.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

TORCH = "2.13.0"
EXTRAS = ("dev", "docs", "viz")
LEFT_OUT = re.compile(r"(nvidia-|cuda-|triton|colorama|pyreadline|cffi|pycparser)|.*python_full_version >= '3\.1[45]'")


def main() -> None:
    """Run uv and keep the lines that apply."""
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "constraints.txt")
        constraints.write_text(f"torch=={TORCH}\n")
        command = [sys.executable, "-m", "uv", "pip", "compile", "--universal", "--fork-strategy", "fewest"]
        command += ["--python-version", "3.11", "pyproject.toml", "--constraint", str(constraints)]
        command += [word for extra in EXTRAS for word in ("--extra", extra)]
        command += ["--no-annotate", "--no-header", "--quiet"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    kept = [re.sub(r" ; python_full_version < '3\.1[45]'", "", line) for line in lines if not LEFT_OUT.match(line)]
    Path("requirements.lock").write_text(
        "# Made by `make lock`; exact versions behind `make run`.\n" + "\n".join(kept) + "\n"
    )


if __name__ == "__main__":
    main()
