"""The gate between the two networks of a benchmark: the feed-forward one is validated before it teaches (Ansatz 2)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from phasemill.core.errors import InputError
from phasemill.core.files import write_json
from phasemill.core.model_files import read_card


def gate(model: Path, output: Path) -> None:
    """Write how well all marches of a model file follow their equation, and refuse one that does not.

    Raises InputError where the share of a march (see `share`) exceeds the limit `gate` of the benchmark.
    """
    card = read_card(model)
    if card.get("kind") != "march":
        raise InputError(f"{model} is not a march of the grains wing: give march.safetensors of a benchmark")
    (learn,) = (block for name, block in card["spec"].items() if name.endswith("_learn"))
    runs, limit = card["runs"], float(learn["gate"])
    shares = {name: share(run) for name, run in runs.items()}
    for name, found in shares.items():
        if not found <= limit:
            raise InputError(
                f"{model}: the march {name} has {found:.2g} times the residual of no motion, above the gate {limit:g}: "
                "give it more iterations or waves, or raise the gate"
            )
    write_json(
        output,
        {
            "limit": limit,
            "runs": {
                name: {"share": shares[name], "solved": sum(run["solved"]), "intervals": len(run["solved"])}
                for name, run in runs.items()
            },
        },
    )


def share(run: dict[str, Any]) -> float:
    """The rms residual of all intervals of a march over that of no motion: 0 at the solution, 1 where nothing moves."""
    return math.hypot(*run["residual"]) / math.hypot(*run["still"])
