# Statistics, figures and pages: the same for every data set and every benchmark of every wing.


rule statistics:
    """Statistics of a data set, with dask."""
    input:
        zarr=ancient("data/{scale}/{wing}/{dataset}.zarr"),
        manifest="data/{scale}/{wing}/{dataset}.json",
    output:
        "data/{scale}/{wing}/{dataset}.statistics.json",
    log:
        "logs/{scale}/{wing}/statistics_{dataset}.log",
    benchmark:
        "logs/{scale}/{wing}/statistics_{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **site(),
        mem_mb=memory(2000),
        runtime=short,
    params:
        threads=1,
    shell:
        "python -m phasemill statistics --data {input.zarr} --output {output} --threads {params.threads} > {log} 2>&1"


rule draw:
    """Figures of a benchmark, from its stored fields, metrics and claims."""
    input:
        fields=ancient("results/{scale}/{wing}/{benchmark}/fields.zarr"),
        manifest="results/{scale}/{wing}/{benchmark}/fields.json",
        metrics="results/{scale}/{wing}/{benchmark}/metrics.json",
        claims="results/{scale}/{wing}/{benchmark}/claims.csv",
    output:
        figures=report(
            directory("results/{scale}/{wing}/{benchmark}/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category="{wing}",
            subcategory="{benchmark}",
            labels={"figure": "{figure}", "scale": "{scale}"},
        ),
        list="results/{scale}/{wing}/{benchmark}/figures.json",
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
        " --output {output.list} > {log} 2>&1"


rule page:
    """report.html of a benchmark."""
    input:
        figures=ancient(rules.draw.output.figures),
        list=rules.draw.output.list,
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


rule summary:
    """What the summary page of a scale shows, gathered from the stored results of all benchmarks."""
    input:
        fields=ancient(
            [result_path(benchmark, "fields.zarr") for benchmark in CONFIG.run]
        ),
        manifests=[result_path(benchmark, "fields.json") for benchmark in CONFIG.run],
        metrics=[result_path(benchmark, "metrics.json") for benchmark in CONFIG.run],
        provenance=[
            result_path(benchmark, "provenance.json") for benchmark in CONFIG.run
        ],
        performance=measured_speeds(),
    output:
        json="results/{scale}/summary.json",
        figures=directory("results/{scale}/summary"),
    log:
        "logs/{scale}/summary.log",
    benchmark:
        "logs/{scale}/summary.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **site(),
        mem_mb=memory(2000),
        runtime=short,
    params:
        folders=[
            os.path.dirname(result_path(benchmark, "fields.zarr"))
            for benchmark in CONFIG.run
        ],
        options=options("performance"),
    shell:
        "python -m phasemill summarise {params.folders} --output {output.json} --scale {wildcards.scale}"
        " {params.options} > {log} 2>&1"


rule index:
    """The summary page of a scale."""
    input:
        pages=[result_path(benchmark, "report.html") for benchmark in CONFIG.run],
        figures=ancient(rules.summary.output.figures),
        summary=rules.summary.output.json,
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
        folders=[
            os.path.dirname(result_path(benchmark, "report.html"))
            for benchmark in CONFIG.run
        ],
    shell:
        "python -m phasemill index {params.folders} --output {output} --scale {wildcards.scale} > {log} 2>&1"
