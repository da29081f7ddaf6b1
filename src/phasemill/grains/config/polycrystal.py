"""Polycrystals: the data set, and a network that learns to move them without data."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from phasemill.core.blocks import Block, Count, Job, Positive
from phasemill.grains.config.learned import Recurrent


class Polycrystals(Block):
    """Voronoi polycrystals and their frames."""

    cells: int = Field(ge=8, description="per side")
    eta: Positive = Field(description="interface width, in cells")
    mu: Positive
    sigma: Positive
    grains: int = Field(ge=3)
    relax: Positive = Field(description="time from the Voronoi start to the first frame")
    until: Positive
    frames: int = Field(ge=2, description="intervals between frames")
    train: Count = Field(description="polycrystals whose first frames the training begins with")
    test: Count


class Crystals(Block):
    """The training on polycrystals."""

    seeds: Count
    steps: int = Field(ge=0, description="of the training; 0: the networks that come with phasemill")
    settling: Count = Field(description="whole roll-outs on which it is trained at the end")
    length: Count = Field(description="intervals of its own roll-outs, at most")


class PolycrystalTruthJob(Job):
    """Simulate `grain_polycrystal_truth`: polycrystals with triple junctions, by the N-phase solver."""

    verb = "simulate"
    function = "phasemill.grains.datasets.polycrystal:simulate"

    polycrystal: Polycrystals


class PolycrystalStepperJob(Job):
    """Train the recurrent network on polycrystals, from the equation and first frames alone."""

    verb = "train"
    function = "phasemill.grains.train.polycrystal:train"
    benchmark: ClassVar[str] = "grain_polycrystal"
    model: ClassVar[str] = "stepper.safetensors"

    polycrystal: Polycrystals
    recurrent: Recurrent
    crystals: Crystals


class PolycrystalJob(Job):
    """Evaluate that network on polycrystals that it has not seen."""

    verb = "evaluate"
    function = "phasemill.grains.evaluate.polycrystal:polycrystal"
    drawing = "phasemill.grains.figures.polycrystal:polycrystal"

    polycrystal: Polycrystals
    recurrent: Recurrent
    crystals: Crystals
