"""Recipes beyond the paper: what a second-order method, and conditions that are built in, make of the same networks."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from phasemill.core.blocks import Block, Count, Job
from phasemill.pinns.config.data import AllenCahnData, BurgersData, PoissonData

Optimiser = Literal["l_bfgs", "bfgs", "ss_bfgs", "ss_broyden"]


class Settled(Block):
    """Adam with dynamic weights, then a quasi-Newton method with the weights at rest."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    case: Literal["poisson", "poisson_fourier", "burgers"]
    hard: bool = Field(default=False, description="conditions built in")
    points: Count = Field(description="where the equation is asked for")
    adam: Count
    optimiser: Optimiser = "ss_broyden"
    iterations: int = Field(ge=0)
    resample: Literal["never", "uniform", "residual"] = "never"
    segment: Count = Field(default=500, description="iterations between new points, or restarts of L-BFGS")

    @property
    def judged(self) -> bool:
        """Whether it may win a claim: not with features that hold the solution's own waves."""
        return self.case != "poisson_fourier"


class Marched(Block):
    """Windows in time, the start of each built in."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    windows: Count
    base: Literal["heat", "split"]
    modes: Count
    hidden: list[Count] = Field(min_length=1)
    points: Count
    optimiser: Optimiser = "ss_broyden"
    iterations: Count = Field(description="per window")

    @property
    def judged(self) -> bool:
        """Whether it may win a claim: not on a formula that is below the paper's error without a network."""
        return self.base != "split"


class Recipes(Block):
    """All recipes of the wing."""

    seeds: Count
    every: Count = Field(description="steps between two points of a curve")
    burgers: list[Settled] = Field(min_length=1)
    poisson: list[Settled] = Field(min_length=1)
    allen_cahn: list[Marched] = Field(min_length=1)

    @model_validator(mode="after")
    def _named(self) -> Recipes:
        for problem in ("burgers", "poisson", "allen_cahn"):
            names = [one.name for one in getattr(self, problem)]
            if len(set(names)) < len(names):
                raise ValueError(f"recipes.{problem}: names {', '.join(names)} must differ")
        for problem in ("burgers", "poisson"):
            for one in getattr(self, problem):
                if not one.case.startswith(problem):
                    raise ValueError(f"recipes.{problem}: {one.name} is of {one.case}")
        return self


class _RecipesJob(Job):
    verb = "train"
    function = "phasemill.pinns.train.recipes:train"
    model: ClassVar[str] = "recipes.safetensors"

    recipes: Recipes


class BurgersRecipesJob(_RecipesJob):
    """Follow all recipes of Burgers."""

    benchmark: ClassVar[str] = "burgers"

    burgers_data: BurgersData


class PoissonRecipesJob(_RecipesJob):
    """Follow all recipes of Poisson."""

    benchmark: ClassVar[str] = "poisson"

    poisson_data: PoissonData


class AllenCahnRecipesJob(_RecipesJob):
    """Follow all recipes of Allen-Cahn."""

    benchmark: ClassVar[str] = "allen_cahn"

    allen_cahn_data: AllenCahnData
