"""The configuration: one pydantic model that checks it, explains it (JSON schema) and hands each job its part.

A value stands either in a wing's common block (`transport:`) or, when it differs between the scales, in
`scales.<scale>.transport`; never in both, so no value can be silently overridden by another one. Both stand in the
wing's own file, `config/transport.yaml`; what all wings share stands in `config/config.yaml`.
Only the Snakefile and the command line read configuration files; jobs get their part as JSON (`--spec`).

A folder of the package is a wing where it has a `config` with a `WING`; nothing else names the wings.
"""

from __future__ import annotations

import copy
import importlib
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, create_model, field_validator

from phasemill.core.blocks import Block, Count, Job, Wing
from phasemill.core.errors import InputError, unknown
from phasemill.core.files import parse_yaml

SCALES = ("smoke", "laptop", "paper")
DEFAULT_SCALE: Literal["laptop"] = "laptop"

_SHORT = reprlib.Repr()  # a value in an error: YAML's aliases make endless ones from a few lines
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 80, 80


def _wings() -> dict[str, Wing]:
    """The wings that are there, in their places."""
    package = Path(__file__).parent
    configs = [*package.glob("*/config.py"), *package.glob("*/config/__init__.py")]
    names = sorted(path.relative_to(package).parts[0] for path in configs)
    found = {name: importlib.import_module(f"phasemill.{name}.config").WING for name in names}
    return dict(sorted(found.items(), key=lambda item: item[1].place))


WINGS = _wings()
JOBS: dict[str, type[Job]] = {name: job for wing in WINGS.values() for name, job in wing.jobs.items()}
WING_OF = {name: wing for wing in WINGS for name in WINGS[wing].jobs}

# Every evaluation is a benchmark: a named target, a folder results/{scale}/{wing}/{benchmark}/ and a page.
BENCHMARKS = {name: WING_OF[name] for name, job in JOBS.items() if job.verb == "evaluate"}

DATASETS = {name: WING_OF[name] for name, job in JOBS.items() if job.verb == "simulate"}
MODELS = {name: (job.benchmark, job.model) for name, job in JOBS.items() if job.verb == "train"}

# Target of the workflow -> its benchmarks: each benchmark by itself, and each wing as a whole.
TARGETS = {name: [name] for name in BENCHMARKS} | {
    wing: [name for name, its in BENCHMARKS.items() if its == wing] for wing in WINGS
}


class ConfigError(InputError):
    """All problems of a configuration, one per line, each with its dotted path."""


_BLOCKS: dict[str, Any] = {name: (wing.block, ...) for name, wing in WINGS.items()}
_Wings = create_model("_Wings", __base__=Block, **_BLOCKS)


class Scale(_Wings):  # type: ignore[valid-type, misc]  # its fields are the wings that are there
    """Everything that one scale decides: the block of each wing, and how long its benchmarks take."""

    minutes: dict[str, Count] = Field(description="Slurm run time per benchmark, first attempt")

    @field_validator("minutes")
    @classmethod
    def _every_benchmark(cls, minutes: dict[str, int]) -> dict[str, int]:
        if strange := sorted(set(minutes) - set(BENCHMARKS)):
            raise ValueError(unknown(strange[0], BENCHMARKS, "benchmark"))
        if missing := sorted(set(BENCHMARKS) - set(minutes)):
            raise ValueError(f"no run time for {', '.join(missing)}")
        return minutes


class Slurm(Block):
    """Your site; belongs into the untracked config/site.yaml."""

    account: str = Field(default="", description="Slurm account; empty: the site's default")
    partition: str = Field(default="", description="partition of the jobs; empty: the site's default")
    max_minutes: int | None = Field(default=None, ge=1, description="longest run time that the partitions allow")


