# What all rules share. Parsed by every job, so nothing heavy is imported here.
import os
import shutil
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

SOURCE = os.path.join(workflow.basedir, "src")
sys.path.insert(0, SOURCE)

from phasemill import config as settings
from phasemill.config import data_path, result_path
from phasemill.core.environment import prepend
from phasemill.core.errors import InputError

# A fresh clone works without an install, and jobs find the interpreter that runs Snakemake.
prepend("PYTHONPATH", SOURCE)
prepend("PATH", os.path.dirname(sys.executable))

for wing in settings.WINGS:

    configfile: f"config/{wing}.yaml"


try:
    for name in workflow.configfiles:
        settings.read_keys(
            Path(name)
        )  # Snakemake would let a key that is given twice pass
    CONFIG = settings.load({**settings.read_site(Path("config/site.yaml")), **config})
except InputError as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    scale="|".join(settings.SCALES),
    wing="|".join(settings.WINGS),
    benchmark="|".join(settings.BENCHMARKS),
    dataset="|".join(settings.DATASETS),


def spec(job):
    """Params function: the JSON of exactly the configuration that `job` uses at the scale of its path."""
    return lambda wildcards: CONFIG.spec(job, wildcards.scale)


def data_out(dataset):
    """Outputs: a data set and its manifest."""
    path = data_path(dataset)
    return {"zarr": directory(path), "manifest": path.replace(".zarr", ".json")}


def data_in(dataset, scale="{scale}"):
    """Inputs: the same. Times of files within a store mean nothing; the manifest tells whether it has changed."""
    path = data_path(dataset, scale)
    return {"zarr": ancient(path), "manifest": path.replace(".zarr", ".json")}


def model_out(training):
    """Outputs: a trained model and the history of its losses."""
    path = result_path(*settings.MODELS[training])
    return {"model": path, "history": path.replace(".safetensors", "_history.csv")}


def checkpoints(wildcards, output):
    """Params function: the folder from which a training goes on when run again; undeclared, so that it is kept."""
    return output.model.replace(".safetensors", "_checkpoints")


def scores_out(benchmark):
    """Outputs: what an evaluation leaves for the figures and the page of its benchmark."""
    names = {
        "manifest": "fields.json",
        "metrics": "metrics.json",
        "claims": "claims.csv",
        "provenance": "provenance.json",
    }
    files = {key: result_path(benchmark, name) for key, name in names.items()}
    return {"fields": directory(result_path(benchmark, "fields.zarr")), **files}


def folder(wildcards, output):
    """Params function: the folder of a benchmark."""
    return os.path.dirname(output.metrics)


def minutes(benchmark):
    """Resource function: run time of a benchmark, longer with each attempt, within the partition's limit."""
    return lambda wildcards, attempt: CONFIG.minutes(
        benchmark, wildcards.scale, attempt
    )


def options(*names):
    """Params function: the inputs of these names as options of the command line, one for each file."""

    def words(wildcards, input):
        found = []
        for name in names:
            files = input.get(name, [])
            for path in [files] if isinstance(files, str) else files:
                found += [f"--{name}", path]
        return found

    return words


def recorded(benchmark):
    """Tracked numbers of longer runs of a benchmark, shown on its page as recorded."""
    folder = Path("results/recorded") / settings.BENCHMARKS[benchmark]
    longer = tuple(
        name for name in settings.BENCHMARKS if name.startswith(f"{benchmark}_")
    )
    return sorted(
        str(path)
        for path in folder.glob(f"{benchmark}_*.json")
        if not path.name.startswith(longer)
    )


def short(wildcards, attempt):
    """Resource function: run time of a small job, in minutes, within the partition's limit."""
    return CONFIG.within_limit(10 * attempt)


def memory(mb, paper=None):
    """Resource function: memory, more with each attempt; `paper` where that scale needs more."""

    def needed(wildcards, attempt):
        large = paper if paper and wildcards.scale == "paper" else mb
        return large * attempt

    return needed


def measured_speeds():
    """The speeds of `make bench`: your own, or the ones that are kept."""
    kept = ("results/performance.json", "results/recorded/performance.json")
    return [path for path in kept if os.path.exists(path)][:1]


def data_files():
    """All data sets of the active scale, with their statistics."""
    stores = [data_path(name, CONFIG.scale) for name in settings.DATASETS]
    return stores + [store.replace(".zarr", ".statistics.json") for store in stores]


def benchmark_files(benchmarks):
    """What finished benchmarks leave at the active scale: their pages and fields."""
    return [
        result_path(name, file, CONFIG.scale)
        for name in benchmarks
        for file in ("report.html", "fields.zarr")
    ]


def site():
    """Resources of your own site: only what config/site.yaml names, so that default-resources stay in force."""
    chosen = {
        "slurm_account": CONFIG.slurm.account,
        "slurm_partition": CONFIG.slurm.partition,
    }
    return {key: value for key, value in chosen.items() if value}


if workflow.is_main_process:
    every = set(CONFIG.run) == set(settings.BENCHMARKS)
    chosen = "all benchmarks" if every else ", ".join(CONFIG.run)
    print(f"phasemill: scale {CONFIG.scale}, {chosen}", file=sys.stderr)


onstart:
    if workflow.executor_plugin.name == "slurm":
        if "scale" not in config:
            sys.exit(
                "phasemill: a Slurm run needs a scale: add --config scale=paper or --configfile config/paper.yaml"
            )
        if missing := [
            tool for tool in ("sbatch", "squeue") if not shutil.which(tool)
        ]:
            sys.exit(
                f"phasemill: --profile slurm needs {' and '.join(missing)} on PATH: start it on a login node of the "
                "cluster, or run here with: snakemake --profile profiles/local all"
            )


onsuccess:
    if os.path.exists(f"results/{CONFIG.scale}/index.html"):
        print(
            f"phasemill: done; the summary is results/{CONFIG.scale}/index.html",
            file=sys.stderr,
        )


onerror:
    print(
        "phasemill: stopped; finished work is kept and the same command goes on from there "
        "(after a killed Snakemake: snakemake --unlock first)",
        file=sys.stderr,
    )
