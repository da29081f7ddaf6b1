"""Corrupted videos."""

from __future__ import annotations

from pydantic import Field

from phasemill.core.blocks import Block, Count, Job, Positive
from phasemill.transport.config.single import Search


class Robustness(Block):
    """What is done to the held-out videos before kappa is recovered from them."""

    noise: list[Positive] = Field(min_length=1, description="standard deviation, as a share of the field's range")
    draws: Count = Field(description="draws of the noise per video")
    gammas: list[Positive] = Field(min_length=1, description="exponents of the intensity map")
    window: float = Field(gt=0, lt=1, description="side of the cropped window, as a share of the field's side")
    margins: list[int] = Field(min_length=1, description="cells along the sides of the window that are not compared")
    field_frames: int = Field(ge=2, description="frames per simulation kept in fields.zarr, evenly spaced")

    def check(self, size: int) -> None:
        """Raise ValueError for a margin that leaves nothing of the window of a field of `size` cells per side."""
        cells = round(self.window * size)
        if not all(0 <= 2 * margin < cells for margin in self.margins):
            raise ValueError(f"robustness.margins {self.margins} must leave a cell of a window of {cells} cells")


class RobustnessJob(Job):
    """Evaluate recovery from noisy, rounded, remapped, walled and cropped videos."""

    verb = "evaluate"
    function = "phasemill.transport.evaluate.robustness:robustness"
    drawing = "phasemill.transport.figures.robustness:robustness"

    search: Search
    robustness: Robustness
