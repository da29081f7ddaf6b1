"""Numbers of runs that are too long for every day: kept in small tracked files, shown on later pages as recorded.

    phasemill simulate spinodal_coarsening --spec "$SPEC" --output data/recorded/coarsening_64.zarr
    phasemill evaluate spinodal_long --spec "$SPEC" --data ... --output results/recorded/... --scale laptop
    phasemill record results/recorded/... -o results/recorded/spinodal/spinodal_long_64.json

A record holds what the page of that run shows in words and numbers, its parameters and its provenance, and no fields.
Its name begins with the benchmark to whose page it belongs; any benchmark may have some.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from phasemill.core.errors import InputError
from phasemill.core.files import read_json, write_json

FORMAT = "phasemill-record"
KEPT = ("benchmark", "scale", "title", "answer", "headline", "tables", "claims")


def keep(folder: Path, output: Path, title: str | None = None) -> Path:
    """Write the record of an evaluated benchmark's folder, under another title if several are to be told apart.

    Raises InputError where the folder has no metrics.json and provenance.json, or the name does not begin with the
    benchmark's.
    """
    metrics, provenance = read_json(folder / "metrics.json"), read_json(folder / "provenance.json")
    benchmark = metrics.get("benchmark") if isinstance(metrics, dict) else None
    if benchmark and not (output.name.startswith(f"{benchmark}_") and output.suffix == ".json"):
        raise InputError(f"{output}: name it {benchmark}_....json, so that its pages find it")
    if not (benchmark and {*KEPT, "metrics"} <= metrics.keys() and isinstance(provenance, list)):
        raise InputError(f"{folder}: metrics.json and provenance.json are not those of a benchmark; evaluate it again")
    tables = [table for table in metrics["tables"] if not table["title"].startswith(PREFIX)]
    kept = {key: metrics[key] for key in KEPT} | {"tables": tables} | ({"title": title} if title else {})
    spec = metrics["metrics"].get("spec")
    return write_json(output, {"format": FORMAT, **kept, "spec": spec, "provenance": provenance})


PREFIX = "Recorded: "


def load(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Records in the order of their names.

    Raises InputError for a file that is none.
    """
    records = []
    for path in sorted(paths):
        content = read_json(path)
        if not (
            isinstance(content, dict) and content.get("format") == FORMAT and {*KEPT, "provenance"} <= content.keys()
        ):
            raise InputError(f"{path} is no record of phasemill; make one with: phasemill record FOLDER -o {path}")
        records.append(content)
    return records


def tables(records: Sequence[dict[str, Any]], shown: Sequence[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """The tables of each record for a page, marked as recorded, with when and how it was made; none that it has."""
    known = [(table["title"], table["rows"]) for table in shown]
    found = []
    for record in records:
        keys = ("label", "value", "unit", "note")
        summary = {
            "title": PREFIX + record["title"],
            "columns": ["quantity", "value", "unit", "note"],
            "rows": [[line.get(key, "") for key in keys] for line in record["headline"]],
            "note": f"{record['answer']} {how(record)}",
        }
        found.append(summary)
        for table in record["tables"]:
            if (table["title"], table["rows"]) not in known:
                title = f"{summary['title']} - {table['title']}"
                found.append({**table, "title": title, "note": f"{table['note']} From a recorded run, see above."})
    return found


def append(metrics: dict[str, Any], records: Sequence[dict[str, Any]]) -> None:
    """Add the tables of records and their values of claims to what an evaluation returned."""
    metrics["tables"] += tables(records, metrics["tables"])
    notes = metrics.setdefault("claim_notes", {})
    for claim, note in claim_notes(records).items():
        if claim in metrics["claims"]:
            notes[claim] = f"{notes.get(claim, '')} {note}".strip()


def claim_notes(records: Sequence[dict[str, Any]]) -> dict[str, str]:
    """For each claim that recorded runs measured, a sentence with their values."""
    notes: dict[str, str] = {}
    for record in records:
        for claim, value in record["claims"].items():
            if value is not None:
                notes[claim] = f"{notes.get(claim, '')} Recorded run ({record['title']}): {value:.4g}.".strip()
    return notes


def how(record: dict[str, Any]) -> str:
    """When, by which commands, in which time and from which commit a record was made."""
    stages = [stage for stage in record["provenance"] if stage["stage"].split()[0] in ("simulate", "evaluate")]
    commands = "; ".join(f"{stage['command']} ({stage['cpu_seconds']:.0f} core-seconds)" for stage in stages)
    last = stages[-1]
    commit = last["git_commit"][:10] + (" with changes" if last.get("git_dirty") else "")
    return f"Recorded {last['started'][:10]}, not made by this run: {commands}; commit {commit}."
