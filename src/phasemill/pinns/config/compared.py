"""Evaluation of the paper's protocol."""

from __future__ import annotations

from pydantic import Field

from phasemill.core.blocks import Block, Count, Job, Positive
from phasemill.pinns.config.data import AllenCahnData, BurgersData, PoissonData
from phasemill.pinns.config.recipes import Recipes
from phasemill.pinns.config.runs import Runs


class Compared(Block):
    """What is measured of all trainings."""

    reached: Positive = Field(description="relative error to which epochs are counted")
    stuck: Positive = Field(description="relative error above which a training has failed")
    bins: Count = Field(description="of the histograms of gradients")
    timed: Count = Field(description="turns of tau epochs whose cost is measured, the rows in turn")
    shown: list[str] = Field(min_length=2, description="rows with fields and histograms, where they are trained")


class _ComparedJob(Job):
    verb = "evaluate"
    function = "phasemill.pinns.evaluate.runs:evaluate"
    drawing = "phasemill.pinns.figures.runs:draw"

    compared: Compared
    recipes: Recipes


class BurgersJob(_ComparedJob):
    """Compare the rows on Burgers."""

    burgers: Runs
    burgers_data: BurgersData


class PoissonJob(_ComparedJob):
    """Compare the rows on Poisson."""

    poisson: Runs
    poisson_data: PoissonData


class AllenCahnJob(_ComparedJob):
    """Compare the rows on Allen-Cahn."""

    allen_cahn: Runs
    allen_cahn_data: AllenCahnData
