"""The numbers and pictures of the summary page: `summary.json` and the folder `summary/` beside it.

Everything comes from what the evaluations stored; which benchmark takes part in which section is decided by what its
store holds (`report.summary_fields`), so that a new wing appears by itself.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from phasemill.core.errors import InputError
from phasemill.core.files import write_json
from phasemill.report import summary_fields as fields
from phasemill.report import summary_figures as figures
from phasemill.report.page import Metrics, read_input
from phasemill.report.performance import comparisons

Section = Literal["energy", "size"]
SECTIONS: dict[Section, tuple[str, ...]] = {"energy": fields.ENERGIES, "size": fields.SIZES}
Side = Literal["truth", "model"]
VERBS = ("simulate", "train", "evaluate")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Error(_Model):
    """Of one model: over all test simulations and frames."""

    name: str
    role: str
    rmse: float | None
    """None also of a model that diverged."""
    trivial: float | None
    """RMSE of the trivial predictor on the simulations and frames of this model."""
    ratio: float | None
    """RMSE over that of the trivial predictor."""
    displacement: float | None
    diverged: bool


class Course(_Model):
    """A quantity against time: its figure, and what it says of the model that is drawn in colour.

    `final` and `rise` are in units of the truth's first value: the model minus the truth in the last frame (mean over
    the simulations), and the largest rise from one frame to the next of any simulation. Both are None of a model that
    diverged.
    """

    what: str
    model: str
    standing: fields.Standing
    final: float | None
    rise: float | None
    truth_rise: float
    file: str
    digest: str


class Method(_Model):
    name: str
    median: float
    """Of |estimate / truth - 1| over the videos."""
    worst: float


class Coefficient(_Model):
    """Recovered against true values of a coefficient."""

    symbol: str
    videos: int
    methods: list[Method]
    file: str
    digest: str


class Entry(_Model):
    """One benchmark."""

    wing: str
    benchmark: str
    title: str
    model: str
    """The learned model of least RMSE, or the method where nothing was learned; empty if there is none."""
    standing: fields.Standing | None
    trivial: float | None
    """RMSE of the predictor to beat, where `model` has errors."""
    errors: list[Error]
    courses: dict[Section, Course]
    coefficients: list[Coefficient]


class Picture(_Model):
    """Truth and model of a wing, side by side."""

    wing: str
    benchmark: str
    title: str
    model: str
    time: float | None
    files: dict[Side, str]
    digests: dict[Side, str]


class Stages(_Model):
    """Seconds of the stages of one wing at this scale, by what they do."""

    wing: str
    seconds: dict[str, float]


class Run(_Model):
    """What the stages of this scale took, and where they ran; stages of shipped models and records do not count."""

    stages: int
    seconds: float
    cpu_seconds: float
    finished: str
    systems: list[str]
    commits: list[str]
    dirty: bool
    wings: list[Stages]


class Speed(_Model):
    """Ours against a peer, from the performance tests."""

    name: str
    peer: str
    ratio: float


class Summary(_Model):
    format: Literal["phasemill-summary"] = "phasemill-summary"
    scale: str
    benchmarks: list[Entry]
    pictures: list[Picture]
    run: Run
    speed: list[Speed]


def summarise(folders: Sequence[Path], output: Path, scale: str, performance: Path | None = None) -> Path:
    """Read the stores and metrics of benchmarks and write `output` and the figures, into the folder of its name.

    Arguments:
        folders: of the benchmarks, in the order of the page.
        output: `results/{scale}/summary.json`; the figures go to `results/{scale}/summary/`.
        scale: of all of them.
        performance: `results/performance.json`, if it has been measured.

    Raises InputError (one sentence) for a folder without its stored files, or with broken ones.
    """
    drawn = output.with_suffix("")
    shutil.rmtree(drawn, ignore_errors=True)
    drawn.mkdir(parents=True)
    entries, pictures, provenance = [], {}, []
    for folder in map(Path, folders):
        metrics = read_input(folder, "metrics.json", Metrics)
        dataset = fields.open_fields(folder)
        try:
            entry = _entry(dataset, metrics, drawn)
            cover = "cover" in dataset.attrs
            learned = entry.standing in ("best learned model", "learned model")
            if learned and fields.has_fields(dataset) and (cover or entry.wing not in pictures):
                pictures[entry.wing] = _picture(dataset, entry, drawn)
        except (ValueError, KeyError, IndexError) as error:
            raise InputError(f"{folder / 'fields.zarr'} cannot be summarised ({error}); evaluate it again") from error
        entries.append(entry)
        provenance.append((metrics.wing, read_input(folder, "provenance.json", list[dict[str, Any]])))
    content = Summary(
        scale=scale,
        benchmarks=entries,
        pictures=list(pictures.values()),
        run=_run(provenance, scale),
        speed=_speed(performance),
    )
    return write_json(output, content.model_dump())


def _entry(dataset: xr.Dataset, metrics: Metrics, folder: Path) -> Entry:
    name = metrics.benchmark
    rows = _errors(dataset)
    scores = {row.name: row.rmse for row in rows if row.rmse is not None}
    lost = {row.name for row in rows if row.diverged}
    best = fields.pick(tuple(row.name for row in rows), tuple(row.role for row in rows), scores)
    courses: dict[Section, Course] = {}
    for section, stems in SECTIONS.items():
        found = fields.course(dataset, stems)
        if found is None:
            continue
        names, roles = found.found.names, found.found.roles
        chosen = fields.pick(names, roles, scores)
        if chosen and not chosen.best:  # no errors: the course itself ranks them
            apart = {own: distance for own, distance in found.distances().items() if own not in lost}
            chosen = fields.pick(names, roles, apart)
        if chosen:
            courses[section] = _course(found, chosen, folder / f"{name}_{section}.svg")
    recovered = [
        _coefficient(symbol, found, truth, sigma, folder / f"{name}_{symbol}.svg")
        for symbol, (found, truth, sigma) in fields.coefficients(dataset).items()
    ]
    return Entry(
        wing=metrics.wing,
        benchmark=name,
        title=metrics.title,
        model=best.name if best else "",
        standing=best.standing if best else None,
        trivial=next((row.trivial for row in rows if best and row.name == best.name), None),
        errors=rows,
        courses=courses,
        coefficients=recovered,
    )


def _errors(dataset: xr.Dataset) -> list[Error]:
    """Errors of each model, beside those of the trivial predictor on the same simulations and frames."""
    found, lengths = fields.errors(dataset), fields.displacement(dataset)
    if found is None:
        return []
    held = fields.trivial(dataset, found)
    beside = np.full(found.values.shape[1:], np.nan) if held is None else np.broadcast_to(held, found.values.shape[1:])
    known = np.isfinite(found.values).any(axis=0) | np.isfinite(beside)
    apart = dict(zip(lengths.names, lengths.values, strict=True)) if lengths else {}
    rows = []
    for name, role, values in zip(found.names, found.roles, found.values, strict=True):
        lost = bool(fields.diverged(values, known).any())
        score = None if lost else fields.rms(values)
        trivial = fields.rms(np.where(np.isfinite(values), beside, np.nan))
        rows.append(
            Error(
                name=name,
                role=role,
                rmse=score,
                trivial=trivial,
                ratio=score / trivial if score is not None and trivial else None,
                displacement=_mean(apart[name]) if name in apart and not lost else None,
                diverged=lost,
            )
        )
    return rows


def _course(found: fields.Course, chosen: fields.Choice, path: Path) -> Course:
    truth, models = found.normalised()
    model = chosen.name
    own = models[found.found.names.index(model)]
    reference = truth[found.found.names.index(model)] if len(truth) > 1 else truth[0]
    rise = _rise(own, np.isfinite(reference))
    reference = np.where(np.isfinite(own), reference, np.nan)
    digest = figures.course(path, found.found, truth, models, model)
    return Course(
        what=found.label,
        model=model,
        standing=chosen.standing,
        final=None if rise is None else _mean((own - reference)[:, -1]),
        rise=rise,
        truth_rise=_rise(reference, np.isfinite(own)) or 0.0,
        file=path.name,
        digest=digest,
    )


def _coefficient(
    symbol: str, found: fields.Cube, truth: fields.Floats, sigma: fields.Floats | None, path: Path
) -> Coefficient:
    estimates = found.values[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.abs(estimates / truth - 1)
    methods = [
        Method(name=name, median=float(np.median(own)), worst=float(np.max(own)))
        for name, row in zip(found.names, errors, strict=True)
        if (own := row[np.isfinite(row)]).size
    ]
    best = min(methods, key=lambda method: method.median, default=None)
    digest = figures.recovery(path, found, truth, sigma, best.name if best else "")
    return Coefficient(symbol=symbol, videos=len(truth), methods=methods, file=path.name, digest=digest)


def _picture(dataset: xr.Dataset, entry: Entry, folder: Path) -> Picture:
    one = fields.portrait(dataset, entry.model)
    shown_at = float(one.time) if "time" in one.coords and "time" not in one.dims else None
    both: dict[Side, fields.Floats] = {
        "truth": np.asarray(one.truth.values, float),
        "model": np.asarray(one.prediction.values, float),
    }
    digests = figures.pair(folder, entry.wing, both, square="time" in one.dims)
    return Picture(
        wing=entry.wing,
        benchmark=entry.benchmark,
        title=entry.title,
        model=entry.model,
        time=shown_at,
        files={kind: f"{entry.wing}_{kind}.png" for kind in both},
        digests=digests,
    )


def _run(provenance: Sequence[tuple[str, list[dict[str, Any]]]], scale: str) -> Run:
    """Each stage once; a stage belongs to the scale in whose folder its command wrote."""
    own: dict[str, tuple[str, dict[str, Any]]] = {}
    here = re.compile(rf"(?:^|[\s/='\"])(?:data|results)/{re.escape(scale)}/")  # a home folder may bear its name, too
    for wing, stages in provenance:
        for stage in stages:
            if here.search(str(stage.get("command"))):
                own.setdefault(json.dumps(stage, sort_keys=True), (wing, stage))
    seconds: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for wing, stage in own.values():
        seconds[wing][str(stage.get("stage")).split()[0]] += float(stage.get("seconds") or 0)
    stages = [stage for _, stage in own.values()]
    ends = sorted(
        datetime.fromisoformat(stage["started"]) + timedelta(seconds=float(stage.get("seconds") or 0))
        for stage in stages
        if stage.get("started")
    )
    return Run(
        stages=len(stages),
        seconds=sum(float(stage.get("seconds") or 0) for stage in stages),
        cpu_seconds=sum(float(stage.get("cpu_seconds") or 0) for stage in stages),
        finished=ends[-1].isoformat(timespec="minutes") if ends else "",
        systems=_distinct(stages, "system"),
        commits=_distinct(stages, "git_commit"),
        dirty=any(stage.get("git_dirty") for stage in stages),
        wings=[Stages(wing=wing, seconds=dict(sorted(parts.items(), key=_order))) for wing, parts in seconds.items()],
    )


def _speed(path: Path | None) -> list[Speed]:
    """The ratios of a performance file, the largest first."""
    found = []
    for key, entry in (comparisons(path) if path else {}).items():
        name, _, peer = key.partition(" against ")
        found.append(Speed(name=name, peer=peer, ratio=float(entry["ratio"])))
    return sorted(found, key=lambda speed: -speed.ratio)


def _order(part: tuple[str, float]) -> int:
    """Of a verb, in the direction of the data flow; others come last."""
    return VERBS.index(part[0]) if part[0] in VERBS else len(VERBS)


def _distinct(stages: Sequence[dict[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(str(stage[key]) for stage in stages if stage.get(key)))


def _mean(values: fields.Floats) -> float | None:
    """Mean of what is finite, None if nothing is."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else None


def _rise(values: fields.Floats, known: NDArray[np.bool_]) -> float | None:
    """Largest rise from one frame to the next, of any simulation; 0 if it only falls, None if it diverged."""
    if fields.diverged(values, known).any():
        return None
    steps = np.diff(values, axis=-1)
    return float(np.max(steps[np.isfinite(steps)], initial=0.0))
