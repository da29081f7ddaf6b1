#!/bin/sh
# `snakemake`, `python` and `bash` run as they are, anything else is a verb of phasemill. The workflow comes into the
# working folder when snakemake runs there for the first time; nothing that is there already is replaced.
set -eu
home=${PHASEMILL_HOME:-/opt/phasemill}
case "${1:-}" in
snakemake)
    if [ ! -e Snakefile ]; then
        mkdir -p results
        cp -rL "$home/Snakefile" "$home/environment.yml" "$home/workflow" "$home/config" "$home/profiles" "$home/slurm" .
        cp -rL "$home/results/recorded" results/
    fi
    exec "$@"
    ;;
python | bash) exec "$@" ;;
*) exec phasemill "$@" ;;
esac
