"""All checks and all estimates, as one screen or as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from phasemill import config as settings
from phasemill.core import limits
from phasemill.core.durations import duration
from phasemill.core.errors import InputError
from phasemill.core.run_times import Times
from phasemill.doctor import checks
from phasemill.doctor.checks import Check
from phasemill.doctor.plan import Estimate, Plan

MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("mend", "bold red")}
FOOTER = (
    "From an empty folder. ?: less than half is measured. ≤: a few jobs are not,\n"
    "and count with their limit on Slurm, or as others of their kind if small."
)


@dataclass(frozen=True)
class Report:
    """What the doctor found; `estimates`: scale -> target -> Estimate, `sources`: scale -> where its times are from."""

    checks: list[Check]
    estimates: dict[str, dict[str, Estimate]]
    sources: dict[str, str]

    @property
    def problems(self) -> list[Check]:
        """What must be mended before a run can start."""
        return [check for check in self.checks if check.state == "problem"]

    def as_json(self) -> dict[str, Any]:
        """The same for machines; seconds, not rounded."""
        estimates = {
            scale: {target: asdict(estimate) for target, estimate in targets.items()}
            for scale, targets in self.estimates.items()
        }
        return {
            "can_start": not self.problems,
            "checks": [asdict(check) for check in self.checks],
            "cores": limits.cores(),
            "sources": self.sources,
            "estimates": estimates,
        }


def examine(folder: Path) -> Report:
    """Look at the machine and at the checkout in `folder`; takes a few seconds."""
    found, config = checks.checkout(folder)
    if config is None:
        return Report([found, checks.cores(), checks.memory({}), checks.slurm()], {}, {})
    lock = checks.lock(folder)  # before our own Snakemake
    times = {scale: Times(scale, folder) for scale in settings.SCALES}
    with ThreadPoolExecutor() as pool:
        planning = pool.submit(Plan, config, settings.SCALES, folder)
        gpu = checks.gpu(config.device)
        cores = limits.cores()
        memory = {scale: sum(sorted(its.memory.values())[-cores:]) for scale, its in times.items() if its.memory}
        disk = {scale: float(its.disk) for scale, its in times.items() if its.disk}
        all_checks = [
            *checks.python(folder),
            checks.cores(),
            checks.memory(memory),
            gpu,
            checks.slurm(),
            checks.disk(disk, config.scale, folder),
            checks.folders(folder),
            found,
            lock,
        ]
        try:
            plan = planning.result()
        except InputError as error:
            return Report([*all_checks, Check("workflow", "problem", str(error), "mend what Snakemake names")], {}, {})
    estimates = {
        scale: {target: plan.estimate(target, scale, its.seconds, cores) for target in ("all", *settings.TARGETS)}
        for scale, its in times.items()
    }
    return Report(all_checks, estimates, {scale: _source(its) for scale, its in times.items()})


def _source(times: Times) -> str:
    """Where the times of a scale are from."""
    parts = [f"{times.here} jobs measured here"] if times.here else []
    if times.elsewhere:
        parts.append(f"{times.elsewhere} jobs recorded, times {times.ratio:.2g} for the speed of this machine")
    return "; ".join(parts) or "not measured"


def show(report: Report, console: Console) -> None:
    """Print the report for people: 80 columns."""
    console.print(_lines(report.checks))
    if report.estimates:
        console.print(_table(report.estimates))
        for scale, source in report.sources.items():
            console.print(Text(f"{scale:7}{source}", style="dim"))
        console.print(Text(FOOTER, style="dim"))
    problems = report.problems
    console.print(
        Text(f"{len(problems)} to be mended before a run can start", style="bold red")
        if problems
        else Text("A run can start: make run", style="bold green")
    )


def _lines(found: list[Check]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for check in found:
        word, style = MARKS[check.state]
        text = Text(check.text)
        if check.remedy:
            text.append(f"\n-> {check.remedy}", style="bold")
        table.add_row(Text(word, style=style), check.name, text)
    return table


def _table(estimates: dict[str, dict[str, Estimate]]) -> Table:
    """Two columns of wings, each wing with its benchmarks below it."""
    columns: list[list[str]] = [[], ["all"]]
    for wing in sorted(settings.WINGS, key=lambda wing: -len(settings.TARGETS[wing])):
        shorter = min(columns, key=len)
        shorter += [wing, *(name for name in settings.TARGETS[wing] if name != wing)]
    table = Table(box=None, padding=0, pad_edge=False, header_style="dim")
    for gap in (0, 2):
        width = {"smoke": 5, "laptop": 7, "paper": 6}
        table.add_column("target" if not gap else "  target", no_wrap=True)
        for scale in estimates:
            table.add_column(scale, justify="right", min_width=width[scale])
    for row in range(max(map(len, columns))):
        cells: list[RenderableType] = []
        for gap, names in enumerate(columns):
            cells += _cells(names[row], estimates, "  " * gap) if row < len(names) else [""] * 4
        table.add_row(*cells)
    return table


def _cells(target: str, estimates: dict[str, dict[str, Estimate]], gap: str) -> Iterator[Text]:
    style = "bold" if target == "all" or target in settings.WINGS else ""
    yield Text(gap + target, style=style)
    for targets in estimates.values():
        yield Text(cell(targets[target]), style=style if targets[target].measured else "dim")


def cell(estimate: Estimate) -> str:
    """An estimate as the table shows it."""
    bound = "" if estimate.measured else "≤"
    return bound + short(estimate.seconds) if estimate.known else "?"


def short(seconds: float) -> str:
    """A time in at most four characters, as narrow columns want it: 25s, 12m, 1.5h, 24h, 5d."""
    number, unit = duration(round(seconds), " ").split()
    value = float(number)
    return f"{value:.0f}{unit[0]}" if value >= 9.95 else f"{value:.2g}{unit[0]}"
