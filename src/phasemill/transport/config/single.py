"""Recovery from single videos: zero-shot, what it is compared with, the degenerate encoder, and the ablations."""

from __future__ import annotations

from pydantic import Field, model_validator

from phasemill.core.blocks import Block, Count, Job, Positive, Range
from phasemill.transport.config.learned import Estimator
from phasemill.transport.config.videos import VoronoiHeat

ARMS = ("frozen", "free", "reconstruction", "identity", "large_safe", "two_phase")


class Search(Block):
    """Direct minimisation over kappa of one video, and what is kept of the fields."""

    kappa: Range = Field(description="bracket of the search")
    field_frames: int = Field(ge=2, description="frames per simulation kept in fields.zarr, evenly spaced")

    @property
    def bounds(self) -> tuple[float, float]:
        """The bracket as a pair."""
        return self.kappa.low, self.kappa.high


class ZeroShot(Block):
    """Recovery from one video by a fresh network."""

    steps: Count = Field(description="Adam steps of the fresh network")
    frames: int = Field(ge=3, description="frames that the network sees, evenly spaced; its loss sees all")
    learning_rate: Positive


class Baselines(Block):
    """Other ways to find kappa of one video, for comparison."""

    grid: int = Field(ge=2, description="points of the grid search")
    compared: Count = Field(description="held-out videos for the slow ways, of different base simulations")
    pinn_adam: Count = Field(description="Adam steps of the inverse PINN")
    pinn_lbfgs: Count = Field(description="L-BFGS iterations after them")
    next_frame_steps: Count = Field(description="Adam steps of the next-frame network")

    def check(self, test: int) -> None:
        """Raise ValueError for more compared videos than held-out simulations."""
        if self.compared > test:
            raise ValueError(f"baselines.compared {self.compared} exceeds the {test} of data.test")


class Arm(Block):
    """Weights of the loss terms (eq. 8), and for how long the encoder stays frozen."""

    safe: float = Field(gt=0)
    reconstruction: float = Field(ge=0)
    identity: float = Field(ge=0)
    phase_one: float = Field(ge=0, le=1, description="share of the steps with the SAFE loss alone, encoder frozen")


class Degeneracy(Block):
    """A free kappa trained together with encoder and decoder on a few pairs of frames (section 2.6)."""

    simulations: Count = Field(description="held-out simulations, spread over the range of kappa")
    pairs: Count = Field(description="pairs of frames from the start of each")
    steps: Count = Field(description="Adam steps")
    channels: Count = Field(description="channels of encoder and decoder")
    start: Positive = Field(description="the first kappa")
    learning_rate_kappa: Positive = Field(description="of log kappa")
    learning_rate_autoencoder: Positive
    arms: dict[str, Arm]

    @model_validator(mode="after")
    def _claims_are_covered(self) -> Degeneracy:
        if tuple(self.arms) != ARMS:
            raise ValueError(f"arms are {', '.join(self.arms)}; they must be {', '.join(ARMS)}, in this order")
        return self

    def check(self, stored: int, test: int) -> None:
        """Raise ValueError where the data set has too few stored frames or held-out simulations."""
        if self.pairs >= stored:
            raise ValueError(f"degeneracy.pairs {self.pairs} needs more than the {stored} stored frames")
        if self.simulations > test:
            raise ValueError(f"degeneracy.simulations {self.simulations} exceeds the {test} of data.test")


class Substeps(Block):
    """How many sub-steps per frame interval are tried."""

    counts: list[Count] = Field(min_length=2, description="K, sub-steps per frame interval")
    population: Count = Field(description="new simulations behind the bands")
    resamples: Count = Field(description="sets of as many simulations as are held out, drawn from the population")

    @model_validator(mode="after")
    def _claims_are_covered(self) -> Substeps:
        if missing := {1, 2, 5, 10, 25, 50} - set(self.counts):
            raise ValueError(f"counts lacks {sorted(missing)} of the paper's Table 3")
        return self


class Stride(Block):
    """How many frames are left out."""

    strides: list[Count] = Field(min_length=2, description="s, of which every s-th frame is used")


class ZeroShotJob(Job):
    """Evaluate recovery without training data."""

    verb = "evaluate"
    function = "phasemill.transport.evaluate.zero_shot:zero_shot"
    drawing = "phasemill.transport.figures.zero_shot:zero_shot"

    estimator: Estimator
    search: Search
    zero_shot: ZeroShot
    baselines: Baselines


class DegeneracyJob(Job):
    """Evaluate what an encoder without phases does to the recovery of kappa."""

    verb = "evaluate"
    function = "phasemill.transport.evaluate.degeneracy:degeneracy"
    drawing = "phasemill.transport.figures.degeneracy:degeneracy"

    degeneracy: Degeneracy


class SubstepsJob(Job):
    """Evaluate recovery against the sub-steps of the operator."""

    verb = "evaluate"
    function = "phasemill.transport.evaluate.ablation:substeps"
    drawing = "phasemill.transport.figures.ablation:substeps"

    data: VoronoiHeat
    search: Search
    substeps: Substeps


class StrideJob(Job):
    """Evaluate recovery when frames are left out."""

    verb = "evaluate"
    function = "phasemill.transport.evaluate.ablation:stride"
    drawing = "phasemill.transport.figures.ablation:stride"

    search: Search
    stride: Stride
