"""Grains that a network of the first benchmark has never seen."""

from __future__ import annotations

from pydantic import Field, model_validator

from phasemill.core.blocks import Block, Job
from phasemill.grains.config.data import Case
from phasemill.grains.config.learned import Learn, Recurrent


class Unseen(Block):
    """Setups of other grains, grids and intervals, all of one number of intervals; starts have names of their own."""

    expected_to_fail: list[str] = Field(description="starts on which the network should not be trusted")
    setups: dict[str, Case] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Unseen:
        names = [start for case in self.setups.values() for start in case.starts]
        if len(set(names)) < len(names):
            raise ValueError(f"two setups have a start of one name: {', '.join(sorted(names))}")
        if strange := sorted(set(self.expected_to_fail) - set(names)):
            raise ValueError(f"expected_to_fail names {strange[0]}, which is no start; starts are {', '.join(names)}")
        if len({case.frames for case in self.setups.values()}) > 1:
            raise ValueError("all setups must have the same number of frames, since they are stored together")
        return self

    @property
    def frames(self) -> int:
        """Intervals of all of them."""
        return next(iter(self.setups.values())).frames

    @property
    def starts(self) -> dict[str, Case]:
        """Name of each start -> its setup."""
        return {start: case for case in self.setups.values() for start in case.starts}


class UnseenTruthJob(Job):
    """Simulate `grains_unseen_truth`: what the network is asked to follow."""

    verb = "simulate"
    function = "phasemill.grains.datasets.unseen:simulate"

    unseen: Unseen


class UnseenJob(Job):
    """Evaluate the first benchmark's recurrent network on grains that it has not seen, without training."""

    verb = "evaluate"
    function = "phasemill.grains.evaluate.unseen:unseen"
    drawing = "phasemill.grains.figures.unseen:unseen"

    shrink_64: Case
    shrink_64_learn: Learn
    recurrent: Recurrent
    unseen: Unseen
