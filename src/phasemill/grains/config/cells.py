"""Two recurrent cells at equal cost: GRU against LSTM."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from phasemill.core.blocks import Block, Count, Job, Positive
from phasemill.grains.config.data import Case
from phasemill.grains.config.learned import Learn, Marching, Recurrent


class Arm(Block):
    """One network."""

    cell: Literal["gru", "lstm"]
    channels: Count
    steps: Count = Field(description="of its training, chosen so that all arms cost about the same")

    @property
    def name(self) -> str:
        """As its modules are called."""
        return f"{self.cell}_{self.channels}"


class Cells(Block):
    """The networks that are compared, after their training on windows, without whole roll-outs."""

    seeds: Count
    looks: Count = Field(description="roll-outs on the way, points of a curve")
    repeats: Count = Field(description="steps whose cost is measured, the arms in turn")
    reached: Positive = Field(description="mean square error of a roll-out to which CPU seconds are counted")
    arms: list[Arm] = Field(min_length=2)

    @model_validator(mode="after")
    def _differ(self) -> Cells:
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ValueError(f"arms {', '.join(names)} must differ in cell or channels")
        return self


class CellsNetworksJob(Job):
    """Train every arm on the first march of the first benchmark."""

    verb = "train"
    function = "phasemill.grains.train.cells:train"
    benchmark: ClassVar[str] = "grains_cells"
    model: ClassVar[str] = "networks.safetensors"

    shrink_64: Case
    shrink_64_learn: Learn
    marching: Marching
    recurrent: Recurrent
    cells: Cells


class CellsJob(Job):
    """Compare them."""

    verb = "evaluate"
    function = "phasemill.grains.evaluate.cells:cells"
    drawing = "phasemill.grains.figures.cells:cells"

    shrink_64: Case
    recurrent: Recurrent
    cells: Cells
