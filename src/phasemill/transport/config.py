"""The transport wing's part of the configuration, and its jobs."""

from __future__ import annotations

from pydantic import Field, model_validator

from phasemill.core.blocks import Block, Count, Job, Positive, Range


class Grains(Block):
    """Number of Voronoi grains, drawn uniformly (both ends included)."""

    low: int = Field(ge=2)
    high: int = Field(ge=2)

    @model_validator(mode="after")
    def _ordered(self) -> Grains:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class VoronoiHeat(Block):
    """The data set: heat equation from rough periodic Voronoi tessellations."""

    size: int = Field(ge=8, description="cells per side of the periodic square")
    dx: Positive = Field(description="grid spacing")
    dt: Positive = Field(description="time step of the explicit Euler solver")
    steps: Count = Field(description="time steps of each simulation")
    save_every: Count = Field(description="time steps between stored frames")
    simulations: int = Field(ge=3, description="base simulations; each serves both directions of time")
    validation: Count = Field(description="base simulations for model selection and early stopping")
    test: Count = Field(description="held-out base simulations")
    kappa: Range = Field(description="coefficient kappa, drawn uniformly")
    grains: Grains
    interface_width: Positive = Field(description="width w of the initial interfaces")
    roughness: float = Field(ge=0, description="amplitude of the boundary roughness, in units of w")
    correlation_length: Positive = Field(description="correlation length of the roughness")

    @model_validator(mode="after")
    def _consistent(self) -> VoronoiHeat:
        if self.steps % self.save_every:
            raise ValueError(f"steps {self.steps} is not a multiple of save_every {self.save_every}")
        if self.steps // self.save_every < 2:
            raise ValueError("fewer than 3 frames per simulation; raise steps or lower save_every")
        if self.validation + self.test >= self.simulations:
            raise ValueError(
                f"validation {self.validation} + test {self.test} leave none of {self.simulations} simulations to train"
            )
        return self


class Estimator(Block):
    """Autoencoder and attention estimator of the coefficient (SAFE-PIT-CM, section 2.3)."""

    channels: Count = Field(description="channels of encoder and decoder")
    features: Count = Field(description="length d of the feature vector per frame")

    @model_validator(mode="after")
    def _divisible(self) -> Estimator:
        if self.features % 4:
            raise ValueError(f"features {self.features} is not divisible by the 4 attention heads")
        return self


class LossWeights(Block):
    """Weights of eq. 8."""

    safe: float = Field(ge=0)
    reconstruction: float = Field(ge=0)
    identity: float = Field(ge=0)
    bounds: float = Field(ge=0)


class EstimatorTraining(Block):
    """Two-phase training of the estimator (section 2.6)."""

    epochs: Count
    phase_one: float = Field(ge=0, le=1, description="share of the epochs with frozen encoder and decoder")
    batch: Count = Field(description="videos per step")
    frames: int = Field(ge=3, description="frames of a video that are used, evenly spaced")
    learning_rate_estimator: Positive
    learning_rate_autoencoder: Positive
    plateau_factor: float = Field(gt=0, lt=1)
    plateau_patience: Count = Field(description="validations without gain before the learning rate drops")
    patience: Count = Field(description="validations without gain before training stops")
    kappa: Range = Field(description="bounds of eq. 12")
    weights: LossWeights


class ZeroShot(Block):
    """Recovery from one video without training data."""

    steps: Count = Field(description="Adam steps of the fresh network")
    learning_rate: Positive
    kappa: Range = Field(description="bracket of the direct minimisation")
    field_frames: int = Field(ge=2, description="frames per simulation kept in fields.zarr, evenly spaced")

    @property
    def bounds(self) -> tuple[float, float]:
        """The bracket as a pair."""
        return self.kappa.low, self.kappa.high


