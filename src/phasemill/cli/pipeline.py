"""The verbs of the workflow: what its rules call, each of which also runs by hand."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError

from phasemill import config
from phasemill.cli import tools  # noqa: F401  # before these: its verbs are the first that help shows
from phasemill.cli.options import Folder, Output, Scale, Threads, workflow_job
from phasemill.core.environment import loading, use_threads
from phasemill.core.errors import InputError, unknown

Spec = Annotated[str, typer.Option(help="Parameters as JSON; `phasemill spec JOB` prints them.")]
Processor = Literal["auto", "cpu", "cuda"]
Device = Annotated[Processor, typer.Option(help="auto: the GPU where there is one.")]
Data = Annotated[Path, typer.Option(help="Zarr data set of the pipeline (with its manifest).")]


@workflow_job()
def simulate(name: str, spec: Spec, output: Output, threads: Threads = 1) -> None:
    """Make a data set: numba ground truth into Zarr."""
    _find("simulate", name, threads)(_parse(name, spec), output, threads=threads)


@workflow_job()
def statistics(data: Data, output: Output, threads: Threads = 1) -> None:
    """Statistics of a data set, with dask: per variable and split."""
    use_threads(threads)
    with loading():
        from phasemill.core.statistics import write_statistics

    write_statistics(data, output, threads=threads)


@workflow_job()
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


@workflow_job()
def gate(model: Annotated[Path, typer.Argument(help="march.safetensors of a benchmark.")], output: Output) -> None:
    """Check that a feed-forward network of the grains wing has followed its equation, before another learns from it."""
    with loading():
        from phasemill.grains.gate import gate as check

    check(model, output)


@workflow_job()
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
    device: Annotated[Processor | None, typer.Option(help="For evaluations that use a GPU.")] = None,
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


@workflow_job()
def draw(name: str, folder: Folder, output: Output) -> None:
    """Draw the figures of an evaluated benchmark into FOLDER/figures, with their list as output."""
    drawing = _find("evaluate", name, 1, drawing=True)
    from phasemill.core.files import write_json
    from phasemill.report.page import Metrics, read_input

    read_input(folder, "metrics.json", Metrics)  # a damaged one is named here, before a figure asks for a part of it
    write_json(output, drawing(folder, folder / "figures"))


@workflow_job()
def report(folder: Folder) -> None:
    """Write report.html of a benchmark from its stored metrics, claims and figures."""
    with loading():
        from phasemill.report.page import write_benchmark_page

    typer.echo(write_benchmark_page(folder))


@workflow_job()
def summarise(
    folders: Annotated[list[Path], typer.Argument(help="Folders of the benchmarks.")],
    output: Output,
    scale: Annotated[Scale, typer.Option(help="Scale of the benchmarks.")],
    performance: Annotated[Path | None, typer.Option(help="Measured speeds: results/performance.json.")] = None,
) -> None:
    """Gather what the summary page of a scale shows: numbers as output, figures in the folder of its name."""
    with loading():
        from phasemill.report.summary import summarise as gather

    typer.echo(gather(folders, output, scale, performance))


@workflow_job()
def index(
    folders: Annotated[list[Path], typer.Argument(help="Folders of the benchmarks.")],
    output: Output,
    scale: Annotated[Scale, typer.Option(help="Scale of the benchmarks.")],
) -> None:
    """Write the summary page of a scale."""
    with loading():
        from phasemill.report.index import write_index

    typer.echo(write_index(folders, output, scale))


@workflow_job()
def performance(
    measured: Annotated[Path, typer.Argument(help="What `make bench` has measured: results/performance.json.")],
    output: Output,
) -> None:
    """Write the page of the speeds: against peers, and against what the machine can do."""
    from phasemill.report.performance import write_performance_page

    typer.echo(write_performance_page(measured, output))


@workflow_job()
def record(
    folder: Folder,
    output: Annotated[Path, typer.Option("--output", "-o", help="results/recorded/WING/BENCHMARK_NAME.json")],
    title: Annotated[str | None, typer.Option(help="Other than the page's, where a benchmark has several.")] = None,
) -> None:
    """Keep the numbers of a long run in a small file, which later pages of its benchmark show as recorded."""
    from phasemill.core.recorded import keep

    typer.echo(keep(folder, output, title))


@workflow_job("record-times")
def record_times(
    scale: Annotated[Scale, typer.Option(help="Scale of a run that has finished in this folder.")],
) -> None:
    """Keep how long each job of a run took: what `phasemill doctor` and the progress of later runs estimate with."""
    from phasemill.core import provenance, run_times
    from phasemill.core.limits import processor
    from phasemill.doctor.plan import Plan

    plan = Plan(config.load(config.read_yaml(Path("config/config.yaml"))), [scale])
    rules, origin = plan.rules(scale), {"commit": provenance.git_state()[0], "processor": processor()}
    missing = run_times.record(scale, rules, plan.short(scale), origin)
    typer.echo(f"{run_times.RECORDED}: {len(rules) - len(missing)} of {len(rules)} jobs of scale {scale}")
    if missing:
        typer.echo(f"not measured: {', '.join(missing)}")


@workflow_job("spec")
def print_spec(
    job: str,
    scale: Annotated[Scale | None, typer.Option(help="Default: as configured.")] = None,
    configfile: Annotated[Path, typer.Option(help="Configuration.")] = Path("config/config.yaml"),
) -> None:
    """Print the parameters (JSON) that the workflow hands to a job."""
    if job not in config.JOBS:
        raise InputError(unknown(job, config.JOBS, "job"))
    settings = config.load(config.read_yaml(configfile) | ({"scale": scale} if scale else {}))
    typer.echo(settings.spec(job, settings.scale))


@workflow_job()
def schema() -> None:
    """Print the JSON schema of the configuration (kept in config/schema.json)."""
    typer.echo(json.dumps(config.schema(), indent=2))


def _find(verb: str, name: str, threads: int, drawing: bool = False) -> Callable[..., Any]:
    """The function behind a job, or the one that draws it; imported once the threads are fixed."""
    known = {job: model for job, model in config.JOBS.items() if model.verb == verb}
    if name not in known:
        raise InputError(unknown(name, known, "name"))
    use_threads(threads)
    module, function = (known[name].drawing if drawing else known[name].function).split(":")
    with loading():
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
