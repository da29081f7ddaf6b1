"""The transport wing's part of the configuration, and its jobs."""

from __future__ import annotations

from pydantic import model_validator

from phasemill.core.blocks import Block, Job, Wing
from phasemill.transport.config.learned import (
    Estimator,
    EstimatorJob,
    EstimatorTraining,
    Tokens,
    TokensJob,
    Trained,
    TrainedJob,
)
from phasemill.transport.config.maps import MapJob, Mapping, VaryingHeat, VaryingHeatJob
from phasemill.transport.config.physics import OtherPhysics, OtherPhysicsJob, Physics, PhysicsJob
from phasemill.transport.config.robustness import Robustness, RobustnessJob
from phasemill.transport.config.single import (
    Baselines,
    Degeneracy,
    DegeneracyJob,
    Search,
    Stride,
    StrideJob,
    Substeps,
    SubstepsJob,
    ZeroShot,
    ZeroShotJob,
)
from phasemill.transport.config.videos import VoronoiHeat, VoronoiHeatJob


class Transport(Block):
    """The transport wing: Voronoi heat, time-reversed mobility, recovery of kappa."""

    data: VoronoiHeat
    estimator: Estimator
    training: EstimatorTraining
    search: Search
    zero_shot: ZeroShot
    baselines: Baselines
    degeneracy: Degeneracy
    substeps: Substeps
    stride: Stride
    tokens: Tokens
    trained: Trained
    robustness: Robustness
    physics_data: OtherPhysics
    physics: Physics
    varying: VaryingHeat
    mapping: Mapping

    @model_validator(mode="after")
    def _frames_fit(self) -> Transport:
        stored = self.data.steps // self.data.save_every + 1
        for name, wanted in (
            ("training.frames", self.training.frames),
            ("search.field_frames", self.search.field_frames),
            ("trained.field_frames", self.trained.field_frames),
            ("robustness.field_frames", self.robustness.field_frames),
        ):
            if wanted > stored:
                raise ValueError(f"{name} {wanted} exceeds the {stored} stored frames of a simulation")
        for name, used in (
            ("training", self.training.frames),
            ("zero_shot", self.zero_shot.frames),
            ("tokens.spectral", self.tokens.spectral.frames),
            ("tokens.pooled", self.tokens.pooled.frames),
        ):
            if (stored - 1) % (used - 1):
                raise ValueError(f"{name}.frames {used} cannot be evenly spaced over {stored} frames")
        return self

    @model_validator(mode="after")
    def _physics_fits(self) -> Transport:
        frames, stride = self.physics_data.frames, self.physics.stride
        if (frames - 1) // stride < 2:
            raise ValueError(f"physics.stride {stride} leaves fewer than 3 of the {frames} frames of physics_data")
        if self.physics.field_frames > frames:
            raise ValueError(f"physics.field_frames {self.physics.field_frames} exceeds the {frames} stored frames")
        return self

    @model_validator(mode="after")
    def _recovery_fits(self) -> Transport:
        self.robustness.check(self.data.size)
        self.baselines.check(self.data.test)
        self.degeneracy.check(self.data.steps // self.data.save_every + 1, self.data.test)
        drawn, searched = self.data.kappa, self.search.kappa
        tuned, fresh = self.trained.test_time_steps, self.zero_shot.steps
        if tuned > fresh:
            raise ValueError(
                f"trained.test_time_steps {tuned} exceeds zero_shot.steps {fresh}, the run it is compared with"
            )
        if not (searched.low < drawn.low and drawn.high < searched.high):
            bounds = f"{searched.low:g} to {searched.high:g}"
            raise ValueError(f"search.kappa {bounds} must enclose data.kappa {drawn.low:g} to {drawn.high:g}")
        return self


JOBS: dict[str, type[Job]] = {
    "voronoi_heat": VoronoiHeatJob,
    "transport_estimator": EstimatorJob,
    "transport_tokens": TokensJob,
    "transport_zero_shot": ZeroShotJob,
    "transport_substeps": SubstepsJob,
    "transport_stride": StrideJob,
    "transport_degeneracy": DegeneracyJob,
    "transport_trained": TrainedJob,
    "transport_robustness": RobustnessJob,
    "other_physics": OtherPhysicsJob,
    "transport_physics": PhysicsJob,
    "varying_heat": VaryingHeatJob,
    "transport_map": MapJob,
}

WING = Wing(Transport, JOBS, place=4)
