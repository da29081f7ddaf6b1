"""Where each rule of weights comes to rest at given parameters: whether MA under- or over-weights can be computed.

    dn, id, eq. 14: at their hats;     eq. 15 (ma): hat = R / lambda rests at lambda = sqrt(R), R = max|g_0| / mean|g_j|

so that against the balance of norms, rho = |g_0| / |g_j|, it over-weights where R is above rho^2, and under-weights
where R is below it.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import torch

from phasemill.core.balancing import Balance, Scheme
from phasemill.pinns.evaluate.selection import Trained
from phasemill.pinns.evaluate.tables import TERMS, words
from phasemill.pinns.protocol import Protocol
from phasemill.pinns.terms import Term

RULES: tuple[Scheme, ...] = ("dn", "id", "ma14")


def rests(one: Trained, problem: Protocol, terms: dict[str, Term]) -> dict[str, dict[str, float]]:
    """term -> rule -> weight at rest, at the last parameters of a training."""
    found = [term.value_and_gradient(torch.from_numpy(one.theta)) for term in terms.values()]
    values = [value for value, _ in found]
    gradients = [gradient[torch.from_numpy(problem.counted)] for _, gradient in found]
    weights = {}
    for rule in RULES:
        balance = Balance(len(terms), rule, beta=0.0)
        balance.update(values, gradients)
        weights[rule] = balance.weights.tolist()
    return {
        name: {**{rule: weights[rule][j] for rule in RULES}, "ma": sqrt(weights["ma14"][j])}
        for j, name in enumerate(terms)
        if j
    }


def table(found: dict[str, dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Weights at rest for each shown training."""
    rows = [
        [words(row), TERMS[term], its["dn"], its["id"], its["ma14"], its["ma"], its["ma"] / its["dn"]]
        for row, by_term in found.items()
        for term, its in by_term.items()
    ]
    return {
        "title": "Where the rules come to rest",
        "columns": ["trained with", "term", "DN", "ID", "MA by eq. 14", "MA by eq. 15", "MA / DN"],
        "rows": rows,
        "note": (
            "Weights that each rule would settle at with the gradients of the last parameters, first seed. Eq. 15 "
            "rests at the square root of eq. 14's weight: below 1 in the last column it under-weights the term, "
            "above 1 it over-weights it."
        ),
    }
