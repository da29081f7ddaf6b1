"""The command line: `phasemill VERB ...` (also `python -m phasemill VERB ...`).

The rules of the workflow are one-line calls of it, and each runs by hand. A job gets its parameters whole as `--spec`,
the JSON that also stands in the rule's `params`; `phasemill spec JOB` prints it.
"""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError

from phasemill import __version__, config
from phasemill.core.environment import use_threads
from phasemill.core.errors import InputError, unknown

app = typer.Typer(
    name="phasemill",
    help="Diffuse-interface microstructure evolution, simulated and learned, reproducibly.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Scale = Literal["smoke", "laptop", "paper"]
Physics = Literal["heat", "fisher", "allen_cahn", "cahn_hilliard"]
Spec = Annotated[str, typer.Option(help="Parameters as JSON; `phasemill spec JOB` prints them.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads for numba and torch; results may depend on it.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Output = Annotated[Path, typer.Option(help="What to make; written beside and renamed.")]
Data = Annotated[Path, typer.Option(help="Zarr data set of the pipeline (with its manifest).")]
Folder = Annotated[Path, typer.Argument(help="Folder of a benchmark: results/SCALE/WING/BENCHMARK.")]


@app.command()
def simulate(name: str, spec: Spec, output: Output, threads: Threads = 1) -> None:
    """Make a data set: numba ground truth into Zarr."""
    _find("simulate", name, threads)(_parse(name, spec), output, threads=threads)


@app.command()
def statistics(data: Data, output: Output, threads: Threads = 1) -> None:
    """Statistics of a data set, with dask: per variable and split."""
    use_threads(threads)
    from phasemill.core.statistics import write_statistics

    write_statistics(data, output, threads=threads)


@app.command()
def train(
    name: str,
    spec: Spec,
    data: Data,
    checkpoints: Annotated[Path, typer.Option(help="Folder for checkpoints; a rerun goes on from the newest.")],
    history: Annotated[Path, typer.Option(help="CSV of the losses.")],
    output: Output,
    start: Annotated[Path | None, typer.Option(help="Trained model to begin with, where one is needed.")] = None,
    parents: Annotated[
        list[Path] | None, typer.Option(help="Trained models of which a transfer begins, one option each.")
    ] = None,
    part: Annotated[int | None, typer.Option(min=0, help="Which part of the seeds, where they are dealt.")] = None,
    threads: Threads = 1,
    device: Device = "auto",
) -> None:
    """Train a model; stops cleanly on SIGTERM and goes on from its checkpoint when run again."""
    job = _find("train", name, threads)
    given = {"checkpoints": checkpoints, "history": history, "threads": threads, "device": device}
    extra = _fitting(name, job, {"start": start, "parents": parents or None, "part": part})
    job(_parse(name, spec), data, output, **given, **extra)


@app.command()
def gate(model: Annotated[Path, typer.Argument(help="march.safetensors of a benchmark.")], output: Output) -> None:
    """Check that a feed-forward network of the grains wing has followed its equation, before another learns from it."""
    from phasemill.grains.gate import gate as check

    check(model, output)


@app.command()
def evaluate(
    name: str,
    spec: Spec,
    data: Data,
    output: Annotated[Path, typer.Option(help="Folder that gets metrics.json, claims.csv and fields.zarr.")],
    scale: Annotated[Scale, typer.Option(help="Scale at which the claims are judged.")],
    model: Annotated[Path | None, typer.Option(help="Trained model.")] = None,
    models: Annotated[list[Path] | None, typer.Option(help="Trained models, one option each.")] = None,
    tokens: Annotated[Path | None, typer.Option(help="Trained amortised estimators.")] = None,
    history: Annotated[Path | None, typer.Option(help="History of the training.")] = None,
    compare: Annotated[Path | None, typer.Option(help="metrics.json of a benchmark to compare with.")] = None,
    recorded: Annotated[
        list[Path] | None, typer.Option(help="Records of long runs, one option each; shown and marked as recorded.")
    ] = None,
    threads: Threads = 1,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda; for evaluations that use a GPU.")] = None,
) -> None:
    """Evaluate a benchmark: fields, metrics and claims."""
    job = _find("evaluate", name, threads)
    given = {
        "model": model,
        "models": models or None,
        "tokens": tokens,
        "history": history,
        "compare": compare,
        "device": device,
    }
    extra = _fitting(name, job, given)
    from phasemill.core import recorded as records
    from phasemill.report import claims

    kept = records.load(recorded or [])
    metrics = job(_parse(name, spec), data, output, threads=threads, **extra)
    records.append(metrics, kept)
    command = f"snakemake -c all {name} --config scale={scale}"
    notes, bands = metrics.pop("claim_notes", None), metrics.pop("claim_bands", None)
    claims.write(output / "claims.csv", metrics["claims"], scale, command, notes, bands)
    _write_metrics(output, {**metrics, "benchmark": name, "wing": config.BENCHMARKS[name], "scale": scale})


@app.command()
def draw(name: str, folder: Folder, output: Output) -> None:
    """Draw the figures of an evaluated benchmark into FOLDER/figures, with their list as output."""
    from phasemill.core.files import write_json

    write_json(output, _find("evaluate", name, 1, drawing=True)(folder, folder / "figures"))


@app.command()
def report(folder: Folder) -> None:
    """Write report.html of a benchmark from its stored metrics, claims and figures."""
    from phasemill.report.page import write_benchmark_page

    typer.echo(write_benchmark_page(folder))


@app.command()
def index(
    folders: Annotated[list[Path], typer.Argument(help="Folders of the benchmarks.")],
    output: Output,
    scale: Annotated[str, typer.Option(help="Scale of the benchmarks.")],
) -> None:
    """Write the summary page of a scale."""
    from phasemill.report.page import write_index

    typer.echo(write_index(folders, output, scale))


@app.command()
def recover(
    video: Annotated[Path, typer.Argument(help=".zarr, .npy, .npz, .tif stack, or film (.mp4, .gif, .avi ...).")],
    dx: Annotated[float | None, typer.Option(help="Size of a pixel; default: as in the .zarr.")] = None,
    dt: Annotated[float | None, typer.Option(help="Time between two frames; default: as in the .zarr.")] = None,
    physics: Annotated[Physics, typer.Option(help="Equation whose coefficients are wanted.")] = "heat",
    direction: Annotated[
        Literal["auto", "smoothing", "sharpening"], typer.Option(help="Sharpening: time runs backwards.")
    ] = "auto",
    boundary: Annotated[
        Literal["crop", "periodic", "neumann"],
        typer.Option(help="What is known about the border; crop, nothing, is safe on real video."),
    ] = "crop",
    intensity: Annotated[
        Literal["identity", "affine", "gamma"], typer.Option(help="How pixel values follow the field.")
    ] = "identity",
    values: Annotated[
        tuple[float, float] | None, typer.Option(help="Field values of black and white; default 0 1.")
    ] = None,
    sim: Annotated[int | None, typer.Option(help="Simulation number, for a .zarr with several.")] = None,
    variable: Annotated[str | None, typer.Option(help="Array name, for a .zarr or .npz with several.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder; default: FILE[_sim][_variable]_recovery in this folder.")
    ] = None,
    threads: Threads = 1,
) -> None:
    """Recover coefficients with error bars from a video of your own; writes recovery.json and recovery.html."""
    use_threads(threads)
    from phasemill.core.video import read_video
    from phasemill.report.recovery import write_recovery_page
    from phasemill.transport.video.command import recover_file, replacing

    choices = [*([f"sim{sim}"] if sim is not None else []), *([variable] if variable else []), "recovery"]
    folder = output or Path("_".join([video.name, *choices]))
    options = {"physics": physics, "direction": direction, "boundary": boundary, "intensity": intensity}
    with replacing(folder) as partial:
        film = read_video(video, sim=sim, variable=variable, values=values)
        lines, figures = recover_file(film, partial, dx=dx, interval=dt, **options)  # type: ignore[arg-type]  # typer checked them
        write_recovery_page(partial, figures)
    typer.echo("\n".join([*lines, str(folder / "recovery.html")]))


@app.command()
def evolve(
    field: Annotated[
        Path, typer.Argument(metavar="INPUT", help="2-D or 3-D field: .npy, .npz, .zarr, .tif (also stacks) or .vti.")
    ],
    until: Annotated[float, typer.Option(help="Time to reach; demixing begins at about 1, with eps 3 and mobility 1.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Zarr store to write, such as out.zarr.")],
    system: Annotated[Literal["spinodal"], typer.Option(help="spinodal: Cahn-Hilliard demixing.")] = "spinodal",
    solver: Annotated[
        Literal["rkl2", "euler", "spectral", "network"],
        typer.Option(help="rkl2: adaptive, right and fast; network: trained, for periodic 3-D boxes."),
    ] = "rkl2",
    every: Annotated[float | None, typer.Option(help="Time between stored frames; default: 50 intervals.")] = None,
    boundary: Annotated[Literal["periodic", "noflux"], typer.Option(help="noflux: walls.")] = "periodic",
    eps: Annotated[float | None, typer.Option(help="Interface width; default: 3 cells, at least 2.")] = None,
    mobility: Annotated[float, typer.Option(help="M; doubling it halves all times.")] = 1.0,
    dx: Annotated[float | None, typer.Option(help="Size of a cell; default: as in the file, else 1.")] = None,
    tolerance: Annotated[float | None, typer.Option(help="Of rkl2; default 1e-4. Long runs can do with 1e-3.")] = None,
    dt: Annotated[float | None, typer.Option(help="Time step of euler and spectral; default: a safe one.")] = None,
    model: Annotated[str | None, typer.Option(help="For network: raw, features, stride, or a file.")] = None,
    variable: Annotated[str | None, typer.Option(help="Array name, for a file with several.")] = None,
    sim: Annotated[int | None, typer.Option(help="Simulation number, for a .zarr with several.")] = None,
    time: Annotated[float | None, typer.Option(help="Frame to begin from, for a .zarr with a time axis.")] = None,
    threads: Threads = 1,
) -> None:
    """Evolve a field of your own into a Zarr store with energy, mean and interface area.

    The field is a concentration, 0 and 1 in the two phases; pictures are stretched to that. Interrupt at will: the
    same command goes on where a solver stopped. Then: phasemill view OUT.zarr

        phasemill evolve start.npy --until 50 -o out.zarr
    """
    use_threads(threads)
    from phasemill.spinodal.command import evolve_file

    lines = evolve_file(
        field, output, variable=variable, sim=sim, time=time, eps=eps, mobility=mobility, dx=dx, boundary=boundary,
        solver=solver, until=until, every=every, tolerance=tolerance, dt=dt, model=model, threads=threads,
    )  # fmt: skip
    typer.echo("\n".join(lines))


@app.command()
def view(
    path: Annotated[Path, typer.Argument(metavar="OUT.zarr", help="Any Zarr store with a 2-D or 3-D field.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help=".html (default, beside the store), .png (one frame) or .gif.")
    ] = None,
    export: Annotated[Path | None, typer.Option(help="For ParaView: .vti (one frame) or .pvd (all frames).")] = None,
    time: Annotated[float | None, typer.Option(help="Frame of a .png or .vti, the nearest; default: the last.")] = None,
    variable: Annotated[str | None, typer.Option(help="Which field; default: phi, or the only one.")] = None,
    sim: Annotated[int | None, typer.Option(help="Simulation number, for a store with several.")] = None,
) -> None:
    """Look at a field: isosurface and slices as a page, PNG or GIF; or write it for ParaView.

    phasemill view out.zarr
    """
    use_threads(1)
    from phasemill.report import view as viewer

    source = viewer.open_source(path, variable, sim)
    if export is not None:
        typer.echo(viewer.export(source, export, time))
    if output is not None or export is None:
        typer.echo(viewer.view(source, output or path.with_suffix(".html"), time))


@app.command()
def record(
    folder: Folder,
    output: Annotated[Path, typer.Option("--output", "-o", help="results/recorded/WING/BENCHMARK_NAME.json")],
    title: Annotated[str | None, typer.Option(help="Other than the page's, where a benchmark has several.")] = None,
) -> None:
    """Keep the numbers of a long run in a small file, which later pages of its benchmark show as recorded."""
    from phasemill.core.recorded import keep

    typer.echo(keep(folder, output, title))


@app.command("spec")
def print_spec(
    job: str,
    scale: Annotated[str | None, typer.Option(help="smoke, laptop or paper; default: as configured.")] = None,
    configfile: Annotated[Path, typer.Option(help="Configuration.")] = Path("config/config.yaml"),
) -> None:
    """Print the parameters (JSON) that the workflow hands to a job."""
    if job not in config.JOBS:
        raise InputError(unknown(job, config.JOBS, "job"))
    settings = config.load(config.read_yaml(configfile) | ({"scale": scale} if scale else {}))
    typer.echo(settings.spec(job, settings.scale))


@app.command()
def schema() -> None:
    """Print the JSON schema of the configuration (kept in config/schema.json)."""
    typer.echo(json.dumps(config.schema(), indent=2))


@app.callback(invoke_without_command=True)
def _common(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(f"phasemill {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; what a user can mend is one sentence and exit code 1."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.captureWarnings(True)
    try:
        app()
    except InputError as error:
        sys.exit(f"phasemill: {error}")
    except OSError as error:  # a folder that cannot be written, a full disk
        sys.exit(f"phasemill: {error.filename or 'file system'}: {error.strerror}; nothing was half-written")


def _find(verb: str, name: str, threads: int, drawing: bool = False) -> Callable[..., Any]:
    """The function behind a job, or the one that draws it; imported once the threads are fixed."""
    known = {job: model for job, model in config.JOBS.items() if model.verb == verb}
    if name not in known:
        raise InputError(unknown(name, known, "name"))
    use_threads(threads)
    module, function = (known[name].drawing if drawing else known[name].function).split(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def _fitting(name: str, job: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, if they are those that the job takes."""
    takes = inspect.signature(job).parameters
    for option, value in given.items():
        if value is not None and option not in takes:
            raise InputError(f"{name} takes no --{option}; leave it out")
        if value is None and option in takes and takes[option].default is inspect.Parameter.empty:
            target = getattr(config.JOBS[name], "benchmark", name)
            raise InputError(
                f"{name} needs --{option}; the workflow's own command line is shown by: snakemake -n -p {target}"
            )
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, Path) and not path.exists():
                raise InputError(f"--{option} {path} does not exist; make it with: snakemake -c all -- {path}")
    return {option: value for option, value in given.items() if value is not None}


def _parse(job: str, text: str) -> Any:
    model = config.JOBS[job]
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'JSON'}: {e['msg']}" for e in error.errors())
        raise InputError(f"--spec of {job}: {problems}; `phasemill spec {job}` prints a valid one") from None


def _write_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    from phasemill.core.files import write_json

    write_json(folder / "provenance.json", metrics.pop("provenance"))
    write_json(folder / "metrics.json", metrics)
