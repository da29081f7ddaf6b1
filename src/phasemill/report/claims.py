"""What the papers claim, and the verdict of our measurement on each claim.

The `claims.yaml` of a wing is the one place where a paper's value and its source stand; its keys are the fields of
`Paper`, of `Claim` and of the kinds of checks. An evaluation hands in its measured values by claim id; `judge` turns
each into a verdict, `write` stores the tidy table `claims.csv`.
"""

from __future__ import annotations

import csv
import difflib
import functools
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, ValidationError, model_validator

from phasemill.core.errors import InputError
from phasemill.core.files import write_text

Verdict = Literal["reproduced", "exceeded", "consistent", "not reproduced", "refuted", "not testable at this scale"]
Scale = Literal["smoke", "laptop", "paper"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
SOURCES = sorted(Path(__file__).parents[1].glob("*/claims.yaml"))
"""One of each wing."""
FastLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""With libyaml: every evaluation and page reads the claims."""
FAR = 1e5
"""A bound of an interval from here on is no bound."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Better(_Strict):
    """Within `tolerance` of the paper: reproduced; better by more: exceeded; worse by more: not reproduced."""

    kind: Literal["lower_is_better", "higher_is_better"]
    tolerance: NonNegativeFloat  # absolute, in the unit of the claim


class Equal(_Strict):
    """|value - paper| <= rel |paper|: reproduced; otherwise not."""

    kind: Literal["equal"]
    rel: NonNegativeFloat


class Interval(_Strict):
    """low <= value <= high: reproduced; beyond a `refuted_` bound: refuted; between the two: not reproduced.

    The bounds say what would be seen if the statement were true, so a statement without a number fits too.
    """

    kind: Literal["interval"]
    low: float
    high: float
    refuted_below: float = -math.inf
    refuted_above: float = math.inf

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=True)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.refuted_below <= self.low <= self.high <= self.refuted_above:
            raise ValueError("needs refuted_below <= low <= high <= refuted_above")
        return self


class Band(_Strict):
    """The paper's value lies in the band that was measured with ours (`bands` of `write`): reproduced; else not."""

    kind: Literal["band"]


class Deviation(_Strict):
    """One point in which we differ from a paper's protocol, in words."""

    what: str
    paper: str
    here: str


class Paper(_Strict):
    authors: str = Field(min_length=1)
    title: str = Field(min_length=1)
    year: int
    doi: str = Field(default="", pattern=r"^(10\.\d{4,}/\S+)?$")
    """Empty for a manuscript without one."""
    deviations: tuple[Deviation, ...] = ()

    @property
    def label(self) -> str:
        """As a row of claims names it."""
        return f"{self.authors} ({self.year})"


class Claim(_Strict):
    """One sentence of a paper that a run here can support or contradict."""

    paper: str
    where: str = Field(min_length=1)
    """Section, table, figure or equation of the paper."""
    statement: str = Field(min_length=1)
    """What the paper says, in our words."""
    paper_value: float | None
    """The number as printed; null where the paper gives words only."""
    unit: str = "1"
    check: Annotated[Better | Equal | Interval | Band, Field(discriminator="kind")]
    scales: tuple[Scale, ...] = Field(min_length=1)
    """Where a run is big enough to judge it; elsewhere the verdict is "not testable at this scale"."""
    by_construction: bool = False
    """What agrees was put in: the verdict is "consistent" where it would be "reproduced"."""
    note: str = ""
    """How we read the claim, and why the check is as wide as it is."""

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        if self.paper_value is None and not isinstance(self.check, Interval):
            raise ValueError(f"check '{self.check.kind}' compares with paper_value, which is null")
        return self


class Catalogue(_Strict):
    """All papers and claims; every claim names a listed paper."""

    papers: dict[str, Paper]
    claims: dict[str, Claim]

    @model_validator(mode="after")
    def _sources(self) -> Self:
        for name, claim in self.claims.items():
            if claim.paper not in self.papers:
                raise ValueError(f"claim '{name}' names paper '{claim.paper}', which is not under papers")
        return self

    def claim(self, name: str) -> Claim:
        if name not in self.claims:
            near = difflib.get_close_matches(name, self.claims, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else "; add it to the claims.yaml of its wing"
            raise InputError(f"unknown claim '{name}'{hint}")
        return self.claims[name]


@functools.cache
def load() -> Catalogue:
    """The papers and claims of all wings."""
    papers: dict[str, Paper] = {}
    claims: dict[str, Claim] = {}
    for found in map(read_catalogue, SOURCES):
        papers |= found.papers
        claims |= found.claims
    return Catalogue(papers=papers, claims=claims)


def read_catalogue(path: Path) -> Catalogue:
    """Read and check the claims of a file.

    Raises
    ------
    InputError
        One line per problem, each with its dotted place in the file.
    """
    try:
        return Catalogue.model_validate(yaml.load(path.read_text(), FastLoader))
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, p['loc'])) or 'catalogue'}: {p['msg']}" for p in error.errors()]
        raise InputError(f"{path.parent.name}/{path.name} is not valid:\n" + "\n".join(problems)) from None


