"""The Cahn-Hilliard data sets: boxes of demixing fluid, from periodic Perlin noise."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from phasemill.core.blocks import Block, Count, Job, Positive, Range

Concentration = Annotated[float, Field(gt=0, lt=1)]


class Medium(Block):
    """The equation and its scales: interface width eps, mobility, grid spacing, and the networks' coarser grid."""

    eps: Positive = Field(description="interface width")
    mobility: Positive
    dx: Positive = Field(description="grid spacing")
    interval: Positive = Field(description="tau: time between frames, one step of the published network")
    factor: int = Field(ge=1, le=4, description="cells of the solver per cell of the networks, along each side")


class Mixtures(Block):
    """How initial mixtures are drawn: phi0 = clip(mean + deviation noise), noise of a lattice cell number per 64."""

    mean: Concentration = Field(description="mean of the normal distribution of the mean concentration")
    mean_deviation: Positive = Field(description="its standard deviation")
    mean_range: Range = Field(description="means outside are drawn again")
    deviation: Range = Field(description="standard deviation of phi within a box, uniform")
    lattice: list[Count] = Field(min_length=1, description="cells of the noise's lattice per 64 cells, one is chosen")
    octaves: Count = Field(description="1 to this many octaves of noise")


class Sequences(Block):
    """A set of evolutions with evenly spaced frames."""

    size: int = Field(ge=8, description="cells per side of the periodic cube")
    simulations: Count
    frames: int = Field(ge=2)
    tolerance: Positive = Field(description="local error of the solver (RKL2)")
    late: float = Field(ge=0, le=1, description="share of sequences that start late")
    late_times: Range = Field(description="time of their first frame, log-uniform")


class Training(Sequences):
    """The sequences to train on; the last ones are for validation."""

    validation: Count = Field(description="simulations for model selection")

    @model_validator(mode="after")
    def _some_are_left(self) -> Training:
        if self.validation >= self.simulations:
            raise ValueError(f"validation {self.validation} leaves none of {self.simulations} simulations to train")
        return self


class CahnHilliardJob(Job):
    """Simulate the data set `cahn_hilliard`: small boxes to train on."""

    verb = "simulate"
    function = "phasemill.spinodal.datasets.mixtures:simulate"

    medium: Medium
    mixtures: Mixtures
    data: Training

    @property
    def sequences(self) -> Sequences:
        """What is simulated."""
        return self.data


class HeldOutJob(Job):
    """Simulate the data set `cahn_hilliard_held_out`: larger boxes that no training sees."""

    verb = "simulate"
    function = "phasemill.spinodal.datasets.mixtures:simulate"

    medium: Medium
    mixtures: Mixtures
    held_out: Sequences

    @property
    def sequences(self) -> Sequences:
        """What is simulated."""
        return self.held_out