class Config(Block):
    """The whole configuration with the active scale's numbers."""

    scale: Literal["smoke", "laptop", "paper"] = DEFAULT_SCALE
    run: list[str] = Field(min_length=1, description="benchmarks of `all`")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = Field(ge=0, description="root of the seed tree")
    slurm: Slurm = Slurm()
    scales: dict[Literal["smoke", "laptop", "paper"], Scale]

    def at(self, scale: str) -> Scale:
        """The block of a scale."""
        return {str(name): block for name, block in self.scales.items()}[scale]

    def spec(self, job: str, scale: str) -> str:
        """The JSON that `job` gets as `--spec` at a scale."""
        wing, model = WING_OF[job], JOBS[job]
        known = {**dict(getattr(self.at(scale), wing)), "seed": self.seed}
        return model(**{name: known[name] for name in model.model_fields if name in known}).model_dump_json()

    def models(self, scale: str) -> list[str]:
        """Paths of all trained models of a scale."""
        return [path for name in MODELS for path in self.model_paths(name, scale)]

    def model_paths(self, training: str, scale: str) -> list[str]:
        """Paths of what a training makes: one model, or one for each part over which its seeds are dealt."""
        benchmark, model = MODELS[training]
        if "{part}" not in model:
            return [result_path(benchmark, model, scale)]
        parts = getattr(getattr(self.at(scale), WING_OF[training]), benchmark).parts
        return [result_path(benchmark, model.format(part=part), scale) for part in range(parts)]

    def minutes(self, benchmark: str, scale: str, attempt: int = 1) -> int:
        """Run time of a benchmark's longest job; grows with the attempt up to the partition's limit."""
        return self.within_limit(self.at(scale).minutes[benchmark] * attempt)

    def within_limit(self, minutes: int) -> int:
        """`minutes`, or the longest run time that the site's partitions allow."""
        return min(minutes, self.slurm.max_minutes) if self.slurm.max_minutes else minutes


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys of a configuration file, over those of config.yaml and of the wings' files, as Snakemake joins them.

    These stand beside it, or in the folder `config` for a file of your own elsewhere.

    Raises
    ------
    InputError
        One sentence that names the file.
    """
    folder = path.parent if (path.parent / "config.yaml").is_file() else Path("config")
    shipped = [folder / f"{name}.yaml" for name in ("config", *WINGS)]
    joined: dict[str, Any] = {}
    for file in [*(file for file in shipped if file.is_file() and file != path), path]:
        _update(joined, read_keys(file))
    return joined


def _update(tree: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _update(tree[key], value)
        else:
            tree[key] = value


def read_keys(path: Path) -> dict[str, Any]:
    """The keys of one file; an empty one has none, and a key that is given twice is an error, as `read_yaml` says."""
    try:
        content = parse_yaml(path.read_text()) or {}
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); name one with --configfile") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no keys; see config/config.yaml")
    return content


def read_site(path: Path) -> dict[str, Any]:
    """The settings of a site: the key `slurm` alone, so that results never depend on this file."""
    content = read_keys(path) if path.exists() else {}
    if strange := [key for key in content if key != "slurm"]:
        raise InputError(f"{path}: {unknown(str(strange[0]), ['slurm'])} (others belong into config/config.yaml)")
    return content


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
    if isinstance(tree["run"], list) and all(isinstance(name, str) for name in tree["run"]):
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
        if location[-1] == "[key]":  # pydantic's word for a name in a table
            yield f"{'.'.join(location[:-1])}: {unknown(location[-2], SCALES, 'scale')}"
            continue
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
                text += f" (got {_SHORT.repr(problem['input'])})"
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


def _message(problems: list[str]) -> str:
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    sources = "config/config.yaml with the wings' files, --configfile, --config and config/site.yaml"
    head = f"{count} in the configuration ({sources}):"
    return "\n".join([head, *(f"  {problem}" for problem in problems)])


def data_path(job: str, scale: str = "{scale}") -> str:
    """Path of the data set that a simulation makes."""
    return f"data/{scale}/{WING_OF[job]}/{job}.zarr"


def result_path(benchmark: str, name: str, scale: str = "{scale}") -> str:
    """Path of a file of a benchmark."""
    return f"results/{scale}/{WING_OF[benchmark]}/{benchmark}/{name}"


def schema() -> dict[str, Any]:
    """JSON schema of the configuration file, for editors; made from the model."""
    full = Config.model_json_schema()
    properties = full["properties"]
    properties |= {wing: full["$defs"]["Scale"]["properties"][wing] for wing in WINGS}
    properties["run"] = {"anyOf": [{"const": "all"}, properties["run"]], "description": "benchmarks of `all`"}
    for definition in [full, *full["$defs"].values()]:
        definition.pop("required", None)  # a key may stand in the common block or in the scales
    return full
