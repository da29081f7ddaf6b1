"""Recovery of kappa(x)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from phasemill.core.blocks import Block, Count, Job, Positive, Range


class MapVideo(Block):
    """One video with a coefficient that varies in space."""

    map: Literal["smooth", "two_phase"]
    boundary: Literal["periodic", "neumann"]
    grains: int = Field(ge=2, description="few grains leave regions in which nothing happens")


class VaryingHeat(Block):
    """The data set: heat equation with kappa(x), from rough Voronoi tessellations."""

    size: int = Field(ge=8, description="cells per side of the square")
    dx: Positive = Field(description="grid spacing")
    dt: Positive = Field(description="time step of the explicit Euler solver")
    steps: Count = Field(description="time steps of each video")
    save_every: Count = Field(description="time steps between stored frames")
    kappa: Range = Field(description="range of kappa(x)")
    map_length: Positive = Field(description="correlation length of kappa(x)")
    interface_width: Positive = Field(description="width w of the initial interfaces")
    roughness: float = Field(ge=0, description="amplitude of the boundary roughness, in units of w")
    correlation_length: Positive = Field(description="correlation length of the roughness")
    videos: list[MapVideo] = Field(min_length=1)

    @model_validator(mode="after")
    def _enough_frames(self) -> VaryingHeat:
        if self.steps % self.save_every or self.steps // self.save_every < 3:
            raise ValueError(f"steps {self.steps} is not 3 or more times save_every {self.save_every}")
        return self


class Mapping(Block):
    """Recovery of kappa(x) from one video."""

    kappa: Range = Field(description="bounds of kappa(x)")
    iterations: Count = Field(description="most iterations of L-BFGS for a clean video")
    noise: list[Positive] = Field(min_length=1, description="standard deviation, as a share of the field's range")
    compared_noise: Positive = Field(description="the one of them that all videos get; the first video gets all")
    smoothness: list[Positive] = Field(min_length=3, description="weights mu of the smoothness, falling")
    smooth_iterations: Count = Field(description="most iterations of L-BFGS per mu")
    visible: float = Field(
        gt=0, lt=1, description="least |grad phi|^2 at which kappa counts as visible, in units of its mean"
    )

    @property
    def bounds(self) -> tuple[float, float]:
        """The bounds as a pair."""
        return self.kappa.low, self.kappa.high

    @model_validator(mode="after")
    def _ordered(self) -> Mapping:
        if sorted(set(self.smoothness), reverse=True) != self.smoothness:
            raise ValueError(f"smoothness {self.smoothness} must fall")
        if self.compared_noise not in self.noise:
            raise ValueError(f"compared_noise {self.compared_noise:g} is not one of noise {self.noise}")
        return self


class VaryingHeatJob(Job):
    """Simulate the data set `varying_heat`."""

    verb = "simulate"
    function = "phasemill.transport.datasets.maps:simulate"

    varying: VaryingHeat


class MapJob(Job):
    """Evaluate the recovery of kappa(x)."""

    verb = "evaluate"
    function = "phasemill.transport.evaluate.map:map_recovery"
    drawing = "phasemill.transport.figures.map:map_recovery"

    mapping: Mapping
