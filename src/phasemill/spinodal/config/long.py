"""Long evolutions: one box coarsening to its stationary state, and ensembles with their statistics."""

from __future__ import annotations

from pydantic import Field, field_validator

from phasemill.core.blocks import Block, Count, Job, Positive, Range
from phasemill.spinodal.config.data import Concentration, Medium, Mixtures


class Evolutions(Block):
    """Boxes that evolve from t = 0 on, with frames evenly spaced in log t."""

    size: int = Field(ge=16, description="cells per side of the periodic cube")
    simulations: Count
    until: Positive = Field(description="time of the last frame")
    frames: int = Field(ge=4, description="stored times, fewer where they would fall on the same multiple of tau")
    tolerance: Positive = Field(description="local error of the solver (RKL2)")


class Coarsening(Evolutions):
    """Perlin noise of one kind, each simulation with its own seed."""

    mean: Concentration
    deviation: Positive = Field(description="standard deviation of phi before clipping")
    lattice: Count = Field(description="cells of the noise's lattice per 64 cells")


class Scaling(Block):
    """Exponents of the free energy, d ln F / d ln t, over windows of time."""

    windows: list[Range] = Field(min_length=1, description="those that the data cover are fitted")
    resamples: int = Field(ge=100, description="bootstrap resamples for their intervals")


class LongRollout(Block):
    """Roll-outs of networks over whole long evolutions."""

    models: list[str] = Field(
        description="shipped networks, or .safetensors files; the first is judged; none: the truth alone"
    )
    rollouts: Count = Field(description="simulations on which the networks run, the first ones")
    slice_steps: Count = Field(description="tau of the roll-out from noise in a slice")

    @field_validator("models")
    @classmethod
    def _distinct(cls, models: list[str]) -> list[str]:
        return distinct(models)


class Members(Block):
    """Roll-outs of networks on an ensemble."""

    models: list[str] = Field(min_length=1, description="shipped networks, or .safetensors files; the first is judged")
    members: int = Field(ge=3, description="simulations on which they run, the first ones")

    @field_validator("models")
    @classmethod
    def _distinct(cls, models: list[str]) -> list[str]:
        return distinct(models)


def distinct(models: list[str]) -> list[str]:
    """The networks, each named once.

    Raises ValueError otherwise.
    """
    if len(set(models)) < len(models):
        raise ValueError("names one twice")
    return models


class CoarseningJob(Job):
    """Simulate the data set `spinodal_coarsening`: boxes that coarsen for as long as it takes."""

    verb = "simulate"
    function = "phasemill.spinodal.datasets.long:coarsening"

    medium: Medium
    coarsening: Coarsening


class EnsembleTruthJob(Job):
    """Simulate the data set `spinodal_ensemble_truth`: many boxes of random mixtures."""

    verb = "simulate"
    function = "phasemill.spinodal.datasets.long:ensemble"

    medium: Medium
    mixtures: Mixtures
    ensemble_truth: Evolutions


class LongJob(Job):
    """Evaluate networks over whole long evolutions."""

    verb = "evaluate"
    function = "phasemill.spinodal.evaluate.long:long"
    drawing = "phasemill.spinodal.figures.long:long"

    medium: Medium
    long: LongRollout
    scaling: Scaling


class EnsembleJob(Job):
    """Evaluate networks on an ensemble."""

    verb = "evaluate"
    function = "phasemill.spinodal.evaluate.ensemble:ensemble"
    drawing = "phasemill.spinodal.figures.ensemble:ensemble"

    medium: Medium
    ensemble: Members
    scaling: Scaling
