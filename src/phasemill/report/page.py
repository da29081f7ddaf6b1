"""Self-contained HTML: one page per benchmark, made from stored files only, and what all pages share.

A benchmark's folder `results/{scale}/{wing}/{benchmark}/` holds `metrics.json`, `claims.csv`,
`figures.json` with the SVG files in `figures/`, and `provenance.json`.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import jinja2
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from phasemill.core.errors import InputError
from phasemill.core.files import read_json, write_text
from phasemill.report import claims, svg

Cell = str | bool | int | float | None
T = TypeVar("T")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Headline(_Model):
    """One number of the first screen; with `claim`, the paper's value of that claim is shown in the note."""

    label: str
    value: Cell
    unit: str = ""
    note: str = ""
    claim: str = ""


class Table(_Model):
    title: str
    columns: list[str]
    rows: list[list[Cell]]
    note: str = ""
    claims: list[str] = []
    """Of each row, if any: the page adds a column with the paper's values."""

    @property
    def numeric(self) -> list[bool]:
        """Columns that hold numbers, apart from gaps, and are set flush right."""
        return [all(not isinstance(cell, str | bool) for cell in column) for column in zip(*self.rows, strict=True)]

    @model_validator(mode="after")
    def _rectangular(self) -> Self:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"table '{self.title}' has a row that does not match its {len(self.columns)} columns")
        if self.claims and len(self.claims) != len(self.rows):
            raise ValueError(f"table '{self.title}' has {len(self.claims)} claims for {len(self.rows)} rows")
        return self

    def beside(self, papers: Mapping[str, float | None]) -> None:
        """Add the column of the papers' values, if there is one."""
        values = [papers.get(claim) for claim in self.claims]
        if any(value is not None for value in values):
            self.columns.append("paper")
            for row, value in zip(self.rows, values, strict=True):
                row.append(value)


class Metrics(_Model):
    """Content of `metrics.json`."""

    wing: str
    benchmark: str
    scale: str
    title: str
    question: str
    answer: str = ""
    """One sentence: what came out."""
    headline: list[Headline]
    tables: list[Table]
    claims: dict[str, float | None]
    metrics: dict[str, Any]


class FigureEntry(_Model):
    """One line of `figures.json`."""

    file: str
    title: str
    caption: str
    digest: str = ""


@dataclass(frozen=True)
class Figure:
    title: str
    caption: str
    svg: svg.Inline


@dataclass(frozen=True)
class Benchmark:
    """Everything a page shows about one benchmark."""

    folder: Path
    metrics: Metrics
    claims: list[claims.Row]
    figures: list[Figure]
    provenance: list[dict[str, Any]]


def write_benchmark_page(folder: Path) -> Path:
    """Write `report.html` into a benchmark's folder and return its path.

    Raises
    ------
    InputError
        An input is missing or malformed: one sentence with the file and the command that makes it.
    """
    benchmark = load_benchmark(Path(folder), "f")
    return render(
        "benchmark.html.j2",
        benchmark.folder / "report.html",
        benchmark=benchmark,
        tally=tally(benchmark.claims),
        deviations=_deviations(benchmark.claims),
        provenance=provenance_table(benchmark.provenance),
        data={
            "metrics": benchmark.metrics.model_dump(),
            "claims": [asdict(row) for row in benchmark.claims],
            "provenance": benchmark.provenance,
        },
    )


def load_benchmark(folder: Path, prefix: str, figures: int | None = None) -> Benchmark:
    """Read one folder, with at most so many figures, whose ids begin with `prefix`.

    Raises InputError as `write_benchmark_page`.
    """
    plotted = []
    for n, entry in enumerate(_input(folder, "figures.json", _as(list[FigureEntry]))[:figures]):
        read = partial(_figure, prefix=f"{prefix}{n}-", entry=entry)
        plotted.append(_input(folder, f"figures/{entry.file}", read))
    metrics, rows = _input(folder, "metrics.json", _as(Metrics)), _input(folder, "claims.csv", claims.read)
    judged = [row for row in rows if row.verdict != "not testable at this scale"]
    papers = {row.claim: row.paper_value for row in judged}
    for item in metrics.headline:
        if item.claim in papers:
            item.note = "; ".join(filter(None, [f"paper: {number(papers[item.claim])}", item.note]))
    for table in metrics.tables:
        table.beside({row.claim: row.paper_value for row in rows})
    return Benchmark(
        folder,
        metrics,
        rows,
        plotted,
        _input(folder, "provenance.json", _as(list[dict[str, Any]])),
    )


def _figure(path: Path, prefix: str, entry: FigureEntry) -> Figure:
    return Figure(entry.title, entry.caption, svg.inline(path.read_text(), prefix, entry.title))


def _as(kind: type[T]) -> Callable[[Path], T]:
    return lambda path: TypeAdapter(kind).validate_python(read_json(path))


