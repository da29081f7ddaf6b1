"""Inverse problems: coefficients of an equation from sparse noisy values of its solution."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from phasemill.core.blocks import Block, Count, Job, Positive
from phasemill.pinns.config.data import AllenCahnData, BurgersData


class Unknown(Block):
    """One inverse problem; the first guesses know nothing of the answer."""

    samples: Count = Field(description="values of the solution, at points drawn uniformly")
    points: Count = Field(description="where the equation is asked for")
    depth: int = Field(ge=2, description="layers of weights, the last one included")
    width: Count
    guess: dict[str, Positive] = Field(min_length=1, description="first guess of each coefficient")


class Inverse(Block):
    """How coefficients are found, and how sure they are."""

    noise: Positive = Field(description="standard deviation of the noise over that of the solution")
    beta: float = Field(ge=0, lt=1, description="share of the old weight in the new one")
    adam: Count = Field(description="steps with dynamic weights")
    learning_rate: Positive
    iterations: Count = Field(description="of the quasi-Newton method afterwards, the weights at rest")
    seeds: Count = Field(description="draws of points, noise and network")
    burgers: Unknown
    allen_cahn: Unknown


class InverseNetworksJob(Job):
    """Find the coefficients of both equations."""

    verb = "train"
    function = "phasemill.pinns.train.inverse:train"
    benchmark: ClassVar[str] = "pinn_inverse"
    model: ClassVar[str] = "networks.safetensors"

    burgers_data: BurgersData
    allen_cahn_data: AllenCahnData
    inverse: Inverse


class InverseJob(Job):
    """Compare them with the truth, with least squares by the exact solver, and with the bound for any estimator."""

    verb = "evaluate"
    function = "phasemill.pinns.evaluate.inverse:inverse"
    drawing = "phasemill.pinns.figures.inverse:inverse"

    burgers_data: BurgersData
    allen_cahn_data: AllenCahnData
    inverse: Inverse
