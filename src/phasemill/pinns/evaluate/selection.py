"""What is read off a training: its errors under each rule of selection, its losses, weights and norms.

final       the last parameters
best        the lowest error on the reference among every 250th epoch: the rule of the published code, which looks
            at the answer
lowest      the parameters with the lowest weighted loss at a check: an honest rule
mean        the running mean of the parameters at the end
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.blocks import Block
from phasemill.core.errors import InputError
from phasemill.core.model_files import load_tensors
from phasemill.pinns.config.runs import AUTHORS

Floats = NDArray[np.float64]

RULES = ("final", "best", "lowest", "mean")


@dataclass(frozen=True)
class Trained:
    """One training: its row, the number of its seed, parameters, and history by column."""

    row: str
    seed: int
    theta: NDArray[Any]
    history: Mapping[str, Floats]

    def last(self, name: str) -> float:
        """A column at the end."""
        return float(self.history[name][-1])

    def settled(self, name: str) -> float:
        """Median of a column over the last quarter: at a constant learning rate single values leap."""
        column = self.history[name]
        return float(np.median(column[-max(1, len(column) // 4) :]))

    def error(self, rule: str) -> float:
        """Relative L2 error by a rule of selection."""
        error, step = self.history["error"], self.history["step"]
        if rule == "final":
            return float(error[-1])
        if rule == "best":
            seen = error[step % AUTHORS == 0]
            return float(seen.min() if seen.size else error.min())
        if rule == "lowest":
            return float(error[np.argmin(self.history["now"])])
        return self.last("error_mean")

    def balance(self, term: str) -> float:
        """rho = weight |g| / |g_pde| at the end: 1 where the term pulls as hard as the equation."""
        return float(self.balances(term)[-1])

    def balances(self, term: str) -> Floats:
        """rho at each check."""
        pulls = [self.history[f"weight_{name}"] * self.history[f"norm_{name}"] for name in (term, "pde")]
        found: Floats = pulls[0] / pulls[1]
        return found

    def first_below(self, error: float) -> float | None:
        """Epochs to an error, at the checks; None if never."""
        found = np.flatnonzero(self.history["error"] < error)
        return float(self.history["step"][found[0]]) if found.size else None


def check_kind(path: Path, card: Mapping[str, Any], kind: str) -> None:
    """Raises InputError for the model file of another job."""
    if card.get("kind") != kind:
        raise InputError(f"{path} holds {card.get('kind')}, not {kind}; give the files that its own rule makes")


def check_origin(path: Path, card: Mapping[str, Any], part: str, settings: Block, data: Path) -> None:
    """Raises InputError for a model that was trained with other data, or other settings of this part of its job."""
    if card["spec"][part] != settings.model_dump() or card["data_digest"] != store.digest(data):
        raise InputError(f"{path} was trained with other settings or data; train again, or give what it was made with")


def read(paths: Iterable[Path], kind: str) -> tuple[dict[str, list[Trained]], list[dict[str, Any]]]:
    """All trainings by row, seeds in order, and the cards of their files.

    Raises InputError for files of another problem, and for a training that is there twice.
    """
    rows: dict[str, list[Trained]] = {}
    cards: list[dict[str, Any]] = []
    for path in paths:
        tensors, card = load_tensors(path)
        check_kind(path, card, kind)
        if twice := {label for its in cards for label in its["runs"]} & set(card["runs"]):
            raise InputError(f"{path} holds {min(twice)} a second time; give each part once")
        cards.append(card)
        for label, facts in card["runs"].items():
            columns = tensors[f"{label}.history"].numpy().T
            history = dict(zip(facts["columns"], columns, strict=True))
            theta = tensors[f"{label}.theta"].numpy()
            rows.setdefault(facts["row"], []).append(Trained(facts["row"], facts["seed"], theta, history))
    for trainings in rows.values():
        trainings.sort(key=lambda one: one.seed)
    return rows, cards


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard error; no error of a single one."""
    several = np.asarray(values, dtype=np.float64)
    return float(several.mean()), float(several.std(ddof=1) / np.sqrt(len(several))) if len(several) > 1 else None


def median(trainings: Sequence[Trained], name: str) -> float:
    """Of a column's last quarter, over the seeds."""
    return float(np.median([one.settled(name) for one in trainings]))
