"""Values of the paper's claims, from the trainings of a problem; None where its rows or seeds are not there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy import stats

from phasemill.pinns.config.compared import Compared
from phasemill.pinns.evaluate.selection import Trained, median

Rows = Mapping[str, list[Trained]]
Costs = Mapping[str, Mapping[str, float]]
Value = float | None

LEADING = {"burgers": "ic", "poisson": "bc", "allen_cahn": "ic"}
"""The term of which the paper shows most."""

ENOUGH = 8
"""Seeds below which a test that finds no difference says nothing."""

TABLED = ("fixed", *(f"{scheme}_{beta}" for scheme in ("ma", "id", "dn") for beta in ("0.9", "0.99")))
NORMS = tuple(f"dn_{beta}_{p}" for beta in ("0.9", "0.99") for p in ("p1", "pinf"))


def claims(name: str, rows: Rows, costs: Costs, compared: Compared) -> dict[str, Value]:
    """claim id -> value."""
    term = LEADING[name]
    found: dict[str, Value] = {row: _of(rows, row, lambda its: _mean(its, "best")) for row in (*TABLED, *NORMS)}
    found |= {
        "dn_like_id": _ratio(rows, "dn_0.99", "id_0.99", lambda its: _mean(its, "best")),
        "dn_like_id_weight": _ratio(rows, "dn_0.99", "id_0.99", lambda its: median(its, f"weight_{term}")),
        "balanced": _ratio(rows, "fixed", "dn_0.99", lambda its: _imbalance(its, term)),
        "condition_loss": _ratio(rows, "fixed", "dn_0.99", lambda its: median(its, f"now_{term}")),
        "overhead": 100 * (costs["dn_0.99"]["ratio"] - 1) if {"dn_0.99", "fixed"} <= set(costs) else None,
        "p_norms": _spread(rows),
        "selected": _of(
            rows, "dn_0.99", lambda its: float(np.median([one.error("best") / one.error("final") for one in its]))
        ),
    }
    own = {"burgers": _burgers, "poisson": _poisson, "allen_cahn": _allen_cahn}[name](rows, compared)
    return {f"pinns.{name}.{key.replace('.', '_')}": value for key, value in (found | own).items()}


def _burgers(rows: Rows, compared: Compared) -> dict[str, Value]:
    errors = {row: [one.error("best") for one in its] for row, its in rows.items() if len(its) > 1}
    several = {"fixed", "dn_0.99"} <= set(errors) and min(len(errors["fixed"]), len(errors["dn_0.99"])) >= ENOUGH
    spread = {"dn_0.9", "dn_0.99"} <= set(errors)
    return {
        "equation_loss": _ratio(rows, "dn_0.99", "fixed", lambda its: median(its, "now_pde")),
        "no_gain": float(stats.ttest_ind(errors["fixed"], errors["dn_0.99"], equal_var=False).pvalue)
        if several
        else None,
        "worse_than_none": _ratio(rows, "dn_0.9", "fixed", lambda its: _mean(its, "best")),
        "unstable": float(np.std(errors["dn_0.9"], ddof=1) / np.std(errors["dn_0.99"], ddof=1)) if spread else None,
        "restless": _ratio(rows, "dn_0.9", "dn_0.99", lambda its: float(np.median([_restless(one) for one in its]))),
    }


def _poisson(rows: Rows, compared: Compared) -> dict[str, Value]:
    return {
        "rescued": _ratio(rows, "fixed", "dn_0.99", lambda its: _mean(its, "best")),
        "rescued_final": _ratio(rows, "fixed", "dn_0.99", lambda its: _mean(its, "final")),
        "beats_ma": _ratio(rows, "ma_0.99", "dn_0.99", lambda its: _mean(its, "best")),
        "ma_balance": _of(rows, "ma_0.99", lambda its: float(np.median([one.balance("bc") for one in its]))),
        "delay": _delay(rows, "", compared.reached),
        "delay_corrected": _delay(rows, "_corrected", compared.reached),
    }


def _allen_cahn(rows: Rows, compared: Compared) -> dict[str, Value]:
    def stuck(its: list[Trained]) -> float:
        return float(np.mean([one.error("best") > compared.stuck for one in its]))

    return {
        "stuck": _of(rows, "fixed", stuck),
        "weighted_stuck": _of(rows, "dn_0.99", stuck),
        "beats_ma": _ratio(rows, "ma_0.99", "dn_0.99", lambda its: _mean(its, "best")),
        "ma_weight": _ratio(rows, "ma_0.99", "dn_0.99", lambda its: median(its, "weight_ic")),
        "periodic": max((median(its, "weight_bc") for row, its in rows.items() if "everywhere" in row), default=None),
    }


def _imbalance(its: list[Trained], term: str) -> float:
    """|log rho| of the geometric mean over the last quarter of the trainings: 0 where the gradients are balanced."""
    return float(
        np.median([abs(np.log(one.balances(term)[-max(1, len(one.history["step"]) // 4) :]).mean()) for one in its])
    )


def _mean(its: list[Trained], rule: str) -> float:
    return float(np.mean([one.error(rule) for one in its]))


def _of(rows: Rows, row: str, value: Callable[[list[Trained]], float]) -> Value:
    return value(rows[row]) if row in rows else None


def _ratio(rows: Rows, above: str, below: str, value: Callable[[list[Trained]], float]) -> Value:
    over, under = _of(rows, above, value), _of(rows, below, value)
    return over / under if over is not None and under else None


def _spread(rows: Rows) -> Value:
    """Largest over smallest mean error among the orders of the norm."""
    some = [_mean(rows[row], "best") for row in ("dn_0.99_p1", "dn_0.99", "dn_0.99_pinf") if row in rows]
    return max(some) / min(some) if len(some) == 3 else None


def _restless(one: Trained) -> float:
    """Standard deviation of log10 of the first weighted term's weight over the last half of a training."""
    weights = one.history["weight_ic"]
    return float(np.log10(weights[len(weights) // 2 :]).std())


def _delay(rows: Rows, kind: str, reached: float) -> Value:
    """Epochs to the error with beta .999 over those with .99, medians."""
    epochs = []
    for beta in ("0.999", "0.99"):
        its = rows.get(f"dn_{beta}{kind}", [])
        there = [one.first_below(reached) for one in its]
        if not there or (None in there and (beta == "0.99" or kind)):
            return None
        # A slow row that never gets there took at least all its epochs.
        epochs.append(
            float(np.median([one.last("step") if at is None else at for one, at in zip(its, there, strict=True)]))
        )
    return epochs[0] / epochs[1]
