"""Terms of the loss of a user's own problem: residuals or targets at points, and errors against a reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from phasemill.core.errors import InputError
from phasemill.core.metrics import relative_l2
from phasemill.core.seeds import branch
from phasemill.pinns.domain import Domain, Floats, Places
from phasemill.pinns.solution import Fields, Formula, Solution

Target = Callable[[Any], ArrayLike] | ArrayLike
"""Values wanted: a function of the coordinates (named columns, float64 arrays), one number, or one value per point."""


@dataclass(frozen=True)
class Condition:
    """One or more terms of the loss at common points; see `Problem.equation` and `Problem.condition`."""

    names: tuple[str, ...]
    points: int | Floats
    at: Places | Sequence[Places] | None = None
    residual: Formula | None = None
    target: Target | None = None
    columns: tuple[int, ...] = ()
    """The fields that `target` is for."""
    weight: float | None = None
    equation: bool = False

    @property
    def label(self) -> str:
        """The names as they stand in messages."""
        return labelled(self.names)


class Losses:
    """The losses of a problem at fixed points: losses(network) -> {name: L_j}, differentiable in network.theta.

        L_j = mean_p r_jp^2, a sum of such means for a term of several values.

    The points of a term depend on the seed and its name alone. Precision and device are those of the network.
    """

    def __init__(self, conditions: Sequence[Condition], network: Fields, seed: int) -> None:
        if not conditions:
            raise InputError("the problem has no term; add an equation or a condition")
        self.names = [name for condition in conditions for name in condition.names]
        self._parts = []
        for condition in conditions:
            points = placed(network.domain, condition.points, condition.at, seed, f"points {condition.names[0]}")
            values = None
            if condition.target is not None:
                found = wanted(condition.target, points, network.domain, condition.columns, condition.label)
                values = torch.as_tensor(found).to(network.theta)
            self._parts.append((condition, torch.as_tensor(points).to(network.theta), values))

    def __call__(self, network: Fields) -> dict[str, Tensor]:
        """L_j of each term."""
        return {name: _mean_square(residuals) for name, residuals, _ in self._residuals(network)}

    def check(self, network: Fields) -> dict[str, float]:
        """The losses as numbers.

        Raises InputError for a residual that is not finite, with the place.
        """
        losses = {}
        for name, residuals, points in self._residuals(network):
            for part in residuals:  # x requires a gradient too, so that requires_grad says nothing about u
                if torch.autograd.grad(part.sum(), network.theta, retain_graph=True, allow_unused=True)[0] is None:
                    raise InputError(f"the residual of '{name}' does not depend on the fields; it must use u")
            bad = ~torch.stack(residuals).isfinite().all(0)
            if bad.any():
                first = points[int(bad.nonzero()[0])].tolist()
                place = ", ".join(f"{c}={v:.4g}" for c, v in zip(network.domain.names, first, strict=True))
                raise InputError(
                    f"the residual of '{name}' is not finite at {int(bad.sum())} of {len(bad)} points with the "
                    f"untrained network, first at {place}; look for a division or a root there"
                )
            losses[name] = _mean_square(residuals).item()
        return losses

    def _residuals(self, network: Fields) -> Iterator[tuple[str, list[Tensor], Tensor]]:
        """Each term's name, its residuals, and its points."""
        for condition, points, values in self._parts:
            if condition.residual is None:
                misses = network(points)[:, list(condition.columns)] - values
                yield condition.names[0], list(misses.unbind(1)), points
                continue
            found = network.apply_formula(condition.residual, points)
            parts = list(found) if isinstance(found, tuple | list) else [found]
            _check_parts(parts, len(points), condition)
            if len(condition.names) == 1:
                yield condition.names[0], parts, points
            else:
                for name, part in zip(condition.names, parts, strict=True):
                    yield name, [part], points


class Errors:
    """|u - reference| / |reference| of each field; empty without a reference."""

    def __init__(
        self, domain: Domain, fields: Sequence[str], reference: tuple[int | ArrayLike, Target] | None, seed: int
    ) -> None:
        self.known = reference is not None
        if reference is not None:
            if not isinstance(reference, Sequence) or len(reference) != 2:
                raise InputError("the reference is a pair: give (points, target)")
            self._points = placed(domain, given(domain, reference[0], "the reference"), None, seed, "reference")
            self._values = wanted(reference[1], self._points, domain, range(len(fields)), "the reference")

    def by_field(self, network: Fields) -> dict[str, float]:
        """The errors by the names of the fields."""
        if not self.known:
            return {}
        found = Solution(network).u(self._points).reshape(self._values.shape)
        columns = zip(network.names, self._values.T, found.T, strict=True)
        return {name: relative_l2(truth, ours) for name, truth, ours in columns}

    def __call__(self, network: Fields) -> dict[str, float]:
        """As columns of the history."""
        return {f"error_{name}": error for name, error in self.by_field(network).items()}


def given(
    domain: Domain, points: int | ArrayLike, what: str, at: Places | Sequence[Places] | None = None
) -> int | Floats:
    """A number of points to draw, on faces that there are, or an array of points inside.

    Raises InputError for anything else.
    """
    if isinstance(points, int | np.integer):
        if points < 1:
            raise InputError(f"{points} points of {what}: give 1 or more")
        domain.draw(np.random.default_rng(0), 1, at)  # complains about the faces
        return int(points)
    if np.ndim(points) == 0:
        raise InputError(f"points of {what} are {points!r}: give a whole number, or an array (points, coordinates)")
    if at is not None:
        raise InputError(f"points of {what} are given and a face is named too; leave out 'at'")
    return domain.inside(points, what)


def placed(
    domain: Domain, points: int | Floats, at: Places | Sequence[Places] | None, seed: int, stream: str
) -> Floats:
    """Points as given, or drawn from a named branch of the seed."""
    if isinstance(points, int):
        return domain.draw(np.random.default_rng(branch(seed, stream, 1)[0]), points, at)
    return points


def wanted(target: Target, points: Floats, domain: Domain, columns: Sequence[int], what: str) -> Floats:
    """The target's values (points, columns).

    Raises InputError for another shape or a value that is not finite.
    """
    found = np.asarray(target(domain.split(points)) if callable(target) else target, dtype=np.float64)
    full = (len(points), len(columns))
    values = found[:, None] if found.ndim == 1 and len(columns) == 1 else found
    if values.ndim and values.shape != full:
        raise InputError(f"the target of {what} has shape {found.shape}: give {full if full[1] > 1 else full[:1]}")
    if not np.isfinite(values).all():
        raise InputError(f"the target of {what} is not finite everywhere; leave out the points without a value")
    return np.array(np.broadcast_to(values, full))


def labelled(names: Sequence[str]) -> str:
    """Names as they stand in messages."""
    return ", ".join(f"'{name}'" for name in names)


def _mean_square(residuals: Sequence[Tensor]) -> Tensor:
    return torch.stack([r.square().mean() for r in residuals]).sum()


def _check_parts(parts: Sequence[Any], count: int, condition: Condition) -> None:
    for part in parts or [None]:
        if not isinstance(part, Tensor) or part.shape != (count,):
            found = f"shape {tuple(part.shape)}" if isinstance(part, Tensor) else f"type {type(part).__name__}"
            raise InputError(
                f"the residual of {condition.label} has {found}: give one number per point, a tensor ({count},), or a "
                "tuple of such"
            )
        if not part.requires_grad:
            raise InputError(f"the residual of {condition.label} does not depend on the fields; it must use u")
    if len(condition.names) > 1 and len(parts) != len(condition.names):
        raise InputError(f"the residual of {condition.label} gives {len(parts)} values; give one for each name")
