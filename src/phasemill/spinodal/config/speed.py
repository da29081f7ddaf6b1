"""Error against cost: solvers and networks on one core, and on one GPU."""

from __future__ import annotations

from pydantic import Field, model_validator

from phasemill.core.blocks import Block, Count, Job, Positive
from phasemill.spinodal.config.data import Medium


class Solvers(Block):
    """Settings of the solvers on a horizon; each makes one row per precision."""

    euler: list[Positive] = Field(default=[], description="dt of explicit Euler")
    spectral: list[Positive] = Field(default=[], description="dt of SBDF2 in Fourier space")
    tolerances: list[Positive] = Field(min_length=1, description="of RKL2")
    coarse_euler: list[Positive] = Field(default=[], description="dt of explicit Euler on the networks' grid")
    coarse_tolerances: list[Positive] = Field(default=[], description="of RKL2 on the networks' grid")


class Horizon(Solvers):
    """A span of time over which methods are compared with the truth, at the marks."""

    marks: list[Positive] = Field(min_length=1, description="times at which errors are taken; the last one ends it")
    truth: Positive = Field(description="tolerance of RKL2, in float64, for the truth")

    @model_validator(mode="after")
    def _ascending(self) -> Horizon:
        if any(b <= a for a, b in zip(self.marks, self.marks[1:], strict=False)):
            raise ValueError("marks are not ascending")
        return self


class LongHorizon(Horizon):
    """The one on which a large stride pays."""

    start: Positive = Field(description="time of the common initial state, from the truth of the early horizon")
    small_strides: bool = Field(description="whether the features network goes along, a step for each tau")


class Gain(Block):
    """How much less work RKL2 needs than explicit Euler, from the first frame on."""

    until: Positive = Field(description="RKL2 runs whole to this time, Euler is extrapolated")
    tolerance: Positive
    late_until: Positive = Field(description="RKL2 runs whole to this time, Euler is extrapolated")
    late_tolerance: Positive


class Timing(Block):
    """Timed pieces."""

    repeats: Count = Field(description="interleaved repeats of which the fastest counts")
    steps: Count = Field(description="Euler steps of one timed piece")
    batches: list[Count] = Field(min_length=1, description="of the timed training steps")
    rollout: Count = Field(description="frames of a timed training step")


class Contestants(Block):
    """Shipped networks, or files ending in .safetensors."""

    published: str = Field(description="the network as published: raw input")
    features: str
    stride: str = Field(description="the one that takes large strides")


class Speed(Block):
    """Error against CPU seconds per tau, of solvers and networks."""

    boxes: Count = Field(description="held-out boxes, those with the earliest first frames; the first is timed")
    networks: Contestants
    energy_error: Positive = Field(description="largest |dF|/F with which the speed of a large stride counts")
    early: Horizon
    long: LongHorizon
    gain: Gain
    timing: Timing

    @model_validator(mode="after")
    def _long_starts_on_a_mark(self) -> Speed:
        if self.long.start not in self.early.marks:
            raise ValueError(f"long.start {self.long.start:g} is none of early.marks")
        if self.long.marks[0] <= self.long.start:
            raise ValueError(f"long.marks begin before long.start {self.long.start:g}")
        return self


class SpeedJob(Job):
    """Evaluate error against cost."""

    verb = "evaluate"
    function = "phasemill.spinodal.evaluate.speed:speed"
    drawing = "phasemill.spinodal.figures.speed:speed"

    medium: Medium
    speed: Speed
