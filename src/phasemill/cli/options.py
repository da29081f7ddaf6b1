"""The application, and the options that several verbs share."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="phasemill",
    help="Diffuse-interface microstructure evolution, simulated and learned, reproducibly.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for_people = partial(app.command, rich_help_panel="For people")
workflow_job = partial(app.command, rich_help_panel="Jobs of the workflow")

Scale = Literal["smoke", "laptop", "paper"]
Threads = Annotated[int, typer.Option(min=1, help="Threads for numba and torch; results may depend on it.")]
Output = Annotated[Path, typer.Option(help="What to make; written beside and renamed.")]
Folder = Annotated[Path, typer.Argument(help="Folder of a benchmark: results/SCALE/WING/BENCHMARK.")]
