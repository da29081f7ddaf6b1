"""The configuration: one pydantic model that checks it, explains it (JSON schema) and hands each job its part.

A value stands either in a wing's common block (`transport:`) or, when it differs between the scales, in
`scales.<scale>.transport`; never in both, so no value can be silently overridden by another one.
Only the Snakefile and the command line read configuration files; jobs get their part as JSON (`--spec`).
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from phasemill.core.errors import InputError

SCALES = ("smoke", "laptop", "paper")
DEFAULT_SCALE: Literal["laptop"] = "laptop"

# Every benchmark is a named target, a folder results/{scale}/{wing}/{benchmark}/ and a page.
BENCHMARKS = {"transport_zero_shot": "transport", "transport_trained": "transport"}
WINGS = tuple(sorted(set(BENCHMARKS.values())))

# Target of the workflow -> its benchmarks: each benchmark by itself, and each wing as a whole.
TARGETS = {name: [name] for name in BENCHMARKS} | {
    wing: [name for name, its in BENCHMARKS.items() if its == wing] for wing in WINGS
}

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class ConfigError(InputError):
    """All problems of a configuration, one per line, each with its dotted path."""


class Block(BaseModel):
    """A part of the configuration; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Range(Block):
    """A closed interval from which values are drawn."""

    low: float = Field(ge=0)
    high: float = Field(gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        return self


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


class Scale(Block):
    """Everything that one scale decides."""

    transport: Transport
    minutes: dict[str, Count] = Field(description="Slurm run time per benchmark, first attempt")

    @field_validator("minutes")
    @classmethod
    def _every_benchmark(cls, minutes: dict[str, int]) -> dict[str, int]:
        if strange := sorted(set(minutes) - set(BENCHMARKS)):
            raise ValueError(unknown(strange[0], BENCHMARKS, "benchmark"))
        if missing := sorted(set(BENCHMARKS) - set(minutes)):
            raise ValueError(f"no run time for {', '.join(missing)}")
        return minutes


class Job(Block):
    """What one job gets as `--spec`: exactly the part of the configuration on which its result depends.

    `version` is raised by hand when the code behind the job changes its result; Snakemake then remakes it.
    """

    version: Literal[1] = 1
    seed: int


class VoronoiHeatJob(Job):
    """Simulate the data set `voronoi_heat`."""

    data: VoronoiHeat


class EstimatorJob(Job):
    """Train the estimator."""

    estimator: Estimator
    training: EstimatorTraining


class ZeroShotJob(Job):
    """Evaluate recovery without training data."""

    estimator: Estimator
    zero_shot: ZeroShot


class TrainedJob(Job):
    """Evaluate the trained estimator, before and after test-time training."""

    estimator: Estimator
    training: EstimatorTraining
    trained: Trained


JOBS: dict[str, tuple[str, type[Job]]] = {
    "voronoi_heat": ("transport", VoronoiHeatJob),
    "transport_estimator": ("transport", EstimatorJob),
    "transport_zero_shot": ("transport", ZeroShotJob),
    "transport_trained": ("transport", TrainedJob),
}


class Slurm(Block):
    """Your site; belongs into the untracked config/site.yaml."""

    account: str = Field(default="", description="Slurm account; empty: the site's default")
    cpu_partition: str = Field(default="", description="partition of CPU jobs; empty: the site's default")
    gpu_partition: str = Field(default="", description="partition of GPU jobs; empty: the site's default")
    max_minutes: int | None = Field(default=None, ge=1, description="longest run time that the partitions allow")


class Config(Block):
    """The whole configuration with the active scale's numbers."""

    scale: Literal["smoke", "laptop", "paper"] = DEFAULT_SCALE
    run: list[str] = Field(description="benchmarks of `all`")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = Field(ge=0, description="root of the seed tree")
    slurm: Slurm = Slurm()
    scales: dict[Literal["smoke", "laptop", "paper"], Scale]

    def spec(self, job: str, scale: str) -> str:
        """The JSON that `job` gets as `--spec` at a scale."""
        wing, model = JOBS[job]
        known = {**dict(getattr(self.scales[scale], wing)), "seed": self.seed}  # type: ignore[index]
        return model(**{name: known[name] for name in model.model_fields if name in known}).model_dump_json()

    def minutes(self, benchmark: str, scale: str, attempt: int = 1) -> int:
        """Run time of a benchmark's longest job; grows with the attempt up to the partition's limit."""
        wanted = self.scales[scale].minutes[benchmark] * attempt  # type: ignore[index]
        return min(wanted, self.slurm.max_minutes) if self.slurm.max_minutes else wanted


def load(raw: Mapping[str, Any]) -> Config:
    """Check a raw configuration (the merged YAML) and return the model.

    Raises
    ------
    ConfigError
        Every problem at once, with dotted paths as they stand in the file.
    """
    tree = copy.deepcopy(dict(raw))
    problems: list[str] = []
    run = tree.get("run", "all")
    tree["run"] = list(BENCHMARKS) if run == "all" else [run] if isinstance(run, str) else run
    if isinstance(tree["run"], list):
        problems += [
            f"run: {unknown(str(name), BENCHMARKS, 'benchmark')}" for name in tree["run"] if name not in BENCHMARKS
        ]

    common = {wing: tree.pop(wing) for wing in WINGS if wing in tree}
    scales = tree.get("scales")
    if not isinstance(scales, dict):
        raise ConfigError(_message(["scales: must hold the three scales " + ", ".join(SCALES)]))
    problems += [f"scales: missing scale '{name}'" for name in SCALES if name not in scales]
    own = copy.deepcopy(scales)
    for scale, block in scales.items():
        if isinstance(block, dict):
            scales[scale] = _join(common, block, f"scales.{scale}", problems)
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        problems += list(_explain(error, own))
        config = None
    if problems or config is None:
        raise ConfigError(_message(list(dict.fromkeys(problems))))
    return config


def _join(common: Mapping[str, Any], own: Mapping[str, Any], path: str, problems: list[str]) -> dict[str, Any]:
    """The union of two trees that share no leaf."""
    joined = copy.deepcopy(dict(common))
    for key, value in own.items():
        if key not in joined:
            joined[key] = value
        elif isinstance(joined[key], dict) and isinstance(value, dict):
            joined[key] = _join(joined[key], value, f"{path}.{key}", problems)
        else:
            place = f"{path}.{key}"
            problems.append(f"{place}: also given as {place.split('.', 2)[2]}; keep one of the two")
    return joined


def _explain(error: ValidationError, own: Mapping[str, Any]) -> Iterator[str]:
    """One line per problem, at the place where the value stands: a scale's own block or the common one."""
    for problem in error.errors():
        location = [str(part) for part in problem["loc"]]
        missing = problem["type"] == "missing"
        if (
            location[:1] == ["scales"]
            and location[2:3] != ["minutes"]
            and not missing
            and not _holds(own, location[1:])
        ):
            location = location[2:]
        if problem["type"] == "extra_forbidden":
            text = unknown(location[-1], _siblings(problem["loc"]))
        else:
            text = problem["msg"].removeprefix("Value error, ")
            if not isinstance(problem["input"], dict | BaseModel):
                text += f" (got {problem['input']!r})"
        yield f"{'.'.join(location)}: {text}"


def _holds(tree: Any, path: list[str]) -> bool:
    """Whether `path` leads to something in `tree`."""
    for key in path:
        if not isinstance(tree, dict) or key not in tree:
            return False
        tree = tree[key]
    return bool(path)


def _siblings(location: tuple[int | str, ...]) -> list[str]:
    """The keys that are known beside the unknown one at `location`."""
    model: Any = Config
    for key in location[:-1]:
        if isinstance(model, type) and issubclass(model, BaseModel) and key in model.model_fields:
            model = model.model_fields[str(key)].annotation
        if getattr(model, "__origin__", None) is dict and key in SCALES:
            model = Scale
    if isinstance(model, type) and issubclass(model, BaseModel):
        names = list(model.model_fields)
        return names + list(WINGS) if model is Config else names
    return []


def unknown(name: str, known: Any, kind: str = "key") -> str:
    """One sentence about an unknown name, with the nearest known one."""
    close = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(sorted(known))}"
    return f"unknown {kind} '{name}'; {hint}"


def _message(problems: list[str]) -> str:
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    head = f"{count} in the configuration (config/config.yaml with --configfile, --config and config/site.yaml):"
    return "\n".join([head, *(f"  {problem}" for problem in problems)])


def schema() -> dict[str, Any]:
    """JSON schema of the configuration file, for editors; made from the model."""
    full = Config.model_json_schema()
    properties = full["properties"]
    for wing in WINGS:
        properties[wing] = {"$ref": f"#/$defs/{wing.capitalize()}"}
    properties["run"] = {"anyOf": [{"const": "all"}, properties["run"]], "description": "benchmarks of `all`"}
    for definition in [full, *full["$defs"].values()]:
        definition.pop("required", None)  # a key may stand in the common block or in the scales
    return full
