"""Transfer of the recurrent network: to late stages, and to another law of mobility."""

from __future__ import annotations

from pydantic import Field, model_validator

from phasemill.core.blocks import Block, Count, Job, Positive, Range
from phasemill.spinodal.config.data import Medium, Mixtures
from phasemill.spinodal.config.learned import Curriculum, Network

STAGES = ("early", "late", "surface")
"""Sequences from noise; late windows of such evolutions; evolutions under the degenerate mobility."""
TARGETS = STAGES[1:]
"""The stages that are learned after the first."""


class Stages(Block):
    """Sequences of three stages, equally many of each."""

    size: int = Field(ge=8, description="cells per side of the periodic cube")
    frames: int = Field(ge=2)
    tolerance: Positive = Field(description="local error of the solver (RKL2)")
    train: Count = Field(description="simulations per stage")
    validation: Count
    test: Count
    late_times: Range = Field(description="time of the first frame of a late window, log-uniform")
    surface_times: Range = Field(description="the same under the degenerate mobility")

    @property
    def simulations(self) -> int:
        """Of one stage."""
        return self.train + self.validation + self.test


class StagesJob(Job):
    """Simulate the data set `cahn_hilliard_stages`."""

    verb = "simulate"
    function = "phasemill.spinodal.datasets.stages:simulate"

    medium: Medium
    mixtures: Mixtures
    stages: Stages


class Transfer(Block):
    """Trainings from scratch and from the network of the first stage: as many steps, sequences and learning rates."""

    seeds: Count = Field(description="trainings of each kind")
    sequences: list[Count] = Field(min_length=1, description="numbers of training sequences, rising")
    first: Curriculum = Field(description="training of the first stage")
    further: Curriculum = Field(description="training of a further stage, whatever it starts from")
    rates: list[Positive] = Field(
        min_length=1, description="multiples of further.learning_rate, all tried; the least validation error decides"
    )
    shipped: str = Field(description="shipped network or model file that is scored as it is, without training")
    steps: Count = Field(description="length of the late roll-out, in tau")
    every: Count = Field(description="tau between its frames that are scored")
    boxes: Count = Field(description="boxes of the late roll-out")

    @model_validator(mode="after")
    def _in_order(self) -> Transfer:
        if sorted(set(self.sequences)) != self.sequences:
            raise ValueError(f"sequences {self.sequences} must rise")
        if len(set(self.rates)) < len(self.rates):
            raise ValueError(f"rates {self.rates} must differ")
        if self.steps % self.every:
            raise ValueError(f"steps {self.steps} is not a multiple of every {self.every}")
        return self

    @property
    def candidates(self) -> list[Curriculum]:
        """The settings at which each further stage is trained, from scratch and by transfer alike."""
        rate = self.further.learning_rate
        return [self.further.model_copy(update={"learning_rate": rate * multiple}) for multiple in self.rates]

    def check(self, stages: Stages) -> None:
        """Raises ValueError where the data hold fewer sequences or shorter ones than are wanted."""
        if self.sequences[-1] > stages.train:
            raise ValueError(f"transfer.sequences go to {self.sequences[-1]}; stages.train has {stages.train}")
        for name, training in (("first", self.first), ("further", self.further)):
            if training.window >= stages.frames:
                raise ValueError(
                    f"transfer.{name}.stages need {training.window} intervals; stages.frames {stages.frames} has "
                    f"{stages.frames - 1}"
                )


class TransferStagesJob(Job):
    """Train the first stage, and the others from it and from scratch at all rates, on `cahn_hilliard_stages`."""

    verb = "train"
    function = "phasemill.spinodal.train.transfer:train"
    benchmark = "spinodal_transfer"
    model = "stages.safetensors"

    medium: Medium
    network: Network
    transfer: Transfer


class TransferJob(Job):
    """Evaluate transfer beside training from scratch, and what is forgotten."""

    verb = "evaluate"
    function = "phasemill.spinodal.evaluate.transfer:transfer"
    drawing = "phasemill.spinodal.figures.transfer:transfer"

    medium: Medium
    mixtures: Mixtures
    network: Network
    stages: Stages
    transfer: Transfer
