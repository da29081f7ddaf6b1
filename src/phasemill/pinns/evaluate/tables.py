"""Tables and sentences of the paper's comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from phasemill.pinns.config.runs import AUTHORS, Runs
from phasemill.pinns.evaluate.selection import RULES, Trained, mean_and_error, median

Scores = Mapping[str, Mapping[str, Any]]
Table = dict[str, Any]

UNTRAINED = 0.9
"""A relative error above which u is about 0."""

TERMS = {"pde": "equation", "ic": "initial", "bc": "boundary"}


def errors(name: str, scores: Scores, settings: Runs) -> Table:
    """Mean and standard error of the relative L2 error under each rule, and the claim that has the paper's mean."""
    rows = []
    for row, score in scores.items():
        line: list[Any] = [words(row), len(score["seeds"])]
        for rule in RULES:
            line += mean_and_error(score["error"][rule])
        rows.append(line)
    columns = ["weighting", "seeds"]
    for rule in ("last", "best on test", "lowest loss", "running mean"):
        columns += [rule, "+-"]
    return {
        "title": "Relative L2 error",
        "columns": columns,
        "rows": rows,
        "claims": [f"pinns.{name}.{row.replace('.', '_')}" for row in scores],
        "note": (
            f"Means over the seeds and their standard errors after {settings.epochs} epochs. Best on test: the lowest "
            f"error on the reference among every {AUTHORS}th epoch, as the published code selects, which looks at the "
            "answer. Lowest loss: where the weighted loss is lowest. Running mean: of the parameters; where the rate "
            "stays constant and the weights still rise it lags behind. Paper: mean of its ten seeds at its own number "
            "of epochs; with its standard error among the claims."
            + (
                " SoftAdapt's weights differ by less than the factor exp(beta), so that with 0.1 they hardly act."
                if any(row.startswith("softadapt") for row in scores)
                else ""
            )
        ),
    }


def terms(scores: Scores, settings: Runs) -> Table:
    """Losses, weights and balance of the terms at the end."""
    rows = []
    for row, score in scores.items():
        for term, word in TERMS.items():
            if term in score:
                own = {key: float(np.median(values)) for key, values in score[term].items()}
                rows.append(
                    [
                        words(row), word, own["loss"], own["weight"], own["balance"], own["std_ratio"],
                        own["cosine"] if term != "pde" else None,
                    ]
                )  # fmt: skip
    return {
        "title": "Terms of the loss at the end",
        "columns": ["weighting", "term", "loss", "weight", "norm / equation's", "spread / equation's", "cosine"],
        "rows": rows,
        "note": (
            "Medians over the seeds. Loss: without its weight, median of the last quarter, since single values leap; "
            "the others at the last epoch's parameters. Norm and spread: of the weighted gradient over those of the "
            "equation's; 1 is balance. Cosine: of the angle to the equation's gradient."
        ),
    }


def regions(found: Mapping[str, Mapping[str, list[float]]], where: str) -> Table:
    """Errors inside and outside of the region that the paper names."""
    rows = [
        [words(row), float(np.median(its["inside"])), float(np.median(its["outside"]))] for row, its in found.items()
    ]
    return {
        "title": f"Relative L2 error where {where}" if not where.startswith("within") else f"Relative L2 error {where}",
        "columns": ["weighting", "there", "elsewhere"],
        "rows": rows,
        "note": "Medians over the seeds, last parameters.",
    }


def epochs(scores: Scores, settings: Runs, reached: float) -> Table:
    """Epochs to an error."""
    rows = []
    for row, score in scores.items():
        there = [value for value in score["reached"] if value is not None]
        rows.append(
            [
                words(row),
                f"{len(there)} of {len(score['reached'])}",
                float(np.median(there)) if len(there) == len(score["reached"]) else f"not in {settings.epochs}",
            ]
        )
    return {
        "title": f"Epochs to a relative error of {reached:g}",
        "columns": ["weighting", "seeds there", "epochs"],
        "rows": rows,
        "note": f"Medians, where all seeds get there; looked at every {settings.check} epochs.",
    }


