# The transport wing (SAFE-PIT-CM): Voronoi heat -> Zarr -> estimator -> recovery of kappa.


# Voronoi heat (mobility is its exact reversal in time), four other systems, and heat with kappa(x).
for simulation, dataset in (
    ("transport_simulate", "voronoi_heat"),
    ("transport_physics_simulate", "other_physics"),
    ("transport_map_simulate", "varying_heat"),
):

    rule:
        name:
            simulation
        output:
            **data_out(dataset),
        log:
            f"logs/{{scale}}/transport/{simulation.removeprefix('transport_')}.log",
        benchmark:
            f"logs/{{scale}}/transport/{simulation.removeprefix('transport_')}.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            **site(),
            mem_mb=memory(2000),
            runtime=short,
        params:
            job=dataset,
            spec=spec(dataset),
            threads=1,
        shell:
            "python -m phasemill simulate {params.job} --spec {params.spec:q} --output {output.zarr}"
            " --threads {params.threads} > {log} 2>&1"


rule transport_train:
    """The paper's autoencoder and attention estimator; goes on from its checkpoint when run again."""
    input:
        **data_in("voronoi_heat"),
    output:
        model=result_path("transport_trained", "model.safetensors"),
        history=result_path("transport_trained", "history.csv"),
    log:
        "logs/{scale}/transport/train.log",
    benchmark:
        "logs/{scale}/transport/train.tsv"
    priority: 1  # transport_trained, the last to finish, waits for it
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **site(),
        mem_mb=memory(4000, paper=14000),
        runtime=minutes("transport_trained"),
    params:
        spec=spec("transport_estimator"),
        checkpoints=lambda wildcards, output: os.path.join(
            os.path.dirname(output.model), "checkpoints"
        ),
        threads=1,
        device=CONFIG.device,
    shell:
        "python -m phasemill train transport_estimator --spec {params.spec:q} --data {input.zarr}"
        " --checkpoints {params.checkpoints} --history {output.history} --output {output.model}"
        " --threads {params.threads} --device {params.device} > {log} 2>&1"


rule transport_train_tokens:
    """Amortised estimators from spectra and from pooled frames, all variants; goes on from its checkpoint when run again."""
    input:
        **data_in("voronoi_heat"),
    output:
        model=result_path("transport_trained", "tokens.safetensors"),
        history=result_path("transport_trained", "tokens_history.csv"),
    log:
        "logs/{scale}/transport/train_tokens.log",
    benchmark:
        "logs/{scale}/transport/train_tokens.tsv"
    priority: 1  # transport_trained, the last to finish, waits for it
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **site(),
        mem_mb=memory(4000),
        runtime=minutes("transport_trained"),
    params:
        spec=spec("transport_tokens"),
        checkpoints=lambda wildcards, output: os.path.join(
            os.path.dirname(output.model), "checkpoints"
        ),
        threads=1,
        device=CONFIG.device,
    shell:
        "python -m phasemill train transport_tokens --spec {params.spec:q} --data {input.zarr}"
        " --checkpoints {params.checkpoints} --history {output.history} --output {output.model}"
        " --threads {params.threads} --device {params.device} > {log} 2>&1"


# Evaluations that need the data alone: recovery of kappa from one video without training data, and the ablations.
for evaluation in (
    "transport_zero_shot",
    "transport_substeps",
    "transport_stride",
    "transport_degeneracy",
    "transport_robustness",
    "transport_physics",
    "transport_map",
):

    dataset = {
        "transport_physics": "other_physics",
        "transport_map": "varying_heat",
    }.get(evaluation, "voronoi_heat")

    rule:
        name:
            f"{evaluation}_evaluate"
        input:
            **data_in(dataset),
        output:
            **scores_out(evaluation),
        log:
            f"logs/{{scale}}/transport/{evaluation}.log",
        benchmark:
            f"logs/{{scale}}/transport/{evaluation}.tsv"
        priority: 1 if evaluation == "transport_zero_shot" else 0
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            **site(),
            mem_mb=memory(4000),
            runtime=minutes(evaluation),
        params:
            job=evaluation,
            spec=spec(evaluation),
            folder=folder,
            threads=1,
        shell:
            "python -m phasemill evaluate {params.job} --spec {params.spec:q} --data {input.zarr}"
            " --output {params.folder} --scale {wildcards.scale} --threads {params.threads} > {log} 2>&1"


rule transport_trained_evaluate:
    """Recovery of kappa with the trained estimators; the paper's before and after test-time training."""
    input:
        **data_in("voronoi_heat"),
        model=rules.transport_train.output.model,
        tokens=rules.transport_train_tokens.output.model,
        history=rules.transport_train.output.history,
        zero_shot=rules.transport_zero_shot_evaluate.output.metrics,
    output:
        **scores_out("transport_trained"),
    log:
        "logs/{scale}/transport/transport_trained.log",
    benchmark:
        "logs/{scale}/transport/transport_trained.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **site(),
        mem_mb=memory(4000, paper=6000),
        runtime=minutes("transport_trained"),
    params:
        spec=spec("transport_trained"),
        folder=folder,
        threads=1,
        device=CONFIG.device,
    shell:
        "python -m phasemill evaluate transport_trained --spec {params.spec:q} --data {input.zarr}"
        " --model {input.model} --tokens {input.tokens} --history {input.history} --compare {input.zero_shot}"
        " --output {params.folder} --scale {wildcards.scale}"
        " --threads {params.threads} --device {params.device} > {log} 2>&1"