def judge(claim: Claim, value: float | None, scale: str, band: Sequence[float] | None = None) -> Verdict:
    """Verdict of one measured value; `None` means that this run did not measure it. A NaN counts as a miss."""
    verdict = _judge(claim, value, scale, band)
    return "consistent" if claim.by_construction and verdict == "reproduced" else verdict


def accepted(claim: Claim, band: Sequence[float] | None = None) -> str:
    """What `judge` calls reproduced, or better, in words."""
    paper = math.nan if claim.paper_value is None else claim.paper_value
    match claim.check:
        case Better(kind="lower_is_better", tolerance=tolerance):
            return f"at most {paper + tolerance:.4g}"
        case Better(tolerance=tolerance):
            return f"at least {paper - tolerance:.5g}"
        case Equal(rel=rel):
            return f"{paper:.4g} within {100 * rel:.2g} %"
        case Band():
            return f"the paper's value in {band[0]:.4g} to {band[1]:.4g}" if band else "the paper's value in the band"
        case Interval(low=low, high=high):
            if high >= FAR:
                return f"at least {low:.4g}"
            return f"at most {high:.4g}" if low <= -FAR else f"{low:.4g} to {high:.4g}"


def _judge(claim: Claim, value: float | None, scale: str, band: Sequence[float] | None) -> Verdict:
    if value is None or scale not in claim.scales:
        return "not testable at this scale"
    if not math.isfinite(value):
        return "not reproduced"
    paper = math.nan if claim.paper_value is None else claim.paper_value  # only Interval may lack it
    match claim.check:
        case Better(kind=kind, tolerance=tolerance):
            gain = paper - value if kind == "lower_is_better" else value - paper
            if gain > tolerance:
                return "exceeded"
            return "reproduced" if gain >= -tolerance else "not reproduced"
        case Equal(rel=rel):
            return "reproduced" if abs(value - paper) <= rel * abs(paper) else "not reproduced"
        case Band():
            if band is None:
                raise ValueError("a claim of kind 'band' needs its measured band")
            return "reproduced" if band[0] <= paper <= band[1] else "not reproduced"
        case Interval() as bounds:
            if not bounds.refuted_below <= value <= bounds.refuted_above:
                return "refuted"
            return "reproduced" if bounds.low <= value <= bounds.high else "not reproduced"


@dataclass(frozen=True)
class Row:
    """One line of `claims.csv`; the field names are its header."""

    claim: str
    paper: str
    doi: str
    where: str
    statement: str
    paper_value: float | None
    value: float | None
    unit: str
    accepted: str
    verdict: Verdict
    scale: str
    command: str
    note: str


COLUMNS = tuple(field.name for field in fields(Row))


def write(
    path: Path | str,
    values: Mapping[str, float | None],
    scale: str,
    command: str,
    notes: Mapping[str, str] | None = None,
    bands: Mapping[str, Sequence[float]] | None = None,
    catalogue: Catalogue | None = None,
) -> Path:
    """Judge the measured `values` (by claim id, in their order) and write them as a tidy CSV, atomically.

    Arguments
    ---------
    values: measured number per claim id in the claim's unit, `None` where this run measured none.
    scale: scale at which it was measured.
    command: the command that makes these numbers.
    notes: words on single rows, added to the note in the catalogue.
    bands: measured low and high end for claims of kind `band`.

    Raises
    ------
    InputError
        A claim id that the catalogue does not have.
    """
    catalogue, notes, bands = catalogue or load(), dict(notes or {}), bands or {}
    for name in [*values, *notes, *bands]:
        catalogue.claim(name)
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for name, measured in values.items():
        claim = catalogue.claim(name)
        paper = catalogue.papers[claim.paper]
        value = None if measured is None else float(measured)
        row = Row(
            claim=name,
            paper=paper.label,
            doi=paper.doi,
            where=claim.where,
            statement=claim.statement,
            paper_value=claim.paper_value,
            value=value,
            unit=claim.unit,
            accepted=accepted(claim, bands.get(name)),
            verdict=judge(claim, value, scale, bands.get(name)),
            scale=scale,
            command=command,
            note=" ".join(part for part in (notes.get(name, ""), claim.note) if part),
        )
        table.writerow(asdict(row))
    return write_text(path, text.getvalue())


def read(path: Path | str) -> list[Row]:
    """Rows of a `claims.csv`.

    Raises
    ------
    InputError
        One sentence with the path.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    with path.open(newline="") as stream:
        table = csv.DictReader(stream)
        if tuple(table.fieldnames or ()) != COLUMNS:
            raise InputError(f"{path} does not have the columns {', '.join(COLUMNS)}; remake it")
        return [_row(line) for line in table]


def _row(line: dict[str, str]) -> Row:
    numbers = {key: float(line[key]) if line[key] else None for key in ("paper_value", "value")}
    return Row(**{**line, **numbers})  # type: ignore[arg-type]  # the header was compared with the fields
