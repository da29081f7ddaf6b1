"""The published method beside single changes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from phasemill.core.blocks import Block, Count, Job, Positive
from phasemill.grains.config.data import Case


@dataclass(frozen=True)
class Arm:
    """One training: the published one with Algorithm 2, but for what it names."""

    label: str
    weights: Literal["fixed", "modified", "gradnorm"] = "modified"
    initial: Literal["soft", "hard"] = "soft"
    """A loss that holds the field to the frame where the interval begins, or a field that begins there by its form."""
    motion: Literal["residual", "energy"] = "residual"
    """Of the coordinates' network and of the frames: mean square residual, or `variation.Interval.energy`."""
    obstacle: bool = False
    """Whether a residual is free of what the obstacle holds."""
    units: bool = False
    """Whether a residual between frames is per interval, not per time: its gradients are far below Adam's eps else."""
    detached: bool = True
    """Whether the gradient of the loss leaves the Laplacian out."""
    mixing: Literal["fields", "increments"] = "fields"
    feed_forward: bool = True
    """False: the recurrent network alone, which predicts increments."""
    energy: Literal["coded", "real"] = "coded"
    shown: int = 0
    """First intervals whose ends, in the truth, the coordinates' network is shown; with 0 no arm sees any truth."""
    cell: Literal["gru", "lstm"] = "gru"
    variational: bool = False
    attention: bool = False
    threshold: bool = False
    """Whether an interval ends when the total loss is below the threshold; else all arms get the same epochs."""
    repeated: bool = False
    """Whether it is trained with all seeds."""


def alone(label: str, **options: Any) -> Arm:
    """The recurrent network without the other one."""
    return Arm(f"{ALONE}{label}", "fixed", mixing="increments", feed_forward=False, **options)


ALONE = "recurrent alone, "
ARMS = {
    "fixed": Arm("weights fixed", weights="fixed", repeated=True),
    "modified": Arm("published, Algorithm 2", repeated=True),
    "gradnorm": Arm("true GradNorm", weights="gradnorm", repeated=True),
    "threshold": Arm("ends by the threshold", threshold=True),
    "obstacle": Arm("obstacle in the residual", obstacle=True),
    "attached": Arm("Laplacian not detached", detached=False),
    "hard": Arm("hard initial condition", initial="hard"),
    "variational": Arm("incremental energy for the residual", motion="energy"),
    "increments": Arm("increments mixed", mixing="increments"),
    "all": Arm("all of these", initial="hard", motion="energy", mixing="increments", repeated=True),
    "all_fixed": Arm(
        "all of these, weights fixed",
        weights="fixed",
        initial="hard",
        motion="energy",
        mixing="increments",
        repeated=True,
    ),
    "data": Arm("data loss in the first interval", shown=1),
    "energy": Arm("energy loss with a gradient", energy="real", repeated=True),
    "recurrent": alone("residual as published", repeated=True),
    "recurrent_units": alone("residual times dt^2", units=True, repeated=True),
    "recurrent_clipped": alone("residual times dt^2, obstacle", units=True, obstacle=True, repeated=True),
    "recurrent_energy": alone("incremental energy", motion="energy", repeated=True),
    "lstm": alone("energy, ConvLSTM", motion="energy", cell="lstm"),
    "vae": alone("energy, variational bottleneck", motion="energy", variational=True),
    "attention": alone("energy, attention", motion="energy", attention=True),
}
"""Run name -> what is trained. The first three differ in the weights of the losses alone.

The released code adds the data loss with weight 1 in the first interval; the paper says that data are only tracked.
The incremental energy knows the obstacle, and its gradient goes through the Laplacian: "all" needs no more for these.
Bottleneck and attention stand where the recurrent part does something: in the published mixture it dies.
"""

WEIGHTED = ("fixed", "modified", "gradnorm")
FIXES = ("obstacle", "attached", "hard", "variational", "increments", "all", "all_fixed", "data")


class Gradnorm(Block):
    """The published method on its first benchmark."""

    seeds: Count = Field(description="trainings of the arms that are repeated")
    intervals: Count = Field(description="the first of the benchmark's")
    epochs: Count = Field(description="of each interval")
    recurrent_epochs: Count = Field(description="the same of the recurrent network alone, whose epochs are cheap")
    least: Count = Field(description="epochs of an interval at least, in the arm that ends by the threshold")
    fit: Count = Field(description="steps in which the networks learn the first frame, before all")
    fit_rate: Positive = Field(description="learning rate meanwhile, at first")
    points: Count = Field(description="cells drawn per epoch for the losses of the coordinates' network")
    width: Count = Field(description="of the coordinates' network; published: 128")
    layers: Count = Field(description="recurrent cells; published: 5")
    attention: Count = Field(description="cells per side of the picture that attention sees; published: 64")
    samples: Count = Field(description="roll-outs drawn from the variational bottleneck")
    timed: Count = Field(description="epochs of each weighting that are timed, in turns")
    learning_rate: Positive = Field(description="published: 1e-4, two steps in each of 1,820 epochs")
    recurrent_rate: Positive = Field(description="of the recurrent network alone")
    threshold: Positive
    alpha: float = Field(ge=0)
    beta: float = Field(gt=0, lt=1)
    gamma: float = Field(ge=0, le=1, description="first weight of the coordinates' network")

    @model_validator(mode="after")
    def _within(self) -> Gradnorm:
        if self.least > self.epochs:
            raise ValueError(f"least {self.least} is more than epochs {self.epochs}")
        return self

    def epochs_of(self, arm: Arm) -> int:
        """Epochs of an interval."""
        return self.epochs if arm.feed_forward else self.recurrent_epochs

    def rate_of(self, arm: Arm) -> float:
        """Learning rate."""
        return self.learning_rate if arm.feed_forward else self.recurrent_rate


class GradnormNetworksJob(Job):
    """Train all arms on the first intervals of `grain_shrink_64_truth`."""

    verb = "train"
    function = "phasemill.grains.published.train:train"
    benchmark: ClassVar[str] = "grains_gradnorm"
    model: ClassVar[str] = "networks.safetensors"

    shrink_64: Case
    gradnorm: Gradnorm


class GradnormJob(Job):
    """Evaluate what each choice of the published method does."""

    verb = "evaluate"
    function = "phasemill.grains.evaluate.gradnorm:gradnorm"
    drawing = "phasemill.grains.figures.gradnorm:gradnorm"

    shrink_64: Case
    gradnorm: Gradnorm


def runs(settings: Gradnorm) -> list[tuple[str, str, int]]:
    """(run, arm, number of the seed) of all trainings."""
    return [
        (f"{name}_{seed}", name, seed)
        for name, arm in ARMS.items()
        for seed in range(settings.seeds if arm.repeated else 1)
    ]
