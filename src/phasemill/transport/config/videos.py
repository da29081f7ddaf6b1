"""The Voronoi heat videos."""

from __future__ import annotations

from pydantic import Field, model_validator

from phasemill.core.blocks import Block, Count, Job, Positive, Range


class Grains(Block):
    """Number of Voronoi grains, drawn uniformly (both ends included)."""

    low: int = Field(ge=2)
    high: int = Field(ge=2)

    @model_validator(mode="after")
    def _ordered(self) -> Grains:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class VoronoiHeat(Block):
    """The data set: heat equation from rough periodic Voronoi tessellations."""

    size: int = Field(ge=8, description="cells per side of the periodic square")
    dx: Positive = Field(description="grid spacing")
    dt: Positive = Field(description="time step of the explicit Euler solver")
    steps: Count = Field(description="time steps of each simulation")
    save_every: Count = Field(description="time steps between stored frames")
    simulations: int = Field(ge=3, description="base simulations; each serves both directions of time")
    validation: Count = Field(description="base simulations for model selection and early stopping")
    test: Count = Field(description="held-out base simulations")
    kappa: Range = Field(description="coefficient kappa, drawn uniformly")
    grains: Grains
    interface_width: Positive = Field(description="width w of the initial interfaces")
    roughness: float = Field(ge=0, description="amplitude of the boundary roughness, in units of w")
    correlation_length: Positive = Field(description="correlation length of the roughness")

    @model_validator(mode="after")
    def _consistent(self) -> VoronoiHeat:
        if self.steps % self.save_every:
            raise ValueError(f"steps {self.steps} is not a multiple of save_every {self.save_every}")
        if self.steps // self.save_every < 2:
            raise ValueError("fewer than 3 frames per simulation; raise steps or lower save_every")
        if self.validation + self.test >= self.simulations:
            raise ValueError(
                f"validation {self.validation} + test {self.test} leave none of {self.simulations} simulations to train"
            )
        return self


class VoronoiHeatJob(Job):
    """Simulate the data set `voronoi_heat`."""

    verb = "simulate"
    function = "phasemill.transport.datasets.videos:simulate"

    data: VoronoiHeat
