# phasemill: simulate -> train -> evaluate -> report, for every wing. `snakemake --list-target-rules` names the targets.
from snakemake.utils import min_version

min_version("9.20")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


# one file of rules per wing
for wing in settings.WINGS:

    include: f"workflow/rules/{wing}.smk"


include: "workflow/rules/report.smk"
include: "workflow/rules/targets.smk"
