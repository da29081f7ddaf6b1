"""The network of large strides: its trajectories and its training."""

from __future__ import annotations

from math import log

from pydantic import Field, model_validator

from phasemill.core.blocks import Block, Count, Job, Positive
from phasemill.spinodal.config.data import Medium, Mixtures
from phasemill.spinodal.config.learned import Optimisation


class Strides(Block):
    """Long evolutions with frames at geometric times, on the networks' grid; the last ones are for validation."""

    size: int = Field(ge=8, description="cells per side of the solver's periodic cube")
    simulations: Count
    validation: Count = Field(description="simulations for model selection")
    tolerance: Positive = Field(description="local error of the solver (RKL2)")
    first: Positive = Field(description="time of the first frame")
    growth: float = Field(gt=1, le=2, description="time of a frame over that of the one before")
    last: Positive = Field(description="no frame is later")

    @model_validator(mode="after")
    def _possible(self) -> Strides:
        if self.validation >= self.simulations:
            raise ValueError(f"validation {self.validation} leaves none of {self.simulations} simulations to train")
        return self

    def times(self, interval: float) -> list[float]:
        """first growth^k up to `last`, each rounded to a multiple of `interval`, without repetition."""
        count = int(log(self.last / self.first) / log(self.growth)) if self.last > self.first else 0
        return [interval * n for n in sorted({round(self.first * self.growth**k / interval) for k in range(count + 1)})]


class StridesJob(Job):
    """Simulate the data set `cahn_hilliard_strides`: long evolutions, their frames ever farther apart."""

    verb = "simulate"
    function = "phasemill.spinodal.datasets.stride:simulate"

    medium: Medium
    mixtures: Mixtures
    strides: Strides


class StrideNetworkSettings(Block):
    """The solver's guess, and the size of the network that corrects it."""

    width: float = Field(ge=1, description="width of the interfaces in the guess, over eps")
    tolerance: Positive = Field(description="local error of the solver (RKL2) for the guess")
    channels: Count
    dilations: list[Count] = Field(min_length=1, description="reach of each residual block's convolution, folded cells")


class StrideTraining(Optimisation):
    """Optimisation on strides of several lengths at once."""

    skips: list[Count] = Field(min_length=1, description="frames that a stride may advance, drawn for each sample")
    energy: float = Field(ge=0, description="weight of the squared error in log F beside the error in phi")

    @model_validator(mode="after")
    def _no_state(self) -> StrideTraining:
        if any((stage.given, stage.pieces) != (1, 1) for stage in self.stages):
            raise ValueError("stages: a network without state takes neither given frames nor pieces")
        return self

    @property
    def frames(self) -> int:
        """Frames that the longest stage needs."""
        return min(self.skips) * max(stage.rollout for stage in self.stages) + 1


class StrideJob(Job):
    """Train the network of large strides on `cahn_hilliard_strides`."""

    verb = "train"
    function = "phasemill.spinodal.train.stride:train"
    benchmark = "spinodal_speed"
    model = "stride.safetensors"

    medium: Medium
    stride_network: StrideNetworkSettings
    stride_training: StrideTraining
