# The grains wing: obstacle phase fields -> Zarr -> networks trained on the equation alone -> roll-outs.

# The benchmarks of one equation each: truth -> march -> gate -> recurrent network -> page.
for case in settings.GRAIN_CASES:

    rule:
        name:
            f"{case}_truth_simulate"
        output:
            zarr=directory(data_path(f"{case}_truth")),
            manifest=data_path(f"{case}_truth").replace(".zarr", ".json"),
        log:
            f"logs/{{scale}}/grains/simulate_{case}_truth.log",
        benchmark:
            f"logs/{{scale}}/grains/simulate_{case}_truth.tsv"
        priority: 2
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            **site(),
            mem_mb=memory(2000),
            runtime=minutes(case),
        params:
            job=f"{case}_truth",
            spec=spec(f"{case}_truth"),
            threads=1,
        shell:
            "python -m phasemill simulate {params.job} --spec {params.spec:q} --output {output.zarr}"
            " --threads {params.threads} > {log} 2>&1"

    # The feed-forward network marches through the intervals; it goes on from its checkpoint when run again.
    rule:
        name:
            f"{case}_march_train"
        input:
            zarr=ancient(data_path(f"{case}_truth")),
            manifest=data_path(f"{case}_truth").replace(".zarr", ".json"),
        output:
            model=result_path(case, "march.safetensors"),
            history=result_path(case, "march_history.csv"),
        log:
            f"logs/{{scale}}/grains/train_{case}_march.log",
        benchmark:
            f"logs/{{scale}}/grains/train_{case}_march.tsv"
        priority: 1
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            **site(),
            mem_mb=memory(3000),
            runtime=minutes(case),
        params:
            job=f"{case}_march",
            spec=spec(f"{case}_march"),
            checkpoints=lambda wildcards, output: output.model.replace(
                ".safetensors", "_checkpoints"
            ),
            threads=1,
            device=CONFIG.device,
        shell:
            "python -m phasemill train {params.job} --spec {params.spec:q} --data {input.zarr}"
            " --checkpoints {params.checkpoints} --history {output.history} --output {output.model}"
            " --threads {params.threads} --device {params.device} > {log} 2>&1"

    # The feed-forward network is validated before the recurrent one is trained on it.
    rule:
        name:
            f"{case}_gate"
        input:
            result_path(case, "march.safetensors"),
        output:
            result_path(case, "gate.json"),
        log:
            f"logs/{{scale}}/grains/gate_{case}.log",
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            **site(),
            mem_mb=memory(1000),
            runtime=short,
        shell:
            "python -m phasemill gate {input} --output {output} > {log} 2>&1"

    rule:
        name:
            f"{case}_stepper_train"
        input:
            zarr=ancient(data_path(f"{case}_truth")),
            manifest=data_path(f"{case}_truth").replace(".zarr", ".json"),
            march=result_path(case, "march.safetensors"),
            gate=result_path(case, "gate.json"),
        output:
            model=result_path(case, "stepper.safetensors"),
            history=result_path(case, "stepper_history.csv"),
        log:
            f"logs/{{scale}}/grains/train_{case}_stepper.log",
        benchmark:
            f"logs/{{scale}}/grains/train_{case}_stepper.tsv"
        priority: 1
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            **site(),
            mem_mb=memory(4000),
            runtime=minutes(case),
        params:
            job=f"{case}_stepper",
            spec=spec(f"{case}_stepper"),
            checkpoints=lambda wildcards, output: output.model.replace(
                ".safetensors", "_checkpoints"
            ),
            threads=1,
            device=CONFIG.device,
        shell:
            "python -m phasemill train {params.job} --spec {params.spec:q} --data {input.zarr} --start {input.march}"
            " --checkpoints {params.checkpoints} --history {output.history} --output {output.model}"
            " --threads {params.threads} --device {params.device} > {log} 2>&1"

    rule:
        name:
            f"{case}_evaluate"
        input:
            zarr=ancient(data_path(f"{case}_truth")),
            manifest=data_path(f"{case}_truth").replace(".zarr", ".json"),
            models=[
                result_path(case, f"{network}.safetensors")
                for network in ("march", "stepper")
            ],
        output:
            fields=directory(result_path(case, "fields.zarr")),
            manifest=result_path(case, "fields.json"),
            metrics=result_path(case, "metrics.json"),
            claims=result_path(case, "claims.csv"),
            provenance=result_path(case, "provenance.json"),
        log:
            f"logs/{{scale}}/grains/{case}.log",
        benchmark:
            f"logs/{{scale}}/grains/{case}.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            **site(),
            mem_mb=memory(3000),
            runtime=minutes(case),
        params:
            job=case,
            spec=spec(case),
            models=lambda wildcards, input: [
                word for model in input.models for word in ("--models", model)
            ],
            folder=lambda wildcards, output: os.path.dirname(output.metrics),
            threads=1,
        shell:
            "python -m phasemill evaluate {params.job} --spec {params.spec:q} --data {input.zarr} {params.models}"
            " --output {params.folder} --scale {wildcards.scale} --threads {params.threads} > {log} 2>&1"


