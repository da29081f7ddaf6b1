"""Transfer: networks of one benchmark as the start of another's."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field, create_model, model_validator

from phasemill.core.blocks import Block, Count, Job, Positive
from phasemill.grains.config.data import Case, Fraction
from phasemill.grains.config.learned import Marching, Recurrent

Origin = Literal["scratch", "whole", "feed_forward", "recurrent"]
"""Which networks begin with the parent's weights: none, both, or one of the two."""
StageName = Literal["narrow", "resume", "pair", "many", "finer"]


class Route(NamedTuple):
    """Where a stage comes from and where it leads; benchmarks are named by their cases."""

    parent: str
    case: str
    words: str


ROUTES: dict[StageName, Route] = {
    "narrow": Route("shrink_64", "shrink_64_narrow", "narrower interface"),
    "resume": Route("shrink_128", "shrink_128", "resumed"),
    "pair": Route("shrink_128", "growth_2", "one grain to two"),
    "many": Route("pair", "growth_35", "two grains to 35"),
    "finer": Route("shrink_64", "shrink_128", "finer grid"),
}
"""The stages; the parent of `many` is what the stage `pair` has made by transfer."""


class Stage(Block):
    """One stage: all its trainings have the same steps and learning rates."""

    seeds: Count = Field(description="trainings of each kind; the parent is the same for all")
    origins: list[Origin] = Field(min_length=1)
    supervised: list[Fraction] = Field(min_length=1, description="shares of the first frames that are shown")
    waves: Count = Field(description="harmonics of the box that the feed-forward network gets, per axis")
    iterations: Count = Field(description="of the feed-forward network per interval, at most")
    tolerance: Positive = Field(description="rms residual, over that of no motion, at which an interval is solved")
    steps: Count = Field(description="of the recurrent network's training")
    every: Count = Field(description="steps between two looks at its roll-out")

    @model_validator(mode="after")
    def _no_twins(self) -> Stage:
        for name in ("origins", "supervised"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} {values} must differ")
        return self


class Transfer(Block):
    """What is shown of the stages."""

    stages: list[StageName] = Field(min_length=1, description="that are trained and shown, the first one with fields")
    reached: Positive = Field(description="mean square error of a roll-out to which steps are counted")
    solved: Positive = Field(description="rms residual, over that of no motion, at which a blind training would stop")


class StageJob(Job):
    """Train one stage from scratch and from its parent."""

    verb = "train"
    function = "phasemill.grains.train.transfer:train"
    benchmark = "grains_transfer"
    stage: ClassVar[StageName]

    marching: Marching
    recurrent: Recurrent

    @property
    def route(self) -> Route:
        """Where it leads."""
        return ROUTES[self.stage]

    @property
    def case(self) -> Case:
        """The benchmark that is learned."""
        found: Case = getattr(self, self.route.case)
        return found

    @property
    def settings(self) -> Stage:
        """How it is learned."""
        found: Stage = getattr(self, f"transfer_{self.stage}")
        return found

    @property
    def ancestor(self) -> str:
        """The run of the parent benchmark that a transfer begins with: first microstructure, first seed."""
        return f"{next(iter(getattr(self, self.route.parent).starts))}_0"


class TransferJob(Job):
    """Score all stages."""

    verb = "evaluate"
    function = "phasemill.grains.evaluate.transfer:transfer"
    drawing = "phasemill.grains.figures.transfer:transfer"

    marching: Marching
    recurrent: Recurrent
    transfer: Transfer
    shrink_64: Case
    shrink_64_narrow: Case
    shrink_128: Case
    growth_2: Case
    growth_35: Case
    transfer_narrow: Stage
    transfer_resume: Stage
    transfer_pair: Stage
    transfer_many: Stage
    transfer_finer: Stage

    def of(self, stage: StageName) -> StageJob:
        """The job that trains a stage."""
        model = STAGE_JOBS[f"grains_transfer_{stage}"]
        return model(**{name: value for name, value in dict(self).items() if name in model.model_fields})


def check_chain(pair: Stage, many: Stage) -> None:
    """Raises ValueError where the stage `many` would begin with a network that the stage `pair` does not train."""
    if not ("whole" in pair.origins and set(many.supervised) <= set(pair.supervised) and many.seeds <= pair.seeds):
        raise ValueError(
            "transfer_many begins with networks of transfer_pair: that needs the origin whole, and all the shares "
            "(supervised) and as many seeds as transfer_many has"
        )


def _job(stage: StageName) -> type[StageJob]:
    """The training job of a stage, with the blocks that it depends on."""
    route = ROUTES[stage]
    blocks: dict[str, Any] = {route.case: (Case, ...), f"transfer_{stage}": (Stage, ...)}
    if route.parent != "pair":
        blocks[route.parent] = (Case, ...)
    found = create_model(f"{stage}_transfer", __base__=StageJob, **blocks)
    found.stage, found.model = stage, f"{stage}.safetensors"
    return found


STAGE_JOBS: dict[str, type[StageJob]] = {f"grains_transfer_{stage}": _job(stage) for stage in ROUTES}
JOBS: dict[str, type[Job]] = {**STAGE_JOBS, "grains_transfer": TransferJob}
