"""The verbs for fields and videos of your own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from phasemill.cli.options import Threads, for_people
from phasemill.core.environment import loading, use_threads

Physics = Literal["heat", "fisher", "allen_cahn", "cahn_hilliard"]


@for_people()
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
        Path | None,
        typer.Option("--output", "-o", help="Folder; default: FILE[_sim][_variable]_recovery in this folder."),
    ] = None,
    threads: Threads = 1,
) -> None:
    """Recover coefficients with error bars from a video of your own; writes recovery.json and recovery.html."""
    use_threads(threads)
    with loading():
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


@for_people()
def evolve(
    field: Annotated[
        Path, typer.Argument(metavar="INPUT", help="2-D or 3-D field: .npy, .npz, .zarr, .tif (also stacks) or .vti.")
    ],
    until: Annotated[float, typer.Option(help="Time to reach; demixing begins at about 1, with eps 3 and mobility 1.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Zarr store to write, such as out.zarr.")],
    system: Annotated[
        Literal["spinodal"], typer.Option(help="Cahn-Hilliard demixing; the only one so far.")
    ] = "spinodal",
    solver: Annotated[
        Literal["rkl2", "euler", "spectral", "network"],
        typer.Option(help="rkl2: adaptive, right and fast; network: trained, for periodic 3-D boxes."),
    ] = "rkl2",
    every: Annotated[float | None, typer.Option(help="Time between stored frames; default: 50 intervals.")] = None,
    boundary: Annotated[Literal["periodic", "noflux"], typer.Option(help="noflux: walls.")] = "periodic",
    eps: Annotated[
        float | None, typer.Option(help="Interface width; default: 3 cells; below 2 cells a warning.")
    ] = None,
    mobility: Annotated[float, typer.Option(help="M; doubling it halves all times.")] = 1.0,
    dx: Annotated[float | None, typer.Option(help="Size of a cell; default: as in the file, else 1.")] = None,
    tolerance: Annotated[float | None, typer.Option(help="Of rkl2; default 1e-4. Long runs can do with 1e-3.")] = None,
    dt: Annotated[float | None, typer.Option(help="Time step of euler and spectral; default: a safe one.")] = None,
    model: Annotated[str | None, typer.Option(help="For network: features, raw, published, stride, or a file.")] = None,
    variable: Annotated[str | None, typer.Option(help="Array name, for a file with several.")] = None,
    sim: Annotated[int | None, typer.Option(help="Simulation number, for a .zarr with several.")] = None,
    time: Annotated[float | None, typer.Option(help="Frame to begin from, for a .zarr with a time axis.")] = None,
    threads: Threads = 1,
) -> None:
    """Evolve a field of your own into a Zarr store with energy, mean and interface area.

    The field is a concentration, 0 and 1 in the phases; pictures are stretched.
    Interrupt at will: the same command goes on where a solver stopped.
    Then: phasemill view out.zarr

        phasemill evolve start.npy --until 50 -o out.zarr
    """
    use_threads(threads)
    with loading():
        from phasemill.spinodal.command import evolve_file

    lines = evolve_file(
        field, output, variable=variable, sim=sim, time=time, eps=eps, mobility=mobility, dx=dx, boundary=boundary,
        solver=solver, until=until, every=every, tolerance=tolerance, dt=dt, model=model, threads=threads,
    )  # fmt: skip
    typer.echo("\n".join(lines))


@for_people()
def view(
    path: Annotated[Path, typer.Argument(metavar="STORE.zarr", help="Any Zarr store with a 2-D or 3-D field.")],
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
    with loading():
        from phasemill.report import view as viewer

    source = viewer.open_source(path, variable, sim)
    if export is not None:
        typer.echo(viewer.export(source, export, time))
    if output is not None or export is None:
        typer.echo(viewer.view(source, output or path.with_suffix(".html"), time))


@for_people()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say whether a run can start in this folder, and how long each target would take.

    The exit code is 1 if something must be mended first.
    """
    use_threads(1)
    with loading():
        from phasemill.doctor.report import examine, show

    report = examine(Path.cwd())
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=1))
    else:
        show(report, Console(highlight=False))
    raise typer.Exit(code=1 if report.problems else 0)
