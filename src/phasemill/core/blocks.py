"""What the configuration is built of: strict blocks, common fields, the jobs that get a part of it, and wings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Block(BaseModel):
    """A part of the configuration; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class Range(Block):
    """An interval of positive numbers."""

    low: Positive
    high: Positive

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        return self


class Job(Block):
    """What one job gets as `--spec`: exactly the part of the configuration on which its result depends.

    `version` is raised by hand when the code behind the job changes its result; Snakemake then remakes it.
    """

    verb: ClassVar[Literal["simulate", "train", "evaluate"]]
    function: ClassVar[str]
    """"module:function" that does the work."""
    drawing: ClassVar[str] = ""
    """The same for the figures of an evaluation, which is a benchmark: a named target, a folder and a page."""

    benchmark: ClassVar[str] = ""
    """The benchmark in whose folder a training leaves its model."""
    model: ClassVar[str] = "model.safetensors"
    """The name of that file."""

    version: Literal[1] = 1
    seed: int


@dataclass(frozen=True)
class Wing:
    """What makes a folder of the package a wing: its module `config` calls one of these `WING`."""

    block: type[Block]
    """Its part of the configuration."""
    jobs: Mapping[str, type[Job]]
    """By their names; the blocks that a job gets have the same names in the job and in `block`."""
    place: float = math.inf
    """Where it stands among the wings; those without a place come last, by their names."""