class Ablation(Block):
    """What is varied in the ablations of the operator."""

    substeps: list[Count] = Field(min_length=2, description="K, sub-steps per frame interval")
    strides: list[Count] = Field(min_length=2, description="s, of which every s-th frame is used")
    population: Count = Field(description="new simulations behind the bands")
    resamples: Count = Field(description="sets of as many simulations as are held out, drawn from the population")

    @model_validator(mode="after")
    def _claims_are_covered(self) -> Ablation:
        if missing := {1, 2, 5, 10, 25, 50} - set(self.substeps):
            raise ValueError(f"substeps lacks {sorted(missing)} of the paper's Table 3")
        return self


class Trained(Block):
    """Recovery with the trained estimator."""

    test_time_steps: int = Field(ge=0, description="steps of test-time training per held-out video")
    field_frames: int = Field(ge=2, description="frames per simulation kept in fields.zarr, evenly spaced")


class Transport(Block):
    """The transport wing: Voronoi heat, time-reversed mobility, recovery of kappa."""

    data: VoronoiHeat
    estimator: Estimator
    training: EstimatorTraining
    zero_shot: ZeroShot
    ablation: Ablation
    trained: Trained

    @model_validator(mode="after")
    def _frames_fit(self) -> Transport:
        stored = self.data.steps // self.data.save_every + 1
        for name, wanted in (
            ("training.frames", self.training.frames),
            ("zero_shot.field_frames", self.zero_shot.field_frames),
            ("trained.field_frames", self.trained.field_frames),
        ):
            if wanted > stored:
                raise ValueError(f"{name} {wanted} exceeds the {stored} stored frames of a simulation")
        if (stored - 1) % (self.training.frames - 1):
            raise ValueError(f"training.frames {self.training.frames} cannot be evenly spaced over {stored} frames")
        return self

    @model_validator(mode="after")
    def _recovery_fits(self) -> Transport:
        drawn, searched = self.data.kappa, self.zero_shot.kappa
        tuned, fresh = self.trained.test_time_steps, self.zero_shot.steps
        if tuned > fresh:
            raise ValueError(
                f"trained.test_time_steps {tuned} exceeds zero_shot.steps {fresh}, the run it is compared with"
            )
        if not (searched.low < drawn.low and drawn.high < searched.high):
            bounds = f"{searched.low:g} to {searched.high:g}"
            raise ValueError(f"zero_shot.kappa {bounds} must enclose data.kappa {drawn.low:g} to {drawn.high:g}")
        return self


class VoronoiHeatJob(Job):
    """Simulate the data set `voronoi_heat`."""

    verb = "simulate"
    function = "phasemill.transport.dataset:simulate"

    data: VoronoiHeat


class EstimatorJob(Job):
    """Train the estimator."""

    verb = "train"
    function = "phasemill.transport.train:train"
    benchmark = "transport_trained"

    estimator: Estimator
    training: EstimatorTraining


class ZeroShotJob(Job):
    """Evaluate recovery without training data."""

    verb = "evaluate"
    function = "phasemill.transport.evaluate.zero_shot:zero_shot"
    drawing = "phasemill.transport.figures.zero_shot:zero_shot"

    estimator: Estimator
    zero_shot: ZeroShot


class StrideJob(Job):
    """Evaluate recovery when frames are left out."""

    verb = "evaluate"
    function = "phasemill.transport.evaluate.ablation:stride"
    drawing = "phasemill.transport.figures.ablation:stride"

    zero_shot: ZeroShot
    ablation: Ablation


class SubstepsJob(StrideJob):
    """Evaluate recovery against the sub-steps of the operator."""

    function = "phasemill.transport.evaluate.ablation:substeps"
    drawing = "phasemill.transport.figures.ablation:substeps"

    data: VoronoiHeat


class TrainedJob(Job):
    """Evaluate the trained estimator, before and after test-time training."""

    verb = "evaluate"
    function = "phasemill.transport.evaluate.trained:trained"
    drawing = "phasemill.transport.figures.trained:trained"

    estimator: Estimator
    training: EstimatorTraining
    trained: Trained


JOBS: dict[str, type[Job]] = {
    "voronoi_heat": VoronoiHeatJob,
    "transport_estimator": EstimatorJob,
    "transport_zero_shot": ZeroShotJob,
    "transport_substeps": SubstepsJob,
    "transport_stride": StrideJob,
    "transport_trained": TrainedJob,
}