def read_input(folder: Path, name: str, kind: type[T]) -> T:
    """One JSON file of a benchmark's folder, checked. Raises InputError (one sentence with the remedy)."""
    return _input(folder, name, _as(kind))


def _input(folder: Path, name: str, read: Callable[[Path], T]) -> T:
    """Read one input; whatever is wrong with it becomes one sentence with the remedy."""
    path = folder / name
    scale, wing, benchmark = folder.resolve().parts[-3:]
    remedy = (
        f"the evaluation of {wing}/{benchmark} makes it: "
        f"snakemake -c all {folder / 'report.html'} --config scale={scale}"
    )
    if not path.is_file():
        raise InputError(f"{path} is missing; {remedy}")
    try:
        return read(path)
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except ValueError as error:
        problem = str(error)
    raise InputError(f"{path} cannot be shown ({problem}); {remedy}")


def _deviations(rows: Sequence[claims.Row]) -> list[claims.Deviation]:
    """Where we differ from the papers that `rows` are about."""
    papers = claims.load().papers.values()
    return [point for paper in papers if paper.label in {row.paper for row in rows} for point in paper.deviations]


def tally(rows: Sequence[claims.Row]) -> dict[str, int]:
    """Number of claims per verdict, in the order of the verdicts, without the empty ones."""
    counts = Counter(row.verdict for row in rows)
    return {verdict: counts[verdict] for verdict in claims.VERDICTS if counts[verdict]}


_FIRST = ("stage", "command", "seconds", "git_commit", "package_version", "threads", "device", "started")
_APART = ("git_dirty", "versions")  # shown with the commit, and once below the table


def provenance_table(stages: list[dict[str, Any]]) -> dict[str, Any]:
    """Columns and rows of the stages, and the versions of every library with which they ran."""
    keys = [key for key in dict.fromkeys(key for stage in stages for key in stage) if key not in _APART]
    columns = [key for key in dict.fromkeys((*_FIRST, *keys)) if key in keys]
    rows = [[_provenance_cell(stage, key) for key in columns] for stage in stages]
    versions: dict[str, list[str]] = {}
    for stage in stages:
        for library, version in (stage.get("versions") or {}).items():
            if str(version) not in versions.setdefault(library, []):
                versions[library].append(str(version))
    return {"columns": columns, "rows": rows, "versions": versions}


def _provenance_cell(stage: dict[str, Any], key: str) -> Cell:
    value = stage.get(key)
    if isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, str) and re.fullmatch(r"(\w+:)?[0-9a-f]{20,}", value):
        value = value.rpartition(":")[2][:12]
    return f"{value} + uncommitted changes" if key == "git_commit" and stage.get("git_dirty") else value


def number(value: Cell) -> str:
    """A number as people read it: four significant digits, more where rounding would turn a miss into 1.

    Text passes through, `None` is a dash, very small and very large numbers get a power of ten, and what is a
    hair below 1 is written as 1 minus its gap.
    """
    if value is None:
        return "\N{EM DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return _grouped(f"{value:,}")
    if not math.isfinite(value):
        return "not finite"
    size, gap = abs(value), abs(1.0 - abs(value))
    if size == 0.0:
        text = "0"
    elif size < 1e-3 or size >= 1e5:
        text = _power_of_ten(value)
    elif 0.0 < 1.0 - value < 1e-6:
        text = f"1\N{NO-BREAK SPACE}-\N{NO-BREAK SPACE}{_power_of_ten(gap, digits=0)}"
    else:
        near_one = 0 if gap == 0.0 else 1 + math.ceil(-math.log10(gap))
        digits = min(12, max(4, near_one, len(str(int(size)))))
        text = f"{value:,.{digits}g}"
    return _grouped(text)


def brief(value: float | None) -> str:
    """A number with two digits, for what is compared at a glance."""
    return number(None if value is None or not math.isfinite(value) else float(f"{value:.2g}"))


def short(paper: str) -> str:
    """The label of a paper with the first of three or more authors alone."""
    authors, bracket, year = paper.rpartition(" (")
    first, *others = authors.split(", ")
    return f"{first} et al.{bracket}{year}" if len(others) > 1 else paper


def _power_of_ten(value: float, digits: int = 2) -> str:
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    short = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{short}\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}10{power}"


def _grouped(text: str) -> str:
    """Thin spaces between thousands, from five digits on, and a true minus sign."""
    apart = "\N{NARROW NO-BREAK SPACE}" if len(text.partition(".")[0].lstrip("-")) > 5 else ""
    return text.replace(",", apart).replace("-", "\N{MINUS SIGN}")


def render(template: str, target: Path, **content: Any) -> Path:
    """Fill one of the templates and write it to `target`; text is escaped, and a missing name is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, brief=brief, short=short)
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return write_text(target, environment.get_template(template).render(**content))
