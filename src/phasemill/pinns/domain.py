"""The box in which a problem of the user's own is posed: named coordinates, each between two ends."""

from __future__ import annotations

import keyword
import math
from collections import namedtuple
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phasemill.core.errors import InputError, unknown

Floats = NDArray[np.float64]
Places = Mapping[str, float | Sequence[float]]
"""Where faces are: coordinates and the value, or the values, at which they are held."""

MOST = 4  # coordinates


class Domain:
    """low_i <= x_i <= high_i for one to four coordinates.

    Arguments
    ---------
    ends: name -> (low, high), in the order of the columns of points.

    Raises InputError for a name that Python would not take as an attribute, and for ends that are no interval.
    """

    def __init__(self, ends: Mapping[str, Sequence[float]]) -> None:
        if not 1 <= len(ends) <= MOST:
            raise InputError(f"a domain has one to {MOST} coordinates, not {len(ends)}: give name: (low, high)")
        self.names = tuple(ends)
        for name, pair in ends.items():
            valid_name(name, "coordinate")
            try:
                low, high = (float(end) for end in pair)
            except (TypeError, ValueError):
                low = high = math.nan
            if not -math.inf < low < high < math.inf:
                raise InputError(f"coordinate '{name}' has the ends {pair}: give two finite numbers, low < high")
        self.low, self.high = np.array(list(ends.values()), dtype=np.float64).T
        self._columns: Any = namedtuple("Coordinates", self.names)  # type: ignore[misc]  # names of the user's

    @property
    def ends(self) -> dict[str, list[float]]:
        """The domain as it was given."""
        return {name: [float(a), float(b)] for name, a, b in zip(self.names, self.low, self.high, strict=True)}

    def index(self, name: str) -> int:
        """The column of a coordinate."""
        if name not in self.names:
            raise InputError(unknown(name, self.names, "coordinate"))
        return self.names.index(name)

    def split(self, points: Any) -> Any:
        """The columns of points (n, coordinates), an array or a tensor, by name: x.t, or t, x, y = x."""
        return self._columns(*(points[:, i] for i in range(len(self.names))))

    def draw(self, rng: np.random.Generator, count: int, at: Places | Sequence[Places] | None = None) -> Floats:
        """Independent uniform points (count, coordinates) in the domain or on faces, as many on each face.

        With `at` {"x": [-1, 1]} x is -1 and 1 by turns; {"x": 0, "y": [0, 1]} holds two coordinates, and of several
        mappings each gives its own faces.
        """
        points = rng.uniform(self.low, self.high, (count, len(self.names)))
        if at is None:
            return points
        faces = self._faces(at)
        for number, face in enumerate(faces):
            for column, value in face:
                points[number :: len(faces), column] = value
        return points

    def held(self, name: str, value: float) -> int:
        """The column of a coordinate that can be held at `value`.

        Raises InputError for an unknown coordinate, and for what is no number inside of the domain.
        """
        column = self.index(name)
        try:
            value = float(value)
        except (TypeError, ValueError):
            raise InputError(f"'{name}' is held at {value!r}: give a number") from None
        if not self.low[column] <= value <= self.high[column]:
            low, high = self.ends[name]
            raise InputError(f"'{name}' is held at {value:g}, outside of the domain ({low:g} to {high:g})")
        return column

    def inside(self, points: ArrayLike, what: str) -> Floats:
        """Given points, (n, coordinates), as float64; a rounding error outside of the domain is allowed.

        Raises InputError if they have another shape, are not finite, or lie outside of the domain.
        """
        found = np.asarray(points, dtype=np.float64)
        if found.ndim != 2 or found.shape[1] != len(self.names) or not len(found):
            wanted = f"(points, {len(self.names)})"
            raise InputError(f"points of {what} have shape {found.shape}: give {wanted}, columns {self.names}")
        if not np.isfinite(found).all():
            raise InputError(f"points of {what} are not all finite; take out the rows with nan or inf")
        slack = 1e-6 * (self.high - self.low)
        outside = (found < self.low - slack) | (found > self.high + slack)
        if outside.any():
            name = self.names[int(outside.any(0).argmax())]
            low, high = self.ends[name]
            raise InputError(
                f"{int(outside.any(1).sum())} points of {what} lie outside of the domain, in '{name}' "
                f"({low:g} to {high:g}); take them out or enlarge the domain"
            )
        return found

    def _faces(self, at: Places | Sequence[Places]) -> list[list[tuple[int, float]]]:
        faces = []
        for places in at if isinstance(at, Sequence) else [at]:
            if not isinstance(places, Mapping):
                raise InputError(f"face {places!r}: name a coordinate and its value, such as at={{'t': 0}}")
            choices = [
                [(self.held(name, value), float(value)) for value in np.atleast_1d(np.asarray(values)).tolist()]
                for name, values in places.items()
            ]
            faces += [list(face) for face in product(*choices)]
        if not all(faces) or not faces:  # a mapping without a coordinate would hold none: the whole domain
            raise InputError("no face is given: name a coordinate and its value, such as at={'t': 0}")
        return faces


def valid_name(name: str, kind: str) -> None:
    """Raises InputError unless Python would take the name as an attribute of a named tuple."""
    if not (isinstance(name, str) and name.isidentifier()) or keyword.iskeyword(name) or name.startswith("_"):
        raise InputError(f"{kind} {name!r} is no name: use letters and digits, a letter first")


def distinct(names: Iterable[str]) -> None:
    """Raises InputError for a name that is there twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"the name '{name}' is used twice; give each coordinate, field and term its own")
        seen.add(name)
