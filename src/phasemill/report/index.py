"""The summary page of a scale, `results/{scale}/index.html`: all wings, all claims, on one self-contained page.

Its numbers and figures stand in `summary.json` and `summary/` beside it, made by `phasemill summarise`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from markupsafe import Markup
from pydantic import ValidationError

from phasemill.core.durations import duration
from phasemill.core.errors import InputError
from phasemill.core.files import read_json
from phasemill.report import svg
from phasemill.report.page import Benchmark, brief, load_benchmark, provenance_table, render, tally
from phasemill.report.summary import Coefficient, Course, Entry, Picture, Section, Side, Summary

FILTER = Path(__file__).with_name("templates") / "filter.js"
ERRORS, SPEEDS = (1e-4, 10.0), (0.5, 500.0)
"""Ends of the logarithmic axes of relative errors and of ratios of speed."""
SHOWN: dict[Section, tuple[str, str]] = {
    "energy": (
        "Free energy",
        "Energy over its first value, against time. A closed microstructure only loses free energy; "
        "a model that gains some has left the physics.",
    ),
    "size": ("Size of domains", "Mean radius of grains, or length of the mixture, over its first value, against time."),
}


@dataclass(frozen=True)
class Panel:
    """One small figure with what stands below it."""

    entry: Entry
    content: Course | Coefficient
    drawing: svg.Inline


@dataclass(frozen=True)
class Wing:
    """What the page shows of a wing."""

    name: str
    papers: list[str]
    benchmarks: list[tuple[Benchmark, dict[str, int]]]
    picture: Picture | None
    images: Mapping[Side, str]
    counts: dict[str, int]


def write_index(folders: Sequence[Path], target: Path, scale: str) -> Path:
    """Write the summary of all benchmarks of one scale, linked to their pages, to `target`.

    Raises
    ------
    InputError
        One sentence with the remedy: an input of a benchmark, or `summary.json` beside `target`, is missing or broken.
    """
    target = Path(target)
    benchmarks = [load_benchmark(Path(folder), "", figures=0) for folder in folders]
    summary, drawn = _summary(target), target.with_name("summary")
    rows = [(benchmark, row) for benchmark in benchmarks for row in benchmark.claims]
    stages = {json.dumps(stage): stage for benchmark in benchmarks for stage in benchmark.provenance}
    links = {
        benchmark.metrics.benchmark: Path(os.path.relpath(benchmark.folder / "report.html", target.parent)).as_posix()
        for benchmark in benchmarks
    }
    courses = {
        section: [
            _panel(drawn, entry, entry.courses[section], f"{section}-{entry.benchmark}-")
            for entry in summary.benchmarks
            if section in entry.courses
        ]
        for section in SHOWN
    }
    recovered = [
        _panel(drawn, entry, item, f"{item.symbol}-{entry.benchmark}-")
        for entry in summary.benchmarks
        for item in entry.coefficients
    ]
    compared = [entry for entry in summary.benchmarks if entry.errors]
    script = FILTER.read_text()
    return render(
        "index.html.j2",
        target,
        scale=scale,
        wings=[_wing(name, benchmarks, summary, drawn) for name in dict.fromkeys(b.metrics.wing for b in benchmarks)],
        count=len(benchmarks),
        links=links,
        link=lambda benchmark: links[benchmark.metrics.benchmark],
        rows=rows,
        papers=list(dict.fromkeys(row.paper for _, row in rows)),
        tally=tally([row for _, row in rows]),
        summary=summary,
        courses=courses,
        shown=SHOWN,
        recovered=recovered,
        compared=[(wing, list(own)) for wing, own in groupby(compared, key=lambda entry: entry.wing)],
        place=_place,
        errors=ERRORS,
        speeds=SPEEDS,
        speed_page=(target.parent.parent / "performance.html").is_file(),
        duration=duration,
        percent=percent,
        longest=max((sum(wing.seconds.values()) for wing in summary.run.wings), default=1.0) or 1.0,
        provenance=provenance_table(list(stages.values())),
        script=Markup(script),
        hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def percent(share: float | None, signed: bool = True) -> str:
    """A share of one in per cent, with two digits."""
    if share is None:
        return brief(None)
    return f"{'+' if signed and share > 0 else ''}{brief(100 * share)}\N{NO-BREAK SPACE}%"


def _summary(target: Path) -> Summary:
    path = target.with_name("summary.json")
    remedy = f"make it with: snakemake -c all {target}"
    if not path.is_file():
        raise InputError(f"{path} is missing; {remedy}")
    try:
        return Summary.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{path} cannot be shown ({place}: {first['msg']}); {remedy}") from None


def _panel(folder: Path, entry: Entry, content: Course | Coefficient, prefix: str) -> Panel:
    what = content.what if isinstance(content, Course) else f"recovered {content.symbol}"
    try:
        drawing = svg.inline((folder / content.file).read_text(), prefix, f"{entry.title}: {what}")
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / content.file} cannot be shown ({error}); make {folder}.json again") from None
    return Panel(entry, content, drawing)


def _wing(name: str, benchmarks: Sequence[Benchmark], summary: Summary, folder: Path) -> Wing:
    own = [benchmark for benchmark in benchmarks if benchmark.metrics.wing == name]
    rows = [row for benchmark in own for row in benchmark.claims]
    picture = next((picture for picture in summary.pictures if picture.wing == name), None)
    images: dict[Side, str] = {}
    for kind, file in picture.files.items() if picture else ():
        try:
            content = base64.b64encode((folder / file).read_bytes()).decode()
        except OSError as error:
            raise InputError(f"{folder / file} cannot be shown ({error}); make {folder}.json again") from None
        images[kind] = f"data:image/png;base64,{content}"
    papers = list(dict.fromkeys(row.paper for row in rows))
    return Wing(name, papers, [(b, tally(b.claims)) for b in own], picture, images, tally(rows))


def _place(value: float, ends: tuple[float, float]) -> str:
    """Where a value stands on a logarithmic axis, in per cent of its length; ends take what is beyond."""
    low, high = map(math.log10, ends)
    share = (math.log10(value) - low) / (high - low) if value > 0 else 0.0
    return f"{100 * min(max(share, 0.0), 1.0):.1f}%"
