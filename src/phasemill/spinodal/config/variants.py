"""Other networks beside the published one, and what each of its parts is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from phasemill.core.blocks import Block, Count, Job, Positive
from phasemill.spinodal.config.data import Medium, Mixtures, Sequences
from phasemill.spinodal.config.learned import Curriculum, Network, Stage


class Fno(Block):
    """Size of the Fourier neural operator."""

    width: Count = Field(description="channels")
    modes: Count = Field(description="wavenumbers kept along each axis, of a box as large as the training's")
    layers: Count
    learning_rate: Positive = Field(description="its own: at the recurrent network's it does not learn")


class Unet(Block):
    """Size of the U-Net of three levels."""

    width: Count = Field(description="channels on the finest level, twice as many below")
    learning_rate: Positive = Field(description="its own: at the recurrent network's it does not learn")


class FnoJob(Job):
    """Train the Fourier neural operator on `cahn_hilliard`, as the recurrent network is trained."""

    verb = "train"
    function = "phasemill.spinodal.train.curriculum:train"
    benchmark = "spinodal_rollout"
    model = "fno.safetensors"

    medium: Medium
    fno: Fno
    training: Curriculum

    @property
    def optimisation(self) -> Curriculum:
        """The common curriculum with its own learning rate."""
        return self.training.model_copy(update={"learning_rate": self.fno.learning_rate})


class UnetJob(Job):
    """Train the U-Net on `cahn_hilliard`, as the recurrent network is trained."""

    verb = "train"
    function = "phasemill.spinodal.train.curriculum:train"
    benchmark = "spinodal_rollout"
    model = "unet.safetensors"

    medium: Medium
    unet: Unet
    training: Curriculum

    @property
    def optimisation(self) -> Curriculum:
        """The common curriculum with its own learning rate."""
        return self.training.model_copy(update={"learning_rate": self.unet.learning_rate})


@dataclass(frozen=True)
class Arm:
    """One training of the ablation: the reference, but for what it names."""

    label: str
    inputs: Literal["raw", "centred", "features"] = "features"
    output: Literal["central", "staggered", "potential", "zero_mean", "plain"] = "central"
    downscale: Literal["nearest", "average", "none"] = "nearest"
    loss: Literal["relative", "plain"] = "relative"
    curriculum: Literal["growing", "given", "none"] = "growing"
    """Roll-outs that grow; long ones with ever fewer given frames (the paper's); or long free ones from the start."""


ARMS = {
    "reference": Arm("reference"),
    "staggered": Arm("fluxes on faces", output="staggered"),
    "potential": Arm("Laplacian of a potential", output="potential"),
    "zero_mean": Arm("change less its mean", output="zero_mean"),
    "plain": Arm("change as it is", output="plain"),
    "centred": Arm("input 2 phi - 1", inputs="centred"),
    "raw": Arm("input phi", inputs="raw"),
    "average": Arm("averages of 2^3 cells", downscale="average"),
    "none": Arm("no down-scaling", downscale="none"),
    "absolute": Arm("loss not relative", loss="plain"),
    "given": Arm("given frames, ever fewer", curriculum="given"),
    "at_once": Arm("no curriculum", curriculum="none"),
}
"""The reference: features as input, central divergence, every second cell, relative loss, growing roll-outs."""

OUTPUTS = ("reference", "staggered", "potential", "zero_mean", "plain")
"""The arms that differ in how the change of phi is made."""


class Variants(Block):
    """Short trainings at equal cost."""

    seeds: Count = Field(description="trainings of each arm")
    validation: Count = Field(description="sequences of the validation that are rolled out")
    training: Curriculum = Field(description="the reference's; the other arms change one thing in it")


class Ablation(Block):
    """How the arms are scored."""

    simulations: Count = Field(description="held-out sequences")
    size: int = Field(ge=8, description="cells per side of the boxes of the long roll-out")
    boxes: Count = Field(description="their number")
    steps: Count = Field(description="length of the long roll-out, in tau")
    every: Count = Field(description="tau between its frames that are scored")
    frames: list[Count] = Field(min_length=1, description="frames that the slices and the finer grid's errors show")

    @model_validator(mode="after")
    def _whole_frames(self) -> Ablation:
        if self.steps % self.every:
            raise ValueError(f"steps {self.steps} is not a multiple of every {self.every}")
        return self


class VariantsJob(Job):
    """Train all arms of the ablation on `cahn_hilliard`."""

    verb = "train"
    function = "phasemill.spinodal.train.variants:train"
    benchmark = "spinodal_ablation"
    model = "variants.safetensors"

    medium: Medium
    network: Network
    variants: Variants

    def settings(self, arm: Arm, factor: int) -> Curriculum:
        """The optimisation of an arm: as many predicted cells as the reference's.

        Without down-scaling a sample is `factor`^3 times as large, so that batches are smaller, or there are fewer.
        """
        reference = self.variants.training
        batch, less = reference.batch, 1
        if arm.downscale == "none":
            batch = max(1, reference.batch // factor**3)
            less = max(1, round(factor**3 * batch / reference.batch))
        stages = [stage.model_copy(update={"steps": max(1, stage.steps // less)}) for stage in reference.stages]
        changes = {"stages": redistribute(stages, arm.curriculum), "batch": batch}
        changes |= {"loss": arm.loss, "downscale": arm.downscale}
        settings = reference.model_copy(update=changes)
        share = settings.steps / reference.steps  # fewer steps: the same shape of the learning rate over the training
        return settings.model_copy(
            update={name: max(1, round(share * getattr(reference, name))) for name in ("warm_up", "every")}
        )


def redistribute(stages: list[Stage], curriculum: str) -> list[Stage]:
    """The same number of predicted frames by another curriculum, with roll-outs as long as the longest stage's."""
    if curriculum == "growing":
        return stages
    longest = max(stage.rollout for stage in stages)
    steps = max(1, sum(stage.steps * stage.rollout * stage.pieces for stage in stages) // longest)
    if curriculum == "none":
        return [Stage(steps=steps, rollout=longest)]
    each = max(1, steps // (2 * max(1, longest - 1)))  # half of the steps have given frames
    teaching = [Stage(steps=each, rollout=longest, given=given) for given in range(longest, 1, -1)]
    return [*teaching, Stage(steps=max(1, steps - each * len(teaching)), rollout=longest)]


class AblationJob(Job):
    """Evaluate the arms of the ablation."""

    verb = "evaluate"
    function = "phasemill.spinodal.evaluate.ablation:ablation"
    drawing = "phasemill.spinodal.figures.ablation:ablation"

    medium: Medium
    mixtures: Mixtures
    held_out: Sequences
    network: Network
    variants: Variants
    ablation: Ablation
