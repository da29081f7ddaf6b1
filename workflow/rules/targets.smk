# The names that people type. A target stands at the active scale; a path (results/smoke/index.html) at its own.


rule all:
    """Everything of the active scale, ending in results/{scale}/index.html (the default)."""
    default_target: True
    input:
        f"results/{CONFIG.scale}/index.html",
    localrule: True


rule truth:
    """All data sets of the active scale."""
    input:
        f"data/{CONFIG.scale}/transport/voronoi_heat.json",
        f"data/{CONFIG.scale}/transport/voronoi_heat.statistics.json",
    localrule: True


rule models:
    """All trained models of the active scale."""
    input:
        f"results/{CONFIG.scale}/transport/transport_trained/model.safetensors",
    localrule: True


# One target for each benchmark and one for each wing.
for target, benchmarks in settings.TARGETS.items():

    rule:
        name:
            target
        input:
            [results(name, "report.html", CONFIG.scale) for name in benchmarks],
        localrule: True