def overhead(costs: Mapping[str, Mapping[str, float]], settings: Runs) -> Table:
    """CPU time of an epoch."""
    rows = [[words(row), 1e3 * cost["seconds"], 100 * (cost["ratio"] - 1)] for row, cost in costs.items()]
    return {
        "title": "Cost of an epoch",
        "columns": ["weighting", "ms", "more than unweighted, %"],
        "rows": rows,
        "note": (
            "CPU time on one core; the rows take turns in one run, medians. Each term has its own gradient anyway; "
            "what a weighting adds are norms every tau epochs"
            + ("" if settings.batch is None else ", and the equation's gradient at all points once every tau epochs")
            + "."
        ),
    }


def words(row: str) -> str:
    """A row's name as it is read: DN 0.99, p = inf, corrected."""
    names = {
        "fixed": "none", "dn": "DN", "id": "ID", "ma": "MA", "ma14": "MA", "softadapt": "SoftAdapt",
        "gradnorm": "GradNorm",
    }  # fmt: skip
    scheme, *rest = row.split("_")
    found = [" ".join([names[scheme], *rest[:1]]), *(["eq. 14"] if scheme == "ma14" else [])]
    for part in rest[1:]:
        found.append(f"p = {part[1:]}" if part.startswith("p") else part.replace("tau", "tau = "))
    return ", ".join(found)


def answer(name: str, rows: Mapping[str, list[Trained]], costs: Mapping[str, Mapping[str, float]]) -> str:
    """The result in a sentence."""
    final = {row: [one.error("final") for one in its] for row, its in rows.items()}
    mean = {row: float(np.mean(errors)) for row, errors in final.items()}
    best = min(mean, key=lambda row: mean[row])
    if mean[best] > UNTRAINED:
        sentence = f"All errors are still about 1: after so few steps no weighting has left u near 0 ({mean[best]:.3g})"
    else:
        sentence = f"The lowest mean error of the last parameters, {mean[best]:.2g}, is left by {words(best)}"
        if "fixed" in mean and best != "fixed":
            sentence += (
                f"; without weights it is {mean['fixed']:.2g}, {_times(mean['fixed'] / mean[best])} times as much"
            )
        if "fixed" in mean and best != "fixed" and not apart(final["fixed"], final[best]):
            sentence += ", which so few seeds cannot tell apart"
    if "dn_0.99" in rows and "fixed" in rows:
        term = "ic" if name != "poisson" else "bc"
        ratio = median(rows["fixed"], f"now_{term}") / median(rows["dn_0.99"], f"now_{term}")
        change = f"{_times(ratio)} times smaller" if ratio >= 1 else f"{_times(1 / ratio)} times larger"
        sentence += f". DN 0.99 makes the {TERMS[term]} loss {change}"
        more = 100 * (costs["dn_0.99"]["ratio"] - 1)
        sentence += f" and costs {more:.1f} % more time" if more > 0 else " and costs no more time than was measurable"
    return f"{sentence}."


def _times(ratio: float) -> str:
    """Two digits, as a person writes them: 2.5, 18,000."""
    return f"{float(f'{ratio:.2g}'):,g}"


def apart(some: Sequence[float], others: Sequence[float]) -> bool:
    """Whether two means differ by more than twice their common standard error; never with a single seed."""
    (one, its), (other, theirs) = mean_and_error(some), mean_and_error(others)
    return its is not None and theirs is not None and abs(one - other) > 2 * float(np.hypot(its, theirs))


def headline(name: str, rows: Mapping[str, list[Trained]], found: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Errors of the rows that the paper's abstract is about."""
    lines = []
    for row in ("fixed", "ma_0.99", "id_0.99", "dn_0.99"):
        if row in rows:
            mean, error = mean_and_error([one.error("best") for one in rows[row]])
            note = "one seed" if error is None else f"+- {error:.2g}, {len(rows[row])} seeds"
            claim = f"pinns.{name}.{row.replace('.', '_')}"
            lines.append(
                {
                    "label": f"error, {words(row)}, best on test",
                    "value": mean,
                    "claim": claim if claim in found else "",
                    "note": note,
                }
            )
    return lines
