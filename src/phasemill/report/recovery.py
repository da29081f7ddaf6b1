"""The page about one recovered video: `recovery.html`, made from `recovery.json` and the figures beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from phasemill.core.files import read_json
from phasemill.report import svg
from phasemill.report.page import Figure, Table, provenance_table, render


def write_recovery_page(folder: Path, figures: Sequence[dict[str, str]]) -> Path:
    """Write `recovery.html` into `folder` and return its path.

    Arguments:
        folder: holds `recovery.json` and `figures/`.
        figures: file, title and caption of each, in the order of the page.
    """
    content = read_json(folder / "recovery.json")
    result: dict[str, Any] = content["recovery"]
    drawn = [
        Figure(
            entry["title"],
            entry["caption"],
            svg.inline((folder / "figures" / entry["file"]).read_text(), f"f{n}-", entry["title"]),
        )
        for n, entry in enumerate(figures)
    ]
    return render(
        "recovery.html.j2",
        folder / "recovery.html",
        result=result,
        figures=drawn,
        tables=_tables(result),
        provenance=provenance_table([content["provenance"]]),
        data=content,
    )


def _tables(result: dict[str, Any]) -> list[Table]:
    names = [item["name"] for item in result["coefficients"]]
    truths = any(item["truth"] is not None for item in result["coefficients"])
    coefficients = Table(
        title="Coefficients",
        columns=["coefficient", "value", "sigma", *(["truth"] if truths else [])],
        rows=[
            [item["name"], item["value"], item["sigma"], *([item["truth"]] if truths else [])]
            for item in result["coefficients"]
        ],
        note=f"By {result['method']}. One standard deviation; units follow from those of dx and dt.",
    )
    missing = Table(
        title="Terms that may be missing",
        columns=["term", "what it would mean", "coefficient / sigma", "share of the rate of change", "needed"],
        rows=[
            [item["term"], item["meaning"], round(item["t"], 2), f"{100 * item['share']:.2f} %", item["needed"]]
            for item in result["missing"]
        ],
    )
    estimates = Table(
        title="By each method",
        columns=["method", *(word for name in names for word in (name, f"sigma of {name}"))],
        rows=[
            [item["method"], *(x for pair in zip(item["values"], item["sigmas"], strict=True) for x in pair)]
            for item in result["estimates"]
            if len(item["values"]) == len(names)
        ],
    )
    return [coefficients, missing, estimates]
