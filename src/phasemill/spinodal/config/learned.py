"""The recurrent network and its training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from phasemill.core.blocks import Block, Count, Job, Positive
from phasemill.spinodal.config.data import Medium


class Network(Block):
    """Switches of the recurrent network; (raw, central, 10) is the published one."""

    inputs: Literal["raw", "centred", "features"]
    output: Literal["central", "staggered", "potential", "zero_mean", "plain"]
    channels: Count
    memory: int = Field(default=0, ge=0, description="steps after which the hidden state is zero again; 0: never")


class Stage(Block):
    """Steps of a curriculum with one roll-out length."""

    steps: Count = Field(description="batches")
    rollout: Count = Field(description="frames predicted under one gradient")
    given: Count = Field(default=1, description="true frames that the network is fed before it runs freely")
    pieces: Count = Field(default=1, description="roll-outs in a row on each batch, the state carried on (truncated)")


class Optimisation(Block):
    """Adam on roll-outs that grow from stage to stage."""

    stages: list[Stage] = Field(min_length=1)
    batch: Count
    learning_rate: Positive
    warm_up: Count = Field(description="steps of linear warm-up; a cosine to zero follows")
    clip: Positive = Field(description="largest norm of the gradient")
    average: float = Field(ge=0, lt=1, description="decay per step of the moving average of the weights, which is kept")
    every: Count = Field(description="steps between validations")

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)


class Curriculum(Optimisation):
    """Optimisation of a network that steps through time from frame to frame."""

    loss: Literal["relative", "plain"] = Field(
        description="mean squared error, divided by that of standing still for each sample (relative) or as it is"
    )
    from_start: float = Field(ge=0, le=1, description="share of the windows that begin at the first frame")
    downscale: Literal["nearest", "average", "none"] = Field(description="how the solver's grid becomes the network's")
    start: str = Field(default="", description="a shipped network or model file with the first weights; empty: random")

    @property
    def window(self) -> int:
        """Intervals that the longest stage needs."""
        return max(stage.rollout * stage.pieces for stage in self.stages)


class RecurrentJob(Job):
    """Train a recurrent network on `cahn_hilliard`."""

    verb = "train"
    function = "phasemill.spinodal.train.curriculum:train"
    benchmark = "spinodal_rollout"

    medium: Medium
    network: Network
    training: Curriculum

    @property
    def optimisation(self) -> Curriculum:
        """How it is trained."""
        return self.training
