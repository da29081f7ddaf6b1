"""The data sets of the pinns wing: reference solutions on the grids on which errors are measured."""

from __future__ import annotations

from pydantic import Field, model_validator

from phasemill.core.blocks import Block, Job, Positive


class BurgersData(Block):
    """u_t + u u_x = viscosity u_xx for t in [0, 1], x in [-1, 1]."""

    viscosity: Positive
    points: int = Field(ge=8, description="along x, both ends included")
    frames: int = Field(ge=2, description="intervals between frames, to t = 1")


class PoissonData(Block):
    """The Laplace operator of u = cos(omega x) sin(omega y) on the unit square."""

    omega: Positive
    points: int = Field(ge=9, description="per side, both ends included")


class AllenCahnData(Block):
    """u_t = diffusion u_xx + reaction (u - u^3) for t in [0, 1], periodic in x."""

    diffusion: Positive
    reaction: Positive
    points: int = Field(ge=8, multiple_of=2, description="along x, as stored; the usual reference is solved on them")
    fine: int = Field(ge=8, multiple_of=2, description="points on which the truth is solved")
    frames: int = Field(ge=2, description="intervals between frames, to t = 1")
    steps: int = Field(ge=2, multiple_of=2, description="time steps in each")

    @model_validator(mode="after")
    def _nested(self) -> AllenCahnData:
        if self.fine % self.points:
            raise ValueError(f"fine {self.fine} must be a multiple of points {self.points}, on which it is stored")
        return self


class BurgersTruthJob(Job):
    """Make `burgers_truth`: Burgers' equation by Cole-Hopf."""

    verb = "simulate"
    function = "phasemill.pinns.dataset:burgers"

    burgers_data: BurgersData


class PoissonTruthJob(Job):
    """Make `poisson_truth`: a solution of the Poisson equation."""

    verb = "simulate"
    function = "phasemill.pinns.dataset:poisson"

    poisson_data: PoissonData


class AllenCahnTruthJob(Job):
    """Make `allen_cahn_truth`: the Allen-Cahn equation by a Fourier method, as is usual and converged."""

    verb = "simulate"
    function = "phasemill.pinns.dataset:allen_cahn"

    allen_cahn_data: AllenCahnData
