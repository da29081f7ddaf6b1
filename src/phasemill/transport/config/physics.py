"""Other systems than heat."""

from __future__ import annotations

from pydantic import Field

from phasemill.core.blocks import Block, Count, Job, Positive, Range


class Timing(Block):
    """When a system's videos begin, and how far apart their frames lie."""

    start: Positive = Field(description="time of the first frame; before it lies the transient")
    interval: Positive = Field(description="time between frames")


class FisherKPP(Timing):
    """Videos of u_t = kappa lap u + r u (1 - u)."""

    kappa: Range
    r: Range


class DoubleWell(Timing):
    """Videos of Allen-Cahn or Cahn-Hilliard."""

    M: Range
    eps2: Range


class GrayScott(Timing):
    """Videos of the two species of Gray-Scott."""

    D_u: Range
    D_v: Range
    F: Range
    k: Range


class OtherPhysics(Block):
    """The data set `other_physics`; parameters are drawn uniformly."""

    size: int = Field(ge=8, description="cells per side of the periodic square")
    dx: Positive = Field(description="grid spacing")
    frames: int = Field(ge=4, description="stored frames of a simulation")
    simulations: Count = Field(description="simulations of each system")
    fisher_kpp: FisherKPP
    allen_cahn: DoubleWell
    cahn_hilliard: DoubleWell
    gray_scott: GrayScott

    def of(self, system: str) -> Timing:
        """The block of a system."""
        block: Timing = getattr(self, system)
        return block


class Physics(Block):
    """Recovery of the parameters of other equations."""

    substeps: list[Count] = Field(min_length=3, description="K, sub-steps per frame interval")
    noise: list[Positive] = Field(min_length=1, description="standard deviation, in units of that of each field")
    stride: int = Field(ge=2, description="s, of which every s-th frame makes the thinned pairs")
    field_frames: int = Field(ge=2, description="frames per simulation kept in fields.zarr, evenly spaced")


class OtherPhysicsJob(Job):
    """Simulate the data set `other_physics`."""

    verb = "simulate"
    function = "phasemill.transport.datasets.physics:simulate"

    physics_data: OtherPhysics


class PhysicsJob(Job):
    """Evaluate the recovery of the parameters of other equations."""

    verb = "evaluate"
    function = "phasemill.transport.evaluate.physics:physics"
    drawing = "phasemill.transport.figures.physics:physics"

    physics_data: OtherPhysics
    physics: Physics
