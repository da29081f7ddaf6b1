"""The gate between the two networks of a benchmark: the feed-forward one is validated before it teaches (Ansatz 2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phasemill.core.errors import InputError
from phasemill.core.files import write_json
from phasemill.core.weights import read_card


def gate(model: Path, output: Path) -> None:
    """Write how well all marches of a model file follow their equation, and refuse one that does not.

    What counts is the largest residual of an interval over that of no motion there: 0 at the solution, 1 where nothing
    moves. Raises InputError where it exceeds the limit `gate` of the benchmark.
    """
    card = read_card(model)
    if card.get("kind") != "march":
        raise InputError(f"{model} is not a march of the grains wing: give march.safetensors of a benchmark")
    (learn,) = (block for name, block in card["spec"].items() if name.endswith("_learn"))
    runs, limit = card["runs"], float(learn["gate"])
    shares = {name: shares_of(run) for name, run in runs.items()}
    worst = {name: max(found) for name, found in shares.items()}
    if failed := [name for name, share in worst.items() if not share <= limit]:
        name = failed[0]
        raise InputError(
            f"{model}: the march {name} has {worst[name]:.2g} times the residual of no motion in interval "
            f"{1 + shares[name].index(worst[name])}, above the gate {limit:g}: give it more iterations or waves, or "
            "raise the gate"
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


def shares_of(run: dict[str, Any]) -> list[float]:
    """The residual of each interval over that of no motion; 0 where nothing is left to move."""
    return [found / still if still else 0.0 for found, still in zip(run["residual"], run["still"], strict=True)]
