# The spinodal wing: Cahn-Hilliard boxes -> Zarr -> recurrent and other networks -> roll-outs.

# Data sets.
for dataset, for_benchmark in {
    "cahn_hilliard": "spinodal_rollout",
    "cahn_hilliard_held_out": "spinodal_rollout",
    "cahn_hilliard_large": "spinodal_size",
    "cahn_hilliard_shapes": "spinodal_shapes",
    "spinodal_coarsening": "spinodal_long",
    "spinodal_ensemble_truth": "spinodal_ensemble",
    "cahn_hilliard_stages": "spinodal_transfer",
    "cahn_hilliard_strides": "spinodal_speed",
}.items():

    rule:
        name:
            f"{dataset}_simulate"
        output:
            **data_out(dataset),
        log:
            f"logs/{{scale}}/spinodal/simulate_{dataset}.log",
        benchmark:
            f"logs/{{scale}}/spinodal/simulate_{dataset}.tsv"
        priority: 2  # trainings, the longest jobs, wait for them
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            **site(),
            mem_mb=memory(3000, paper=8000),
            runtime=minutes(for_benchmark),
        params:
            job=dataset,
            spec=spec(dataset),
            threads=1,
        shell:
            "python -m phasemill simulate {params.job} --spec {params.spec:q} --output {output.zarr}"
            " --threads {params.threads} > {log} 2>&1"


# Trainings: job -> the data set that it learns from. Each goes on from its checkpoint when run again.
for training, dataset in {
    "spinodal_recurrent": "cahn_hilliard",
    "spinodal_fno": "cahn_hilliard",
    "spinodal_unet": "cahn_hilliard",
    "spinodal_variants": "cahn_hilliard",
    "spinodal_transfer_stages": "cahn_hilliard_stages",
    "spinodal_stride": "cahn_hilliard_strides",
}.items():

    rule:
        name:
            f"{training}_train"
        input:
            **data_in(dataset),
        output:
            **model_out(training),
        log:
            f"logs/{{scale}}/spinodal/train_{training}.log",
        benchmark:
            f"logs/{{scale}}/spinodal/train_{training}.tsv"
        priority: 1
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            **site(),
            mem_mb=memory(5000, paper=20000),
            runtime=minutes(settings.MODELS[training][0]),
        params:
            job=training,
            spec=spec(training),
            checkpoints=checkpoints,
            threads=1,
            device=CONFIG.device,
        shell:
            "python -m phasemill train {params.job} --spec {params.spec:q} --data {input.zarr}"
            " --checkpoints {params.checkpoints} --history {output.history} --output {output.model}"
            " --threads {params.threads} --device {params.device} > {log} 2>&1"


# Evaluations: benchmark -> its data set, and the trainings whose models it compares with the shipped ones.
for evaluation, (dataset, trainings) in {
    "spinodal_rollout": ("cahn_hilliard_held_out", ["spinodal_recurrent"]),
    "spinodal_size": ("cahn_hilliard_large", []),
    "spinodal_shapes": ("cahn_hilliard_shapes", []),
    "spinodal_long": ("spinodal_coarsening", []),
    "spinodal_ensemble": ("spinodal_ensemble_truth", []),
    "spinodal_ablation": ("cahn_hilliard_held_out", ["spinodal_variants"]),
    "spinodal_speed": (
        "cahn_hilliard_held_out",
        ["spinodal_fno", "spinodal_unet", "spinodal_stride"],
    ),
    "spinodal_transfer": ("cahn_hilliard_stages", ["spinodal_transfer_stages"]),
}.items():

    rule:
        name:
            f"{evaluation}_evaluate"
        input:
            **data_in(dataset),
            models=[result_path(*settings.MODELS[training]) for training in trainings],
            # errors on the held-out boxes, to compare with
            compare=(
                [result_path("spinodal_rollout", "metrics.json")]
                if evaluation in ("spinodal_size", "spinodal_shapes")
                else []
            ),
            recorded=recorded(evaluation),
        output:
            **scores_out(evaluation),
        log:
            f"logs/{{scale}}/spinodal/{evaluation}.log",
        benchmark:
            f"logs/{{scale}}/spinodal/{evaluation}.tsv"
        conda:
            "../../environment.yml"
        threads: 2 if evaluation == "spinodal_speed" else 1  # timings want the machine for themselves
        resources:
            **site(),
            mem_mb=memory(4000, paper=12000),
            runtime=minutes(evaluation),
        params:
            job=evaluation,
            spec=spec(evaluation),
            given=options("models", "compare", "recorded"),
            folder=folder,
            threads=2 if evaluation == "spinodal_speed" else 1,
        shell:
            "python -m phasemill evaluate {params.job} --spec {params.spec:q} --data {input.zarr} {params.given}"
            " --output {params.folder} --scale {wildcards.scale} --threads {params.threads} > {log} 2>&1"
