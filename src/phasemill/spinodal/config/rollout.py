"""Free roll-outs of trained networks: on held-out boxes, larger boxes, and shapes unlike anything they were shown."""

from __future__ import annotations

from pydantic import Field, model_validator

from phasemill.core.blocks import Block, Count, Job, Positive, Range
from phasemill.spinodal.config.data import Medium, Mixtures, Sequences


class Rollout(Block):
    """Which models are rolled out, and how their errors are summed up."""

    models: list[str] = Field(min_length=1, description="shipped models; pages speak of the first")
    judged: str = Field(description="the one of them that stands for the paper's, on which its claims are judged")
    frames: list[Count] = Field(min_length=2, description="frames that tables and fields show; the first one is 0")
    resamples: int = Field(ge=100, description="bootstrap resamples of the sequences, for the intervals of the errors")

    @model_validator(mode="after")
    def _judged_is_shown(self) -> Rollout:
        if self.judged not in self.models:
            raise ValueError(f"judged {self.judged} is not one of models {self.models}")
        return self


class Long(Block):
    """Evolutions with a frame every few tau."""

    size: int = Field(ge=16, description="cells per side of the periodic cube")
    steps: Count = Field(description="length in tau")
    every: Count = Field(description="tau between stored frames")
    tolerance: Positive = Field(description="local error of the solver (RKL2)")

    @model_validator(mode="after")
    def _whole_frames(self) -> Long:
        if self.steps % self.every:
            raise ValueError(f"steps {self.steps} is not a multiple of every {self.every}")
        return self


class Large(Long):
    """Boxes with sides longer than those of the training and held-out data."""

    simulations: Count


class Size(Block):
    """The cost of a step against the number of cells."""

    grids: list[int] = Field(min_length=2, description="cells per side of the network's grid")
    repeats: Count = Field(description="timed steps on each grid; the fastest counts")


class LargeJob(Job):
    """Simulate the data set `cahn_hilliard_large`."""

    verb = "simulate"
    function = "phasemill.spinodal.datasets.extrapolation:large"

    medium: Medium
    mixtures: Mixtures
    large: Large

    @property
    def sequences(self) -> Sequences:
        """How their initial mixtures are drawn: like the others', all from the start."""
        return Sequences(
            size=self.large.size,
            simulations=self.large.simulations,
            frames=self.large.steps // self.large.every + 1,
            tolerance=self.large.tolerance,
            late=0.0,
            late_times=Range(low=0.5, high=1.0),
        )


class ShapesDataJob(Job):
    """Simulate the data set `cahn_hilliard_shapes`: initial fields that no training draws."""

    verb = "simulate"
    function = "phasemill.spinodal.datasets.extrapolation:shapes"

    medium: Medium
    shapes: Long


class RolloutJob(Job):
    """Evaluate free roll-outs on the held-out boxes, and the solver behind them."""

    verb = "evaluate"
    function = "phasemill.spinodal.evaluate.rollout:rollout"
    drawing = "phasemill.spinodal.figures.rollout:rollout"

    medium: Medium
    held_out: Sequences
    rollout: Rollout


class SizeJob(Job):
    """Evaluate roll-outs in larger boxes, and what a step costs."""

    verb = "evaluate"
    function = "phasemill.spinodal.evaluate.size:size"
    drawing = "phasemill.spinodal.figures.size:size"

    medium: Medium
    rollout: Rollout
    size: Size


class ShapesJob(Job):
    """Evaluate roll-outs from shapes."""

    verb = "evaluate"
    function = "phasemill.spinodal.evaluate.shapes:shapes"
    drawing = "phasemill.spinodal.figures.shapes:shapes"

    medium: Medium
    rollout: Rollout
