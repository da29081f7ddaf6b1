"""The gate between the two networks of a benchmark: the feed-forward one is validated before it teaches (Ansatz 2)."""

from __future__ import annotations

from pathlib import Path

from phasemill.core.errors import InputError
from phasemill.core.files import write_json
from phasemill.core.weights import read_card


def gate(model: Path, output: Path) -> None:
    """Write the residuals of all marches of a model file, and refuse one that has not followed its equation.

    Raises InputError where an interval's residual exceeds the limit `marching.gate`.
    """
    card = read_card(model)
    if card.get("kind") != "march":
        raise InputError(f"{model} is not a march of the grains wing: give march.safetensors of a benchmark")
    runs, limit = card["runs"], float(card["spec"]["marching"]["gate"])
    worst = {name: max(run["residual"]) for name, run in runs.items()}
    if failed := [name for name, residual in worst.items() if not residual <= limit]:
        number = 1 + max(range(len(runs[failed[0]]["residual"])), key=runs[failed[0]]["residual"].__getitem__)
        raise InputError(
            f"{model}: the march {failed[0]} has a residual of {worst[failed[0]]:.2g} in interval {number}, above "
            f"marching.gate = {limit:g}: give it more iterations or waves (learn), or raise the gate"
        )
    write_json(
        output,
        {
            "limit": limit,
            "runs": {
                name: {"worst": worst[name], "solved": sum(run["solved"]), "intervals": len(run["solved"])}
                for name, run in runs.items()
            },
        },
    )
