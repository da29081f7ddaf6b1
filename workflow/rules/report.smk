# Figures and pages, the same for every benchmark of every wing.


rule draw:
    """Figures of a benchmark, from its stored fields and metrics."""
    input:
        fields=ancient("results/{scale}/{wing}/{benchmark}/fields.zarr"),
        manifest="results/{scale}/{wing}/{benchmark}/fields.json",
        metrics="results/{scale}/{wing}/{benchmark}/metrics.json",
    output:
        figures=report(
            directory("results/{scale}/{wing}/{benchmark}/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category="{wing}",
            subcategory="{benchmark}",
            labels={"figure": "{figure}", "scale": "{scale}"},
        ),
    log:
        "logs/{scale}/{wing}/draw_{benchmark}.log",
    benchmark:
        "logs/{scale}/{wing}/draw_{benchmark}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **site(),
        mem_mb=memory(2000),
        runtime=short,
    shell:
        "python -m phasemill draw {wildcards.benchmark} results/{wildcards.scale}/{wildcards.wing}/{wildcards.benchmark}"
        " --output {output.figures} > {log} 2>&1"


rule page:
    """report.html of a benchmark."""
    input:
        figures=ancient(rules.draw.output.figures),
        metrics="results/{scale}/{wing}/{benchmark}/metrics.json",
        claims="results/{scale}/{wing}/{benchmark}/claims.csv",
        provenance="results/{scale}/{wing}/{benchmark}/provenance.json",
    output:
        report(
            "results/{scale}/{wing}/{benchmark}/report.html",
            caption="../report/page.rst",
            category="{wing}",
            subcategory="{benchmark}",
            labels={"figure": "page", "scale": "{scale}"},
        ),
    log:
        "logs/{scale}/{wing}/page_{benchmark}.log",
    benchmark:
        "logs/{scale}/{wing}/page_{benchmark}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **site(),
        mem_mb=memory(1000),
        runtime=short,
    shell:
        "python -m phasemill report results/{wildcards.scale}/{wildcards.wing}/{wildcards.benchmark} > {log} 2>&1"


rule index:
    """The summary page of a scale."""
    input:
        pages=[results(benchmark, "report.html") for benchmark in CONFIG.run],
        statistics=rules.transport_statistics.output,
    output:
        report(
            "results/{scale}/index.html",
            caption="../report/index.rst",
            category="summary",
            labels={"figure": "summary page", "scale": "{scale}"},
        ),
    log:
        "logs/{scale}/index.log",
    benchmark:
        "logs/{scale}/index.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **site(),
        mem_mb=memory(1000),
        runtime=short,
    params:
        folders=[results(benchmark, "") for benchmark in CONFIG.run],
    shell:
        "python -m phasemill index {params.folders} --output {output} --scale {wildcards.scale} > {log} 2>&1"