# Polycrystals: truth -> recurrent network -> page.
rule grain_polycrystal_truth_simulate:
    output:
        zarr=directory(data_path("grain_polycrystal_truth")),
        manifest=data_path("grain_polycrystal_truth").replace(".zarr", ".json"),
    log:
        "logs/{scale}/grains/simulate_grain_polycrystal_truth.log",
    benchmark:
        "logs/{scale}/grains/simulate_grain_polycrystal_truth.tsv"
    priority: 2
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **site(),
        mem_mb=memory(2000),
        runtime=minutes("grain_polycrystal"),
    params:
        spec=spec("grain_polycrystal_truth"),
        threads=1,
    shell:
        "python -m phasemill simulate grain_polycrystal_truth --spec {params.spec:q} --output {output.zarr}"
        " --threads {params.threads} > {log} 2>&1"


rule grain_polycrystal_stepper_train:
    input:
        zarr=ancient(data_path("grain_polycrystal_truth")),
        manifest=data_path("grain_polycrystal_truth").replace(".zarr", ".json"),
    output:
        model=result_path("grain_polycrystal", "stepper.safetensors"),
        history=result_path("grain_polycrystal", "stepper_history.csv"),
    log:
        "logs/{scale}/grains/train_grain_polycrystal_stepper.log",
    benchmark:
        "logs/{scale}/grains/train_grain_polycrystal_stepper.tsv"
    priority: 1
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **site(),
        mem_mb=memory(4000),
        runtime=minutes("grain_polycrystal"),
    params:
        spec=spec("grain_polycrystal_stepper"),
        checkpoints=lambda wildcards, output: output.model.replace(
            ".safetensors", "_checkpoints"
        ),
        threads=1,
        device=CONFIG.device,
    shell:
        "python -m phasemill train grain_polycrystal_stepper --spec {params.spec:q} --data {input.zarr}"
        " --checkpoints {params.checkpoints} --history {output.history} --output {output.model}"
        " --threads {params.threads} --device {params.device} > {log} 2>&1"


rule grain_polycrystal_evaluate:
    input:
        zarr=ancient(data_path("grain_polycrystal_truth")),
        manifest=data_path("grain_polycrystal_truth").replace(".zarr", ".json"),
        model=result_path("grain_polycrystal", "stepper.safetensors"),
    output:
        fields=directory(result_path("grain_polycrystal", "fields.zarr")),
        manifest=result_path("grain_polycrystal", "fields.json"),
        metrics=result_path("grain_polycrystal", "metrics.json"),
        claims=result_path("grain_polycrystal", "claims.csv"),
        provenance=result_path("grain_polycrystal", "provenance.json"),
    log:
        "logs/{scale}/grains/grain_polycrystal.log",
    benchmark:
        "logs/{scale}/grains/grain_polycrystal.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **site(),
        mem_mb=memory(3000),
        runtime=minutes("grain_polycrystal"),
    params:
        spec=spec("grain_polycrystal"),
        folder=lambda wildcards, output: os.path.dirname(output.metrics),
        threads=1,
    shell:
        "python -m phasemill evaluate grain_polycrystal --spec {params.spec:q} --data {input.zarr} --models {input.model}"
        " --output {params.folder} --scale {wildcards.scale} --threads {params.threads} > {log} 2>&1"
