"""Networks that learn the evolution from its equation alone."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from phasemill.core.blocks import Block, Count, Job, Positive
from phasemill.grains.config.data import Case, only


class Learn(Block):
    """How much is spent on a benchmark, and how fine its coordinates' network sees."""

    seeds: Count = Field(description="trainings from other first weights")
    waves: Count = Field(description="harmonics of the box that the feed-forward network gets, per axis")
    iterations: Count = Field(description="of the feed-forward network per interval, at most")
    gate: Positive = Field(description="rms residual, over that of no motion, up to which it may teach")
    steps: int = Field(ge=0, description="of the recurrent network's training; 0: the one that comes with phasemill")
    settling: Count = Field(description="whole roll-outs on which the recurrent network is trained at the end")
    mixing: Count = Field(description="roll-outs through which gamma, the weight of the mixture, is trained")
    supervised: float = Field(ge=0, le=1, description="share of the first frames that are shown beside the equation")


class Marching(Block):
    """The feed-forward network, trained interval by interval."""

    width: Count
    depth: Count
    learning_rate: Positive
    tolerance: Positive = Field(description="rms residual, over that of no motion, at which an interval is solved")


class Recurrent(Block):
    """The recurrent network, for all intervals."""

    cell: Literal["gru", "lstm"]
    channels: Count
    learning_rate: Positive
    settling_rate: Positive = Field(description="learning rate on whole roll-outs")
    batch: int = Field(ge=2, description="windows of a step, half of them from the march, half from its own roll-out")
    window: Count = Field(description="intervals of a window")
    refresh: Count = Field(description="steps between its own roll-outs")


class LearningJob(Job):
    """What the jobs of a benchmark's networks share."""

    title: ClassVar[str] = ""

    marching: Marching

    @property
    def case(self) -> Case:
        """The benchmark."""
        return only(self, Case)

    @property
    def learn(self) -> Learn:
        """What is spent on it."""
        return only(self, Learn)


class MarchJob(LearningJob):
    """Train the feed-forward network of a benchmark, marching through its intervals."""

    verb = "train"
    function = "phasemill.grains.train.march:train"
    model: ClassVar[str] = "march.safetensors"


class StepperJob(LearningJob):
    """Train the recurrent network of a benchmark and the mixture of both."""

    verb = "train"
    function = "phasemill.grains.train.stepper:train"
    model: ClassVar[str] = "stepper.safetensors"

    recurrent: Recurrent


class UnsupervisedJob(LearningJob):
    """Evaluate the networks of a benchmark against its truth."""

    verb = "evaluate"
    function = "phasemill.grains.evaluate.unsupervised:unsupervised"
    drawing = "phasemill.grains.figures.unsupervised:unsupervised"

    recurrent: Recurrent
