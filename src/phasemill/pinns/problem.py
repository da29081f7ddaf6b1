"""A problem of the user's own: domain, fields, equations and conditions in a few lines, trained as one network.

    L = sum_j lambda_j L_j,   L_j = mean over the points of term j of r_j^2

    def residual(u, x, d):
        return d(u, "t") - 0.1 * d(u, "x", "x")

    problem = Problem({"t": (0, 1), "x": (-1, 1)}, fields="u")
    problem.equation("heat", residual, points=1000)
    problem.condition("initial", points=100, at={"t": 0}, target=lambda x: np.cos(np.pi * x.x))
    problem.condition("walls", points=100, at={"x": [-1, 1]}, residual=lambda u, x, d: d(u, "x"))
    solution = problem.train(1000, weighting="dn", lbfgs=300)
    solution.u(points)

`examples.circle` is a problem in two space dimensions. The equations of the benchmarks are faster in `terms.Term`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from phasemill.core import loop
from phasemill.core.balancing import AVERAGED, SCHEMES, Balance, Scheme
from phasemill.core.errors import InputError, unknown
from phasemill.core.lbfgs import get_vector, minimise_lbfgs, objective, set_vector
from phasemill.core.minimisation import Minimum
from phasemill.core.provenance import config_hash
from phasemill.core.seeds import branch
from phasemill.pinns.conditions import Condition, Errors, Losses, Target, given, labelled, wanted
from phasemill.pinns.domain import Domain, Places, distinct
from phasemill.pinns.network import adam
from phasemill.pinns.solution import Fields, Formula, Solution

log = logging.getLogger("phasemill")

BETA = {"softadapt": 0.1, "modified": 0.01, "gradnorm": 0.01}
"""Default of each weighting that does not average; the others have 0.99."""


class Problem:
    """Equations and conditions for fields in a box, and their training; this module's own text has an example.

    Arguments
    ---------
    domain: name -> (low, high) of one to four coordinates, in the order of the columns of points.
    fields: the name of the unknown field, or the names of several.
    hidden: widths of the network's tanh layers.

    Raises InputError for ends that are no interval, and a name that is no attribute or is used twice.

    Examples
    --------
    >>> from phasemill import Problem
    >>> problem = Problem({"t": (0, 1)}, fields="u", hidden=(8,))
    >>> problem.equation("decay", lambda u, x, d: d(u, "t") + u, points=20)
    >>> problem.condition("start", points=1, at={"t": 0}, target=1.0)
    >>> solution = problem.train(20, lbfgs=20)
    >>> abs(float(solution.u([[1.0]])[0]) - 0.368) < 0.01  # exp(-1)
    True
    """

    def __init__(
        self,
        domain: Mapping[str, tuple[float, float]],
        fields: str | Sequence[str] = "u",
        hidden: Sequence[int] = (32, 32, 32),
    ) -> None:
        if isinstance(fields, int) or not isinstance(domain, Mapping):
            raise InputError(
                "Problem takes a domain {name: (low, high)} and names of fields, such as fields=('u', 'v')"
            )
        names = (fields,) if isinstance(fields, str) else tuple(fields)
        self._blank = Fields(Domain(domain), names, hidden)
        self.domain = self._blank.domain
        self.conditions: list[Condition] = []

    @property
    def names(self) -> list[str]:
        """All terms of the loss, in their order."""
        return [name for condition in self.conditions for name in condition.names]

    def equation(self, name: str | Sequence[str], residual: Formula, points: int | ArrayLike) -> None:
        """Add an equation residual = 0, or several that share their points, each a term with its own weight.

        Arguments
        ---------
        name: of the term; several names for a residual that gives as many values.
        residual: residual(u, x, d) -> r (points,) in torch: u the fields (w.u, w.v, or u, v = w, if there are several),
            x the coordinates by name, d the derivatives, d(u, "x", "x"). A tuple under one name is one sum of means.
        points: how many to draw uniformly in the domain, or an array (points, coordinates).

        Raises InputError for a name used before, or points outside of the domain.
        """
        names = (name,) if isinstance(name, str) else tuple(name)
        chosen = given(self.domain, points, labelled(names))
        self._add(Condition(names, chosen, residual=residual, equation=True))

    def condition(
        self,
        name: str,
        points: int | ArrayLike,
        *,
        at: Places | Sequence[Places] | None = None,
        target: Target | None = None,
        residual: Formula | None = None,
        field: str | None = None,
        weight: float | None = None,
    ) -> None:
        """Add a condition, initial, at a boundary, or data: fields = target, or residual(u, x, d) = 0.

        Arguments
        ---------
        name: of the term.
        points: how many to draw uniformly, or an array (points, coordinates).
        at: faces on which to draw, {"t": 0} or {"x": [-1, 1]}; several mappings for several kinds of faces.
        target: a number, a function of the coordinates, or (with given points) values (points,). For all of several
            fields at once the values have shape (points, fields).
        residual: as in `equation`; d.at(x=1) gives the fields on another face, for periodic conditions.
        field: which of several fields the target is for.
        weight: a weight that stays; without it the weighting of the training decides.

        Raises InputError for a name used before, an unknown coordinate or field, points or a face outside of the
        domain, a target of another shape, and for a target and a residual at once, or neither.
        """
        if (target is None) == (residual is None):
            raise InputError(f"condition '{name}': give either a target or a residual")
        if weight is not None and not (isinstance(weight, int | float | np.number) and 0 <= weight < math.inf):
            raise InputError(f"condition '{name}' has weight {weight!r}: give a finite number, 0 or more")
        columns = tuple(range(len(self._blank.names))) if field is None else (self._blank.index(field),)
        chosen = given(self.domain, points, labelled([name]), at)
        condition = Condition((name,), chosen, at, residual, target, columns, weight)
        if target is not None and not isinstance(chosen, int):
            wanted(target, chosen, self.domain, columns, condition.label)
        elif np.ndim(target) and not callable(target):  # type: ignore[arg-type]  # a callable has ndim 0
            raise InputError(f"points of '{name}' are drawn, so its target must be a number or a function of them")
        self._add(condition)

    def build(
        self, seed: int = 0, dtype: torch.dtype = torch.float64, device: str | torch.device = "cpu"
    ) -> tuple[Fields, Losses]:
        """The untrained network and its losses, for an optimiser of your own: losses(network) -> {name: L_j}.

        Weights are drawn as in `network.Network.initial`.

        Raises InputError if there is no term, and for targets of another shape.
        """
        network = Fields(self.domain, self._blank.names, self._blank.hidden)
        theta = network.shape.initial(np.random.default_rng(branch(seed, "network", 1)[0]))
        with torch.no_grad():
            network.theta.copy_(torch.from_numpy(theta))
        network.to(device=device, dtype=dtype)
        return network, Losses(self.conditions, network, seed)

    def train(
        self,
        steps: int,
        *,
        weighting: Scheme = "fixed",
        numerator: str | None = None,
        beta: float | None = None,
        p: float = 2,
        correct: bool = False,
        tau: int = 10,
        rate: float | tuple[float, float] = 1e-3,
        lbfgs: int = 0,
        seed: int = 0,
        reference: tuple[int | ArrayLike, Target] | None = None,
        every: int | None = None,
        folder: Path | str | None = None,
        checkpoint_seconds: float = 60.0,
        device: str = "cpu",
        threads: int = 1,
    ) -> Solution:
        """Train by Adam in float32, then by L-BFGS in float64 with the weights that Adam ends with.

        Arguments
        ---------
        steps: of Adam, each on all points.
        weighting: fixed, dn, id, ma, ma14, softadapt, gradnorm or modified; see `core.balancing`. Terms with a weight
            of their own keep it.
        numerator: the term to which dn, id, ma and ma14 balance the others; the equation if there is only one.
        beta, p, correct: of the weighting, as in `core.balancing`; for beta's default see `BETA`.
        tau: steps between updates of the weights.
        rate: learning rate; (first, last) falls exponentially.
        lbfgs: most iterations of L-BFGS.
        seed: of the network and of the points that are drawn.
        reference: (points, target) for the relative error of the fields; points may be a number to draw.
        every: steps between rows of the history, a fiftieth of them by default.
        folder: for checkpoints; the same call with the same folder goes on bit-equal after a kill. Other points,
            equations or settings never meet these checkpoints.
        checkpoint_seconds: time between checkpoints.
        device: cpu, cuda or auto.
        threads: of the processor while it trains; more than one pays for large networks alone.

        Raises
        ------
        InputError
            No term, unknown weighting or numerator, a residual or a target of another shape or not finite, points of
            the reference outside of the domain, a loss that diverges.
        Interrupted
            After SIGTERM or SIGUSR1, once a checkpoint is saved.
        """
        _check_counts({"steps": steps, "lbfgs": lbfgs, "seed": seed}, 0)
        _check_counts({"tau": tau, "threads": threads, "every": 1 if every is None else every}, 1)
        rates, where = _first_and_last(rate), loop.pick_device(device)
        weights = Weights(self.conditions, weighting, numerator, beta, p, correct)
        if weights.moves and steps < tau:
            log.warning("weighting %s moves no weight in %d steps of Adam: it needs tau = %d", weighting, steps, tau)
        errors = Errors(self.domain, self._blank.names, reference, seed)
        exact, losses = self.build(seed, torch.float64, where)
        settings = {
            **{"domain": self.domain.ends, "fields": exact.names, "hidden": exact.hidden, "weights": weights.settings},
            **{"steps": steps, "tau": tau, "rates": rates, "seed": seed, "device": where.type, "every": every},
            "losses": {name: f"{loss:.10e}" for name, loss in losses.check(exact).items()},  # stand for the equations
        }
        with _workplace(folder, threads) as place:
            seconds = math.inf if folder is None else checkpoint_seconds
            network, losses = self.build(seed, torch.float32, where)
            done = _adam(
                network, losses, weights, errors, tau, rates, steps=steps, every=every or max(1, steps // 50),
                seed=seed, checkpoints=place, key=config_hash({"stage": "adam", **settings}),
                history=place / "history.csv", checkpoint_seconds=seconds, label="pinn",
            )  # fmt: skip
            rows = done.rows
            if lbfgs:
                exact, losses = self.build(seed, torch.float64, where)
                set_vector([exact.theta], get_vector([network.theta]))
                network = exact
                found = _lbfgs(
                    network, losses, weights, errors, iterations=lbfgs, every=every or max(1, lbfgs // 50),
                    checkpoints=place / "lbfgs", key=config_hash({"stage": "lbfgs", "iterations": lbfgs, **settings}),
                    history=place / "lbfgs.csv", checkpoint_seconds=seconds, label="pinn L-BFGS",
                )  # fmt: skip
                later = {"step": steps, "seconds": done.seconds}
                rows = rows + [{name: value + later.get(name, 0) for name, value in row.items()} for row in found.rows]
        final = {name: loss.item() for name, loss in losses(network).items()}
        network.to("cpu")
        return Solution(network, final, weights.by_name(), errors.by_field(network), rows)

    def _add(self, condition: Condition) -> None:
        for name in condition.names:
            if not isinstance(name, str) or not name:
                raise InputError(f"the name of a term is {name!r}: give a word")
        distinct([*self.names, *condition.names])
        self.conditions.append(condition)


class Weights:
    """lambda of all terms: those that the conditions hold, and those that the weighting moves."""

    def __init__(
        self,
        conditions: Sequence[Condition],
        scheme: Scheme,
        numerator: str | None,
        beta: float | None,
        p: float,
        correct: bool,
    ) -> None:
        if scheme not in SCHEMES:
            raise InputError(unknown(scheme, SCHEMES, "weighting"))
        share = BETA.get(scheme, 0.99) if beta is None else beta
        names = [name for condition in conditions for name in condition.names]
        equations = [name for condition in conditions for name in condition.names if condition.equation]
        held = {condition.names[0]: condition.weight for condition in conditions if condition.weight is not None}
        free = [name for name in names if name not in held]
        if numerator is not None and numerator not in free:
            raise InputError(unknown(numerator, free, "numerator among the terms without a weight of their own"))
        if numerator is None and scheme in AVERAGED and len(equations) != 1:
            raise InputError(
                f"weighting '{scheme}' balances against one term and there are {len(equations)} equations; "
                f"name the numerator, one of {labelled(free)}"
            )
        index = 0 if not free else free.index(numerator or next(iter([*equations, *free])))
        self.settings: dict[str, Any] = {
            "scheme": scheme,
            "numerator": index,
            "beta": share,
            "p": str(p),
            "correct": correct,
        }
        self.settings["held"] = held
        self.balance = Balance(max(len(free), 1), scheme, numerator=index, beta=share, p=p, correct=correct)
        self.moves = scheme != "fixed" and len(free) > 1
        self._names, self._free = names, [names.index(name) for name in free]
        self._held = torch.tensor([held.get(name, 1.0) for name in names], dtype=torch.float64)

    def tensor(self, like: Tensor) -> Tensor:
        """(terms,) in the precision and on the device of `like`."""
        weights = self._held.clone()
        if self._free:
            weights[self._free] = self.balance.weights
        return weights.to(like)

    def by_name(self) -> dict[str, float]:
        """The weights as numbers."""
        return dict(zip(self._names, self.tensor(self._held).tolist(), strict=True))

    def update(self, losses: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """One step of the weighting with all losses and their gradients."""
        self.balance.update([losses[j].detach() for j in self._free], [gradients[j] for j in self._free])


def _check_counts(counts: Mapping[str, Any], least: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, int | np.integer) or count < least:
            raise InputError(f"{name} {count!r}: give a whole number, {least} or more")


def _first_and_last(rate: float | tuple[float, float]) -> tuple[float, float]:
    """The learning rates between which it falls."""
    rates = np.ravel(rate)
    if rates.dtype.kind not in "fiu" or rates.size not in (1, 2) or not all(0 < r < math.inf for r in rates):
        raise InputError(f"rate {rate}: give a learning rate above 0, or the first and the last one")
    return float(rates[0]), float(rates[-1])


@contextmanager
def _workplace(folder: Path | str | None, threads: int) -> Iterator[Path]:
    """The folder of a training, a passing one if none is given; inside, torch has so many threads."""
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(threads)
        place = Path(stack.enter_context(TemporaryDirectory()) if folder is None else folder)
        for part in (place, *place.parents):
            if part.is_file():
                raise InputError(f"folder {folder}: {part} is a file; give a folder for checkpoints")
        yield place


def _adam(
    network: Fields, losses: Losses, weights: Weights, errors: Errors, tau: int, rates: tuple[float, float], *,
    steps: int, **options: Any,
) -> loop.Result:  # fmt: skip
    """Adam with the weights following every `tau` steps, the rate falling exponentially."""
    optimizer = adam(network.theta, rates[0])
    falls = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: (rates[1] / rates[0]) ** (i / max(steps, 1)))
    return loop.train(
        loop.Training({"network": network, "weights": weights.balance}, optimizer, falls),
        lambda i: _adam_step(i, network, losses, weights, optimizer, tau),
        steps=steps,
        validate=(lambda: errors(network)) if errors.known else None,
        **options,
    )


def _adam_step(
    i: int, network: Fields, losses: Losses, weights: Weights, optimizer: torch.optim.Optimizer, tau: int
) -> dict[str, float]:
    theta = network.theta
    values = list(losses(network).values())
    if weights.moves and (i + 1) % tau == 0:
        gradients = [torch.autograd.grad(value, theta, retain_graph=True)[0] for value in values]
        weights.update(values, gradients)
        lambdas = weights.tensor(theta)
        theta.grad = lambdas @ torch.stack(gradients)
    else:
        lambdas = weights.tensor(theta)
        (theta.grad,) = torch.autograd.grad(lambdas @ torch.stack(values), theta)
    optimizer.step()
    terms, factors = torch.stack(values).tolist(), lambdas.tolist()
    total = sum(loss * weight for loss, weight in zip(terms, factors, strict=True))
    parts = {f"loss_{name}": loss for name, loss in zip(losses.names, terms, strict=True)}
    return {"loss": total, **parts, **{f"weight_{name}": w for name, w in zip(losses.names, factors, strict=True)}}


def _lbfgs(network: Fields, losses: Losses, weights: Weights, errors: Errors, **options: Any) -> Minimum:
    """L-BFGS on theta, the weights fixed; the network ends at the minimum."""
    lambdas = weights.tensor(network.theta)

    def measured(theta: NDArray[np.float64]) -> dict[str, float]:
        set_vector([network.theta], theta)
        return {f"loss_{name}": loss.item() for name, loss in losses(network).items()} | errors(network)

    fun = objective([network.theta], lambda: lambdas @ torch.stack(list(losses(network).values())))
    found = minimise_lbfgs(fun, get_vector([network.theta]), validate=measured, **options)
    set_vector([network.theta], found.x)
    return found
