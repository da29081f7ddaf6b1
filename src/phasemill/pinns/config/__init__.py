"""The pinns wing's part of the configuration, and its jobs."""

from __future__ import annotations

from pydantic import model_validator

from phasemill.core.blocks import Block, Job, Wing
from phasemill.pinns.config.compared import AllenCahnJob, BurgersJob, Compared, PoissonJob
from phasemill.pinns.config.data import (
    AllenCahnData,
    AllenCahnTruthJob,
    BurgersData,
    BurgersTruthJob,
    PoissonData,
    PoissonTruthJob,
)
from phasemill.pinns.config.inverse import Inverse, InverseJob, InverseNetworksJob
from phasemill.pinns.config.recipes import AllenCahnRecipesJob, BurgersRecipesJob, PoissonRecipesJob, Recipes
from phasemill.pinns.config.runs import AllenCahnRunsJob, BurgersRunsJob, PoissonRunsJob, Runs


class Pinns(Block):
    """The pinns wing: weights of loss terms on Burgers, Poisson and Allen-Cahn."""

    burgers_data: BurgersData
    poisson_data: PoissonData
    allen_cahn_data: AllenCahnData
    burgers: Runs
    poisson: Runs
    allen_cahn: Runs
    compared: Compared
    inverse: Inverse
    recipes: Recipes

    @model_validator(mode="after")
    def _compared_with_none(self) -> Pinns:
        for name in ("burgers", "poisson", "allen_cahn"):
            rows = [row.name for row in getattr(self, name).rows]
            if "fixed" not in rows:
                raise ValueError(f"{name}.rows: add the row of scheme fixed, with which all others are compared")
            if not set(self.compared.shown) & set(rows):
                raise ValueError(f"compared.shown holds none of the rows of {name}: {', '.join(rows)}")
        return self


JOBS: dict[str, type[Job]] = {
    "burgers_truth": BurgersTruthJob,
    "poisson_truth": PoissonTruthJob,
    "allen_cahn_truth": AllenCahnTruthJob,
    "burgers_runs": BurgersRunsJob,
    "poisson_runs": PoissonRunsJob,
    "allen_cahn_runs": AllenCahnRunsJob,
    "burgers_recipes": BurgersRecipesJob,
    "poisson_recipes": PoissonRecipesJob,
    "allen_cahn_recipes": AllenCahnRecipesJob,
    "pinn_inverse_networks": InverseNetworksJob,
    "burgers": BurgersJob,
    "poisson": PoissonJob,
    "allen_cahn": AllenCahnJob,
    "pinn_inverse": InverseJob,
}

WING = Wing(Pinns, JOBS, place=3)
