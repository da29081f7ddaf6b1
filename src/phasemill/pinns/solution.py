"""The trained network of a user's own problem: its fields, what follows from them, and its file.

    z = 2 (x - low) / (high - low) - 1,   u = W_L tanh(... tanh(W_1 z + b_1) ...) + b_L

Derivatives are nested calls of autograd, for any number of coordinates and fields and of any order.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from phasemill.core.errors import InputError
from phasemill.core.model_files import load_model, read_card, save_model
from phasemill.core.provenance import versions
from phasemill.core.run import Row
from phasemill.pinns.domain import Domain, Floats, distinct, valid_name
from phasemill.pinns.network import Network

Formula = Callable[[Any, Any, "Derivatives"], Any]
"""formula(u, x, d): fields, coordinates, derivatives -> one number per point, or a tuple of such."""

BLOCK = 1 << 15  # points that are evaluated at once


class Fields(nn.Module):
    """All fields as one tanh network, its parameters one flat vector theta in the order of `network.Network`.

    Arguments
    ---------
    domain, names: of the coordinates and of the fields. hidden: widths of the hidden layers.

    Raises InputError for a name that is no attribute or is used twice.
    """

    low: Tensor
    slope: Tensor

    def __init__(self, domain: Domain, names: Sequence[str], hidden: Sequence[int]) -> None:
        super().__init__()
        if not names:
            raise InputError("no field is given; name at least one, such as fields='u'")
        for name in names:
            valid_name(name, "field")
        distinct([*domain.names, *names])
        if np.ndim(hidden) != 1 or not len(hidden) or not all(np.equal(np.mod(hidden, 1), 0)) or min(hidden) < 1:
            raise InputError(f"hidden {hidden}: give the width of each hidden layer, such as (32, 32, 32)")
        self.domain, self.names, self.hidden = domain, tuple(names), tuple(int(width) for width in hidden)
        self.shape = Network((len(domain.names), *self.hidden, len(names)))
        self.theta = nn.Parameter(torch.zeros(self.shape.count, dtype=torch.float64))
        self.register_buffer("low", torch.from_numpy(domain.low))
        self.register_buffer("slope", torch.from_numpy(2 / (domain.high - domain.low)))
        self._tuple: Any = namedtuple("Values", self.names)  # type: ignore[misc]  # names of the user's

    def forward(self, points: Tensor) -> Tensor:
        """u (points, fields) at points (points, coordinates)."""
        z = (points - self.low) * self.slope - 1
        *hidden, (w, b) = self.shape.matrices(self.theta)
        for weights, biases in hidden:
            z = torch.tanh(nn.functional.linear(z, weights, biases))
        return nn.functional.linear(z, w, b)

    def named(self, values: Tensor) -> Any:
        """Values (points, fields) as formulas take them: one field as it is, several by name (w.u, or u, v = w)."""
        columns = values.unbind(1)
        return columns[0] if len(columns) == 1 else self._tuple(*columns)

    def index(self, name: str) -> int:
        """The column of a field."""
        if name not in self.names:
            raise InputError(f"unknown field '{name}'; known: {', '.join(self.names)}")
        return self.names.index(name)

    def apply_formula(self, formula: Formula, points: Tensor) -> Any:
        """formula(u, x, d) at points (n, coordinates), differentiable in theta."""
        leaf = points.detach().requires_grad_()
        try:
            return formula(self.named(self(leaf)), self.domain.split(leaf), Derivatives(self, leaf))
        except RuntimeError as error:
            if "numpy()" not in str(error):
                raise
            raise InputError(
                "formulas work on tensors: write torch.sin, not np.sin, of fields and coordinates"
            ) from error


class Derivatives:
    """d(u, "x") = u_x, d(u, "x", "y") = u_xy, of any value (points,) that was computed from fields and coordinates.

    What stands at one point must depend on that point alone. Derivatives that several expressions share are computed
    once.
    """

    def __init__(self, network: Fields, points: Tensor) -> None:
        self._network, self._points = network, points
        self._known: dict[int, tuple[Tensor, tuple[Tensor, ...]]] = {}  # a value keeps its id while it is held here

    def __call__(self, value: Tensor, *coordinates: str) -> Tensor:
        """The derivative of `value` with respect to one coordinate after the other.

        Raises InputError for an unknown coordinate, or a value that is not one number per point.
        """
        if not coordinates:
            raise InputError("d() needs at least one coordinate, such as d(u, 'x')")
        for name in coordinates:
            column = self._network.domain.index(name)
            value = self._gradient(value)[column]
        return value

    def at(self, **held: float) -> Any:
        """The fields where some coordinates have another value, such as w = d.at(x=1); d(w, "x") is u_x there.

        Raises InputError for an unknown coordinate and a value outside of the domain.
        """
        moves = torch.zeros_like(self._points)
        for name, value in held.items():
            column = self._network.domain.held(name, value)
            moves[:, column] = value - self._points[:, column].detach()
        return self._network.named(self._network(self._points + moves))

    def _gradient(self, value: Tensor) -> tuple[Tensor, ...]:
        count = len(self._points)
        if not isinstance(value, Tensor) or value.shape != (count,):
            found = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"d() differentiates one number per point, shape ({count},), not {found}; name one field")
        if id(value) not in self._known:
            gradient = torch.zeros_like(self._points)  # of a constant
            if value.requires_grad:
                (gradient,) = torch.autograd.grad(
                    value.sum(), self._points, create_graph=True, allow_unused=True, materialize_grads=True
                )
            self._known[id(value)] = value, gradient.unbind(1)
        return self._known[id(value)][1]


@dataclass
class Solution:
    """Fields that were trained on a problem, and how well they fulfil it."""

    network: Fields
    losses: dict[str, float] = field(default_factory=dict)
    """The loss of each term at the end, without its weight."""
    weights: dict[str, float] = field(default_factory=dict)
    """The weight of each term at the end."""
    errors: dict[str, float] = field(default_factory=dict)
    """|u - reference| / |reference| of each field at the end, if a reference was given."""
    history: list[Row] = field(default_factory=list, repr=False)
    """step, seconds, loss, and loss_, weight_ and error_ of each term and field; means since the row before."""

    def u(self, points: ArrayLike) -> NDArray[np.float64]:
        """The fields at points (..., coordinates): (...,) for one field, else (..., fields).

        Raises InputError for points outside of the domain.
        """
        given = np.asarray(points, dtype=np.float64)
        with torch.no_grad():
            values = self._blocks(given, self.network)
        return values[..., 0] if len(self.network.names) == 1 else values

    def evaluate(self, formula: Formula, points: ArrayLike) -> NDArray[np.float64]:
        """formula(u, x, d) at points (..., coordinates), such as a residual or an energy density: (...,).

        Raises InputError for points outside of the domain, or unless the formula gives one number per point.
        """

        def block(chosen: Tensor) -> Tensor:
            found = self.network.apply_formula(formula, chosen)
            if not isinstance(found, Tensor) or found.shape != (len(chosen),):
                raise InputError("a formula gives one number per point, a tensor of shape (points,)")
            return found.detach()[:, None]

        return self._blocks(np.asarray(points, dtype=np.float64), block)[..., 0]

    def _blocks(self, points: Floats, function: Callable[[Tensor], Tensor]) -> NDArray[np.float64]:
        flat = self.network.domain.inside(points.reshape(-1, points.shape[-1]) if points.ndim else points, "u")
        theta = self.network.theta
        parts = [
            function(torch.as_tensor(flat[first : first + BLOCK], dtype=theta.dtype, device=theta.device))
            for first in range(0, len(flat), BLOCK)
        ]
        found: NDArray[np.float64] = torch.cat(parts).double().cpu().numpy()
        return found.reshape(*points.shape[:-1], found.shape[1])

    def save(self, path: Path | str) -> None:
        """Write a safetensors file: parameters, domain, names, losses, weights, errors and history."""
        network = self.network
        card = {
            "kind": "pinn solution",
            "domain": network.domain.ends,
            "fields": network.names,
            "hidden": network.hidden,
            "dtype": str(network.theta.dtype).removeprefix("torch."),
            "losses": self.losses,
            "weights": self.weights,
            "errors": self.errors,
            "history": self.history,
            "versions": versions(),
        }
        save_model(path, network, card)

    @classmethod
    def load(cls, path: Path | str) -> Solution:
        """The solution in a file of `save`; a file is data and never runs code.

        Raises InputError if the file is missing or holds something else.
        """
        card = read_card(path)
        if card.get("kind") != "pinn solution":
            raise InputError(f"{path} holds no solution of a Problem; give a file that Solution.save has written")
        try:
            network = Fields(Domain(card["domain"]), card["fields"], card["hidden"])
            network.to(torch.float32 if card["dtype"] == "float32" else torch.float64)
            told = [card[name] for name in ("losses", "weights", "errors", "history")]
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: its card is not whole ({error}); save the solution again") from error
        load_model(path, network)
        return cls(network, *told)
