"""The paper's protocol: trainings that differ in the weighting of their loss terms alone."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from phasemill.core.blocks import Block, Count, Job, Positive

AUTHORS = 250
"""Epochs between the checks of the published code."""

AVERAGED = ("dn", "id", "ma", "ma14")
"""The schemes whose weight is a running mean."""


class Row(Block):
    """One way to weigh the terms."""

    scheme: Literal["fixed", "dn", "id", "ma", "ma14", "softadapt", "gradnorm"]
    beta: float = Field(default=0.99, ge=0, lt=1, description="share of the old weight in the new one")
    p: Literal["1", "2", "inf"] = Field(default="2", description="order of the norm of dn")
    correct: bool = Field(default=False, description="bias correction of the average")
    tau: Count = Field(default=10, description="epochs between updates of the weights")
    everywhere: bool = Field(default=False, description="Allen-Cahn: the periodic term's weight changes, too")

    @model_validator(mode="after")
    def _fits(self) -> Row:
        if self.scheme in ("softadapt", "gradnorm") and "beta" not in self.model_fields_set:
            raise ValueError(f"{self.scheme} does not average: give its beta, such as 0.1 (softadapt), 0.01 (gradnorm)")
        if self.p != "2" and self.scheme != "dn":
            raise ValueError(f"p is for dn alone, not for {self.scheme}; leave it out")
        if self.correct and self.scheme not in AVERAGED:
            raise ValueError(f"{self.scheme} has no average to correct; leave out correct")
        return self

    @property
    def name(self) -> str:
        """As it is called in files: dn_0.99_inf_corrected_tau100."""
        if self.scheme == "fixed":
            return "fixed"
        parts = [self.scheme, f"{self.beta:g}"]
        parts += [f"p{self.p}"] if self.p != "2" else []
        parts += ["corrected"] if self.correct else []
        parts += [f"tau{self.tau}"] if self.tau != 10 else []
        parts += ["everywhere"] if self.everywhere else []
        return "_".join(parts)


class Runs(Block):
    """A problem's network, points, optimiser and rows."""

    depth: int = Field(ge=2, description="layers of weights, the last one included")
    width: Count
    points: Count = Field(description="where the equation is asked for")
    initial: int = Field(ge=0, description="points of the initial condition")
    boundary: Count = Field(description="points per end or edge, or pairs")
    batch: int | None = Field(default=None, ge=1, description="points of the equation per step; default all")
    bounds: Literal["paper", "code"] = "paper"
    epochs: Count
    learning_rate: Positive
    check: Count = Field(description="epochs between errors on the reference grid")
    ema: float = Field(gt=0, lt=1, description="share of the old parameters in their running mean, per step")
    seeds: Count
    parts: Count = Field(description="jobs over which the seeds are dealt")
    rows: list[Row] = Field(min_length=2)

    @model_validator(mode="after")
    def _distinct(self) -> Runs:
        names = [row.name for row in self.rows]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"row {twice[0]} stands twice")
        if self.epochs >= AUTHORS and AUTHORS % self.check:
            raise ValueError(f"check is {self.check}: give a divisor of {AUTHORS}, where the published code looks")
        if self.parts > self.seeds:
            raise ValueError(f"{self.parts} parts for {self.seeds} seeds: give at most one part per seed")
        return self


class _RunsJob(Job):
    verb = "train"
    function = "phasemill.pinns.train.runs:train"
    model: ClassVar[str] = "runs_{part}.safetensors"


class BurgersRunsJob(_RunsJob):
    """Train Burgers with every row and every seed of a part."""

    benchmark: ClassVar[str] = "burgers"

    burgers: Runs


class PoissonRunsJob(_RunsJob):
    """Train Poisson with every row and every seed of a part."""

    benchmark: ClassVar[str] = "poisson"

    poisson: Runs


class AllenCahnRunsJob(_RunsJob):
    """Train Allen-Cahn with every row and every seed of a part."""

    benchmark: ClassVar[str] = "allen_cahn"

    allen_cahn: Runs


def problem_of(job: Job) -> tuple[str, Runs]:
    """The problem of a job, and its settings."""
    name = next(name for name in ("burgers", "poisson", "allen_cahn") if name in type(job).model_fields)
    settings: Runs = getattr(job, name)
    return name, settings
