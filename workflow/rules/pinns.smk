# The pinns wing (DN-PINN): references -> Zarr -> trainings with every weighting and seed -> comparison.

PINN_PROBLEMS = ("burgers", "poisson", "allen_cahn")


for problem in PINN_PROBLEMS:

    rule:
        name:
            f"{problem}_simulate"
        output:
            **data_out(f"{problem}_truth"),
        log:
            f"logs/{{scale}}/pinns/{problem}_simulate.log",
        benchmark:
            f"logs/{{scale}}/pinns/{problem}_simulate.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            **site(),
            mem_mb=memory(2000),
            runtime=short,
        params:
            job=f"{problem}_truth",
            spec=spec(f"{problem}_truth"),
            threads=1,
        shell:
            "python -m phasemill simulate {params.job} --spec {params.spec:q} --output {output.zarr}"
            " --threads {params.threads} > {log} 2>&1"


# All rows with the seeds of one part; goes on from its checkpoints when run again.
for problem in PINN_PROBLEMS:

    rule:
        name:
            f"{problem}_train"
        input:
            **data_in(f"{problem}_truth"),
        output:
            model=result_path(problem, "runs_{part}.safetensors"),
            history=result_path(problem, "runs_{part}.csv"),
        log:
            f"logs/{{scale}}/pinns/{problem}_runs_{{part}}.log",
        benchmark:
            f"logs/{{scale}}/pinns/{problem}_runs_{{part}}.tsv"
        priority: 1  # the longest of the wing
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            **site(),
            mem_mb=memory(2000),
            runtime=minutes(problem),
        params:
            job=f"{problem}_runs",
            spec=spec(f"{problem}_runs"),
            checkpoints=lambda wildcards, output: os.path.join(
                os.path.dirname(output.model), "checkpoints"
            ),
            threads=1,
            device=CONFIG.device,
        shell:
            "python -m phasemill train {params.job} --spec {params.spec:q} --data {input.zarr} --part {wildcards.part}"
            " --checkpoints {params.checkpoints} --history {output.history} --output {output.model}"
            " --threads {params.threads} --device {params.device} > {log} 2>&1"


# Recipes beyond the paper, all with all seeds.
for problem in PINN_PROBLEMS:

    rule:
        name:
            f"{problem}_recipes"
        input:
            **data_in(f"{problem}_truth"),
        output:
            model=result_path(problem, "recipes.safetensors"),
            history=result_path(problem, "recipes.csv"),
        log:
            f"logs/{{scale}}/pinns/{problem}_recipes.log",
        benchmark:
            f"logs/{{scale}}/pinns/{problem}_recipes.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            **site(),
            mem_mb=memory(4000),
            runtime=minutes(problem),
        params:
            job=f"{problem}_recipes",
            spec=spec(f"{problem}_recipes"),
            checkpoints=lambda wildcards, output: os.path.join(
                os.path.dirname(output.model), "checkpoints", "recipes"
            ),
            threads=1,
            device=CONFIG.device,
        shell:
            "python -m phasemill train {params.job} --spec {params.spec:q} --data {input.zarr}"
            " --checkpoints {params.checkpoints} --history {output.history} --output {output.model}"
            " --threads {params.threads} --device {params.device} > {log} 2>&1"


# Their comparison, and what the recipes make of it.
for problem in PINN_PROBLEMS:

    rule:
        name:
            f"{problem}_evaluate"
        input:
            **data_in(f"{problem}_truth"),
            models=lambda wildcards, problem=problem: CONFIG.model_paths(
                f"{problem}_runs", wildcards.scale
            ),
            model=result_path(problem, "recipes.safetensors"),
            recorded=recorded(problem),
        output:
            **scores_out(problem),
        log:
            f"logs/{{scale}}/pinns/{problem}.log",
        benchmark:
            f"logs/{{scale}}/pinns/{problem}.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            **site(),
            mem_mb=memory(2000),
            runtime=minutes(problem),
        params:
            job=problem,
            spec=spec(problem),
            given=options("models", "model", "recorded"),
            folder=folder,
            threads=1,
        shell:
            "python -m phasemill evaluate {params.job} --spec {params.spec:q} --data {input.zarr} {params.given}"
            " --output {params.folder} --scale {wildcards.scale} --threads {params.threads} > {log} 2>&1"


rule pinn_inverse_train:
    """Coefficients from sparse noisy values, all seeds; goes on from its checkpoints when run again."""
    input:
        **data_in("burgers_truth"),
    output:
        model=result_path("pinn_inverse", "networks.safetensors"),
        history=result_path("pinn_inverse", "networks.csv"),
    log:
        "logs/{scale}/pinns/pinn_inverse_networks.log",
    benchmark:
        "logs/{scale}/pinns/pinn_inverse_networks.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **site(),
        mem_mb=memory(2000),
        runtime=minutes("pinn_inverse"),
    params:
        spec=spec("pinn_inverse_networks"),
        checkpoints=lambda wildcards, output: os.path.join(
            os.path.dirname(output.model), "checkpoints"
        ),
        threads=1,
        device=CONFIG.device,
    shell:
        "python -m phasemill train pinn_inverse_networks --spec {params.spec:q} --data {input.zarr}"
        " --checkpoints {params.checkpoints} --history {output.history} --output {output.model}"
        " --threads {params.threads} --device {params.device} > {log} 2>&1"


rule pinn_inverse_evaluate:
    """Their errors and intervals beside least squares with the exact solver."""
    input:
        **data_in("burgers_truth"),
        models=rules.pinn_inverse_train.output.model,
        recorded=recorded("pinn_inverse"),
    output:
        **scores_out("pinn_inverse"),
    log:
        "logs/{scale}/pinns/pinn_inverse.log",
    benchmark:
        "logs/{scale}/pinns/pinn_inverse.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **site(),
        mem_mb=memory(2000),
        runtime=minutes("pinn_inverse"),
    params:
        spec=spec("pinn_inverse"),
        given=options("models", "recorded"),
        folder=folder,
        threads=1,
    shell:
        "python -m phasemill evaluate pinn_inverse --spec {params.spec:q} --data {input.zarr} {params.given}"
        " --output {params.folder} --scale {wildcards.scale} --threads {params.threads} > {log} 2>&1"
