# phasemill: simulate -> train -> evaluate -> report, for every wing. `snakemake --list-target-rules` names the targets.
from pathlib import Path

from snakemake.utils import min_version

min_version("9.20")


configfile: "config/config.yaml"


if Path("config/site.yaml").exists():  # settings of your own site, not tracked by git

    configfile: "config/site.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/transport.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/targets.smk"
