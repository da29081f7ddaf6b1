# The names that people type. A target stands at the active scale; a path (results/smoke/index.html) at its own.
# Stores stand beside what is made of them, so that a lost one is made again.


rule truth:
    """All data sets of the active scale."""
    input:
        data_files(),
    localrule: True


rule models:
    """All trained models of the active scale."""
    input:
        CONFIG.models(CONFIG.scale),
    localrule: True


rule all:
    """Everything of the active scale, ending in results/{scale}/index.html (the default)."""
    default_target: True
    input:
        f"results/{CONFIG.scale}/index.html",
        # a shorter `run` makes no data but its own
        data_files() if set(CONFIG.run) == set(settings.BENCHMARKS) else [],
        benchmark_files(CONFIG.run),
    localrule: True


# One target for each benchmark and one for each wing.
for target, benchmarks in settings.TARGETS.items():

    rule:
        name:
            target
        input:
            benchmark_files(benchmarks),
        localrule: True
