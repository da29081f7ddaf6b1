"""The grains data sets: one per benchmark, each with a few microstructures."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator

from phasemill.core.blocks import Block, Count, Job, Positive

T = TypeVar("T")
Fraction = Annotated[float, Field(ge=0, le=1)]


class PublishedDisc(Block):
    """The disc of the paper's first benchmark, as its code draws it."""

    kind: Literal["published"]


class Disc(Block):
    """A disc in units of the box."""

    x: Fraction
    y: Fraction
    radius: Positive


class Discs(Block):
    """Discs at given places; where diffuse rims overlap the larger phi counts."""

    kind: Literal["discs"]
    discs: list[Disc] = Field(min_length=1)


class RandomDiscs(Block):
    """Discs that do not touch, drawn with a seed that makes them one benchmark; in units of the box."""

    kind: Literal["random"]
    number: Count
    mean: Positive = Field(description="mean radius")
    variation: float = Field(ge=0, le=1, description="standard deviation over mean")
    gap: float = Field(ge=0, description="least distance between two discs")
    seed: int = Field(ge=0, description="of the drawing")


class Square(Block):
    """A square with its sides along the axes, in units of the box."""

    kind: Literal["square"]
    x: Fraction
    y: Fraction
    side: Positive


class Hole(Block):
    """A disc of phi = 0 in a box of phi = 1, in units of the box."""

    kind: Literal["hole"]
    x: Fraction
    y: Fraction
    radius: Positive


Start = Annotated[PublishedDisc | Discs | RandomDiscs | Square | Hole, Field(discriminator="kind")]


class Case(Block):
    """One benchmark: the constants, the frames, and where it starts."""

    cells: int = Field(ge=8, description="per side; the box is cells dx wide and dx = 1/(cells - 1)")
    eta: Positive = Field(description="interface width, in cells")
    mu: Positive = Field(description="mobility")
    sigma: Positive = Field(description="interface energy")
    dg: float = Field(description="driving force")
    until: Positive = Field(description="time of the last frame")
    frames: int = Field(ge=2, description="intervals between frames")
    starts: dict[str, Start] = Field(min_length=1, description="a microstructure for each simulation")

    @model_validator(mode="after")
    def _published_fits(self) -> Case:
        if any(start.kind == "published" for start in self.starts.values()) and self.eta != 7:
            raise ValueError("the published disc has eta 7; give discs for other widths")
        return self


class TruthJob(Job):
    """Simulate the truth of a benchmark."""

    verb = "simulate"
    function = "phasemill.grains.datasets.cases:simulate"

    @property
    def case(self) -> Case:
        """What is simulated."""
        return only(self, Case)


def only(job: Job, kind: type[T]) -> T:
    """The one block of a kind that a job has, under whatever name."""
    (found,) = (value for value in dict(job).values() if isinstance(value, kind))
    return found
