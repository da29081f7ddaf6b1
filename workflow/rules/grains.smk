# The grains wing: obstacle phase fields -> Zarr -> networks trained on the equation alone -> roll-outs.
from phasemill.grains import config as grains

GRAIN_CASES = [f"grain_{case}" for case in grains.CASES]

# Data sets.
for dataset in GRAIN_CASES + ["grain_polycrystal", "grains_unseen"]:

    rule:
        name:
            f"{dataset}_truth_simulate"
        output:
            **data_out(f"{dataset}_truth"),
        log:
            f"logs/{{scale}}/grains/simulate_{dataset}_truth.log",
        benchmark:
            f"logs/{{scale}}/grains/simulate_{dataset}_truth.tsv"
        priority: 3
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            **site(),
            mem_mb=memory(2000),
            runtime=minutes(dataset),
        params:
            job=f"{dataset}_truth",
            spec=spec(f"{dataset}_truth"),
            threads=1,
        shell:
            "python -m phasemill simulate {params.job} --spec {params.spec:q} --output {output.zarr}"
            " --threads {params.threads} > {log} 2>&1"


# The feed-forward network of a benchmark is validated before a recurrent one is trained on it.
for case in GRAIN_CASES:

    rule:
        name:
            f"{case}_gate"
        input:
            result_path(case, "march.safetensors"),
        output:
            result_path(case, "gate.json"),
        log:
            f"logs/{{scale}}/grains/gate_{case}.log",
        priority: 3
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            **site(),
            mem_mb=memory(1000),
            runtime=short,
        shell:
            "python -m phasemill gate {input} --output {output} > {log} 2>&1"


def march_of(case):
    """What a recurrent network learns from, once it has passed the gate."""
    return {
        "start": result_path(case, "march.safetensors"),
        "gate": result_path(case, "gate.json"),
    }


def parents_of(stage):
    """The networks that a transfer stage begins with."""
    parent = grains.ROUTES[stage].parent
    trainings = (
        [f"grains_transfer_{parent}"]
        if parent in grains.ROUTES
        else [f"grain_{parent}_march", f"grain_{parent}_stepper"]
    )
    return {"parents": [result_path(*settings.MODELS[name]) for name in trainings]}


def finer(dataset):
    """Whether a data set has more cells than the first benchmark's."""
    blocks = CONFIG.at("paper").grains
    case = getattr(blocks, dataset.removeprefix("grain_"))
    return case.cells > blocks.shrink_64.cells


# Trainings: job -> the data set that it learns from, and the files that it begins with.
GRAIN_TRAININGS = {
    **{f"{case}_march": (case, {}) for case in GRAIN_CASES},
    **{f"{case}_stepper": (case, march_of(case)) for case in GRAIN_CASES},
    "grain_polycrystal_stepper": ("grain_polycrystal", {}),
    "grains_cells_networks": ("grain_shrink_64", march_of("grain_shrink_64")),
    "grains_gradnorm_networks": ("grain_shrink_64", {}),
    **{
        f"grains_transfer_{stage}": (f"grain_{route.case}", parents_of(stage))
        for stage, route in grains.ROUTES.items()
    },
}

# Each goes on from its checkpoint when run again. The finer boxes come first: the last job should not be the longest.
for training, (dataset, begun) in GRAIN_TRAININGS.items():

    rule:
        name:
            f"{training}_train"
        input:
            **begun,
            **data_in(f"{dataset}_truth"),
        output:
            **model_out(training),
        log:
            f"logs/{{scale}}/grains/train_{training}.log",
        benchmark:
            f"logs/{{scale}}/grains/train_{training}.tsv"
        priority: 2 if finer(dataset) else 1
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            **site(),
            mem_mb=memory(4000),
            runtime=minutes(settings.MODELS[training][0]),
        params:
            job=training,
            spec=spec(training),
            begun=options("start", "parents"),
            checkpoints=checkpoints,
            threads=1,
            device=CONFIG.device,
        shell:
            "python -m phasemill train {params.job} --spec {params.spec:q} --data {input.zarr} {params.begun}"
            " --checkpoints {params.checkpoints} --history {output.history} --output {output.model}"
            " --threads {params.threads} --device {params.device} > {log} 2>&1"


# Evaluations: benchmark -> its data set and the trainings that it scores.
GRAIN_EVALUATIONS = {
    **{case: (case, [f"{case}_march", f"{case}_stepper"]) for case in GRAIN_CASES},
    "grain_polycrystal": ("grain_polycrystal", ["grain_polycrystal_stepper"]),
    "grains_unseen": ("grains_unseen", ["grain_shrink_64_stepper"]),
    "grains_cells": ("grain_shrink_64", ["grains_cells_networks"]),
    "grains_gradnorm": ("grain_shrink_64", ["grains_gradnorm_networks"]),
    "grains_transfer": (None, None),  # the stages that its scale trains
}


def scored(evaluation):
    """Input function: data set and models of an evaluation."""
    dataset, trainings = GRAIN_EVALUATIONS[evaluation]

    def found(wildcards):
        stages = CONFIG.at(wildcards.scale).grains.transfer.stages
        case = dataset or f"grain_{grains.ROUTES[stages[0]].case}"
        jobs = trainings or [f"grains_transfer_{stage}" for stage in stages]
        return {
            **data_in(f"{case}_truth", wildcards.scale),
            "models": [
                result_path(*settings.MODELS[job], wildcards.scale) for job in jobs
            ],
        }

    return found


for evaluation in GRAIN_EVALUATIONS:

    rule:
        name:
            f"{evaluation}_evaluate"
        input:
            unpack(scored(evaluation)),
            recorded=recorded(evaluation),
        output:
            **scores_out(evaluation),
        log:
            f"logs/{{scale}}/grains/{evaluation}.log",
        benchmark:
            f"logs/{{scale}}/grains/{evaluation}.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            **site(),
            mem_mb=memory(3000),
            runtime=minutes(evaluation),
        params:
            job=evaluation,
            spec=spec(evaluation),
            given=options("models", "recorded"),
            folder=folder,
            threads=1,
        shell:
            "python -m phasemill evaluate {params.job} --spec {params.spec:q} --data {input.zarr} {params.given}"
            " --output {params.folder} --scale {wildcards.scale} --threads {params.threads} > {log} 2>&1"
