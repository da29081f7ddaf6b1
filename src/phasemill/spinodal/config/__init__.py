"""The spinodal wing's part of the configuration, and its jobs."""

from __future__ import annotations

from pydantic import model_validator

from phasemill.core.blocks import Block, Job, Wing
from phasemill.spinodal.config.data import CahnHilliardJob, HeldOutJob, Medium, Mixtures, Sequences, Training
from phasemill.spinodal.config.learned import Curriculum, Network, RecurrentJob
from phasemill.spinodal.config.long import (
    Coarsening,
    CoarseningJob,
    EnsembleJob,
    EnsembleTruthJob,
    Evolutions,
    LongJob,
    LongRollout,
    Members,
    Scaling,
)
from phasemill.spinodal.config.rollout import (
    Large,
    LargeJob,
    Long,
    Rollout,
    RolloutJob,
    ShapesDataJob,
    ShapesJob,
    Size,
    SizeJob,
)
from phasemill.spinodal.config.speed import Speed, SpeedJob
from phasemill.spinodal.config.stride import StrideJob, StrideNetworkSettings, Strides, StridesJob, StrideTraining
from phasemill.spinodal.config.transfer import Stages, StagesJob, Transfer, TransferJob, TransferStagesJob
from phasemill.spinodal.config.variants import (
    Ablation,
    AblationJob,
    Fno,
    FnoJob,
    Unet,
    UnetJob,
    Variants,
    VariantsJob,
)


class Spinodal(Block):
    """The spinodal wing: 3-D Cahn-Hilliard and the conservative recurrent network."""

    medium: Medium
    mixtures: Mixtures
    data: Training
    held_out: Sequences
    network: Network
    training: Curriculum
    rollout: Rollout
    large: Large
    size: Size
    shapes: Long
    coarsening: Coarsening
    ensemble_truth: Evolutions
    scaling: Scaling
    long: LongRollout
    ensemble: Members
    strides: Strides
    stride_network: StrideNetworkSettings
    stride_training: StrideTraining
    speed: Speed
    fno: Fno
    unet: Unet
    variants: Variants
    ablation: Ablation
    stages: Stages
    transfer: Transfer

    @model_validator(mode="after")
    def _rollout_fits(self) -> Spinodal:
        if max(self.rollout.frames) >= self.held_out.frames:
            raise ValueError(
                f"rollout.frames go to {max(self.rollout.frames)}; "
                f"the last of held_out.frames is {self.held_out.frames - 1}"
            )
        return self

    @model_validator(mode="after")
    def _members_exist(self) -> Spinodal:
        for name, wanted, data, given in (
            ("long.rollouts", self.long.rollouts, "coarsening", self.coarsening.simulations),
            ("ensemble.members", self.ensemble.members, "ensemble_truth", self.ensemble_truth.simulations),
        ):
            if wanted > given:
                raise ValueError(f"{name} is {wanted}; {data}.simulations has {given}")
        return self

    @model_validator(mode="after")
    def _windows_fit(self) -> Spinodal:
        if self.training.window >= self.data.frames:
            raise ValueError(
                f"training.stages need {self.training.window} intervals; data.frames {self.data.frames} has "
                f"{self.data.frames - 1}"
            )
        return self

    @model_validator(mode="after")
    def _strides_fit(self) -> Spinodal:
        frames = len(self.strides.times(self.medium.interval))
        if self.stride_training.frames > frames:
            raise ValueError(f"stride_training needs {self.stride_training.frames} frames; strides has {frames}")
        return self

    @model_validator(mode="after")
    def _variants_fit(self) -> Spinodal:
        if self.variants.training.window >= self.data.frames:
            raise ValueError(f"variants.training needs {self.variants.training.window + 1} frames; see data.frames")
        if self.variants.validation > self.data.validation:
            raise ValueError(f"variants.validation {self.variants.validation} exceeds data.validation")
        if self.ablation.simulations > self.held_out.simulations:
            raise ValueError(f"ablation.simulations {self.ablation.simulations} exceeds held_out.simulations")
        if max(self.ablation.frames) >= self.held_out.frames:
            raise ValueError(f"ablation.frames go to {max(self.ablation.frames)}, beyond held_out.frames")
        if 2 * self.fno.modes >= self.data.size // self.medium.factor:
            raise ValueError(f"fno.modes {self.fno.modes} is too many for {self.data.size // self.medium.factor} cells")
        self.transfer.check(self.stages)
        return self


JOBS: dict[str, type[Job]] = {
    "cahn_hilliard": CahnHilliardJob,
    "cahn_hilliard_held_out": HeldOutJob,
    "spinodal_recurrent": RecurrentJob,
    "cahn_hilliard_large": LargeJob,
    "cahn_hilliard_shapes": ShapesDataJob,
    "spinodal_rollout": RolloutJob,
    "spinodal_size": SizeJob,
    "spinodal_shapes": ShapesJob,
    "spinodal_coarsening": CoarseningJob,
    "spinodal_ensemble_truth": EnsembleTruthJob,
    "spinodal_long": LongJob,
    "spinodal_ensemble": EnsembleJob,
    "cahn_hilliard_strides": StridesJob,
    "spinodal_stride": StrideJob,
    "spinodal_speed": SpeedJob,
    "spinodal_fno": FnoJob,
    "spinodal_unet": UnetJob,
    "spinodal_variants": VariantsJob,
    "spinodal_ablation": AblationJob,
    "cahn_hilliard_stages": StagesJob,
    "spinodal_transfer_stages": TransferStagesJob,
    "spinodal_transfer": TransferJob,
}

WING = Wing(Spinodal, JOBS, place=1)
