"""Initial microstructures: the paper's disc, discs that do not touch, and Voronoi polycrystals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from phasemill.core.errors import InputError
from phasemill.grains.physics import profile

Floats = NDArray[np.float64]


def published_disc(cells: int = 64) -> Floats:
    """The paper's grain in the units of its code: dx = 1/63, eta = 7 dx, R0 = 25 dx, on coordinates 64/63 as wide.

    Its coordinates run from 0 to 64 dx over 64 points, so that the disc is drawn on a grid 1.6 % coarser than the
    solver's: R0 is 0.3906 and eta 6.89 dx in the solver's units, and the centre lies between the middle cells.
    """
    dx = 1 / (cells - 1)
    x = np.linspace(0, cells * dx, cells)
    distance = np.hypot(*np.meshgrid(x - cells * dx / 2, x - cells * dx / 2, indexing="ij"))
    return profile(25 * dx - distance, 7 * dx)


def disc(shape: tuple[int, ...], dx: float, centre: NDArray[Any], radius: float, eta: float) -> Floats:
    """phi of a disc or ball by its distance in the periodic box, `centre` and `radius` as lengths."""
    squares = sum(one**2 for one in _apart(shape, dx, centre))
    return profile(radius - np.sqrt(squares), eta)


def square(shape: tuple[int, ...], dx: float, centre: NDArray[Any], side: float, eta: float) -> Floats:
    """phi of a square or cube with sharp corners, by its distance in the periodic box; `side` is a length."""
    beyond = np.stack(np.broadcast_arrays(*(one - side / 2 for one in _apart(shape, dx, centre))))
    outside = np.sqrt((np.maximum(beyond, 0) ** 2).sum(axis=0))
    return profile(-np.minimum(beyond.max(axis=0), 0) - outside, eta)


def _apart(shape: tuple[int, ...], dx: float, centre: NDArray[Any]) -> list[Floats]:
    """Along each axis the distance of each cell from a point of the periodic box, to be broadcast."""
    found = []
    for axis, (n, at) in enumerate(zip(shape, centre, strict=True)):
        apart = np.abs(np.arange(n) * dx - at) % (n * dx)
        nearest = np.minimum(apart, n * dx - apart)
        found.append(nearest.reshape([-1 if a == axis else 1 for a in range(len(shape))]))
    return found


def discs(shape: tuple[int, ...], dx: float, centres: NDArray[Any], radii: NDArray[Any], eta: float) -> Floats:
    """The union of several: the largest phi of each cell."""
    return np.asarray(
        np.max([disc(shape, dx, centre, radius, eta) for centre, radius in zip(centres, radii, strict=True)], axis=0)
    )


def draw_radii(rng: np.random.Generator, number: int, mean: float, variation: float) -> Floats:
    """Normal radii of that coefficient of variation, between 0.3 and 2 means, the largest first."""
    found = np.empty(0)
    while len(found) < number:
        drawn = rng.normal(mean, variation * mean, number)
        found = np.append(found, drawn[(drawn >= 0.3 * mean) & (drawn <= 2 * mean)])
    return np.sort(found[:number])[::-1]


def place(rng: np.random.Generator, radii: NDArray[Any], box: NDArray[Any], gap: float, tries: int = 20_000) -> Floats:
    """Centres in the periodic box, drawn one after the other until no two discs come closer than `gap`."""
    centres = np.empty((0, len(box)))
    for number, radius in enumerate(radii):
        for _ in range(tries):
            drawn = rng.random(len(box)) * box
            apart = np.abs(centres - drawn)
            distance = np.sqrt((np.minimum(apart, box - apart) ** 2).sum(axis=1))
            if (distance >= radii[:number] + radius + gap).all():
                centres = np.vstack([centres, drawn])
                break
        else:
            raise InputError(
                f"no room for disc {number + 1} of {len(radii)}, radius {radius:.3g}, in {tries} tries: lower the "
                "number of grains, their radius or the gap"
            )
    return centres


def voronoi(rng: np.random.Generator, shape: tuple[int, ...], grains: int) -> NDArray[np.int64]:
    """The grain of each cell: that of the nearest of uniformly drawn points in the periodic box."""
    seeds = rng.random((grains, len(shape))) * np.array(shape)
    nearest = cKDTree(seeds, boxsize=np.array(shape)).query(np.moveaxis(np.indices(shape), 0, -1))[1]
    return np.asarray(nearest, np.int64)


def one_hot(labels: NDArray[np.int64], grains: int) -> Floats:
    """(grain, x, y[, z]): 1 in a grain's cells, 0 elsewhere."""
    return np.asarray(labels == np.arange(grains).reshape(-1, *[1] * labels.ndim), np.float64)
