"""The page of the speeds, `results/performance.html`, made from `results/performance.json` (`make bench`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from phasemill.core.errors import InputError
from phasemill.core.files import read_json
from phasemill.report import svg
from phasemill.report.page import Figure, Table, brief, render

REMEDY = "make it again with: make bench"


def comparisons(path: Path) -> dict[str, dict[str, Any]]:
    """By subject and peer, the ratios of the file and the milliseconds behind them.

    Raises InputError, one sentence, for a file that is not one of `make bench`.
    """
    found = _read(path)["comparisons"]
    for key, entry in found.items():
        if " against " not in key or not isinstance(entry.get("ratio"), int | float):
            raise InputError(f"{path}: '{key}' is no comparison; {REMEDY}")
    return dict(found)


def write_performance_page(path: Path, output: Path) -> Path:
    """Write the page of `path` to `output` and return it.

    Raises InputError as `comparisons`.
    """
    content = _read(path)
    machine, found, limits = content["machine"], comparisons(path), content["limits"]
    with TemporaryDirectory() as folder:
        figures = [
            _bars(Path(folder) / "ratios.svg", {key: entry["ratio"] for key, entry in found.items()}, 1.0),
            _bars(Path(folder) / "fractions.svg", {key: entry["fraction"] for key, entry in limits.items()}, 1.0),
        ]
    titles = (
        (
            "How many times faster than a peer",
            "Both in turn in one run on one core; the least of several rounds. Line: equal.",
        ),
        (
            "Fraction of what the core can do",
            "Line: the core's limit, the longer of the multiply-adds and the bytes of memory that are needed at least.",
        ),
    )
    return render(
        "performance.html.j2",
        output,
        machine=machine,
        figures=[Figure(title, caption, drawn) for drawn, (title, caption) in zip(figures, titles, strict=True)],
        tables=[_comparisons(found), _limits(limits), _machine(machine), *_others(content["others"])],
        data=content,
    )


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path} is missing; {REMEDY}")
    try:
        content = read_json(path)
    except ValueError as error:
        raise InputError(f"{path} cannot be read ({error}); {REMEDY}") from None
    sections = ("machine", "comparisons", "limits", "others")
    if not isinstance(content, dict) or not all(isinstance(content.get(name), dict) for name in sections):
        raise InputError(f"{path} is not a file of speeds with {', '.join(sections)}; {REMEDY}")
    return content


def _bars(path: Path, values: Mapping[str, float], line: float) -> svg.Inline:
    """Horizontal bars on a logarithmic axis, the longest on top, and a line at `line`."""
    from phasemill.core import figures

    ranked = sorted(values.items(), key=lambda item: item[1])
    with figures.style():
        fig, axes = figures.figure(1, 1, height=0.6 + 0.32 * len(ranked), width=9.5)
        ax = axes[0, 0]
        wings = sorted({key.split()[0] for key in values})
        colours = [figures.PALETTE[wings.index(key.split()[0]) % len(figures.PALETTE)] for key, _ in ranked]
        bars = ax.barh([key for key, _ in ranked], [value for _, value in ranked], color=colours, height=0.7)
        ax.bar_label(bars, [brief(value) for _, value in ranked], padding=3)
        ax.axvline(line, color=figures.INK, linewidth=1.0)
        ax.set(xscale="log")
        ax.margins(x=0.12)
        ax.tick_params(axis="y", labelsize="small")
        ax.grid(axis="y", visible=False)
        figures.save_svg(fig, path)
    return svg.inline(path.read_text(), f"{path.stem}-", path.stem)


def _comparisons(found: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = []
    for key, entry in sorted(found.items()):
        subject, _, peer = key.partition(" against ")
        rows.append([subject, peer, *(entry[name] for name in ("ratio", "ours_ms_min", "peer_ms_min", "rounds"))])
    columns = ["ours", "peer", "times faster", "ours (ms)", "peer (ms)", "rounds"]
    return Table(title="Against peers", columns=columns, rows=rows, note="The least of the rounds, on the clock.")


def _limits(limits: Mapping[str, Mapping[str, Any]]) -> Table:
    names = ("fraction", "limit", "ours_ns", "arithmetic_ns", "memory_ns")
    return Table(
        title="Against the machine",
        columns=["ours", "fraction of the limit", "limit", "ours (ns)", "arithmetic (ns)", "memory (ns)"],
        rows=[[key, *(entry[name] for name in names)] for key, entry in sorted(limits.items())],
        note="Per cell and step, or per point. Arithmetic: multiply-adds; memory: what has to be read and written.",
    )


def _machine(machine: Mapping[str, Any]) -> Table:
    rows: list[list[Any]] = [
        [f"multiply-adds, {kind}", value / 1e9, "10⁹ / s"]
        for kind, value in machine["multiply_adds_per_second"].items()
    ]
    rows += [[f"memory, {size} in use", value / 1e9, "GB / s"] for size, value in machine["bytes_per_second"].items()]
    return Table(title="What one core can do", columns=["", "measured", "unit"], rows=rows)


def _others(others: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    rows = [
        [key, name.replace("_", " "), ", ".join(map(str, value)) if isinstance(value, list) else value]
        for key, entry in sorted(others.items())
        for name, value in entry.items()
    ]
    return [Table(title="Besides", columns=["what", "", "measured"], rows=rows)] if rows else []
