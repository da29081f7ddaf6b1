"""Initial mixtures: periodic Perlin noise with a mean that is imposed, white noise, and noise in a slice alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from phasemill.core.errors import InputError

Floats = NDArray[np.float64]

UNIT = 64
"""Cells to which the number of lattice cells of the noise refers."""


def perlin(rng: np.random.Generator, shape: Sequence[int], lattice: Sequence[int], octaves: int = 1) -> Floats:
    """Gradient noise: random unit vectors on a periodic lattice, ramps between them blended by 6t^5 - 15t^4 + 10t^3.

    Arguments
    ---------
    rng: source of the gradients.
    shape: cells of the box, in any dimension.
    lattice: lattice cells along each side, each at least 1.
    octaves: noises of doubled lattice and half the amplitude that are added.

    Returns the noise (shape), periodic, of mean 0 where the lattice divides the box.
    Source: Perlin 1985 and 2002; Lanzoni et al. 2024, section 2.1, gives no parameters.
    """
    total = np.zeros(shape)
    for octave in range(octaves):
        total += _gradient_noise(rng, shape, [count * 2**octave for count in lattice]) / 2**octave
    return total


def _gradient_noise(rng: np.random.Generator, shape: Sequence[int], lattice: Sequence[int]) -> Floats:
    dimensions = len(shape)
    gradients = rng.standard_normal((*lattice, dimensions))
    gradients /= np.linalg.norm(gradients, axis=-1, keepdims=True)
    whole, part = [], []
    for axis, (cells, count) in enumerate(zip(shape, lattice, strict=True)):
        # cell centres: the noise is zero on the lattice's own points
        place = (np.arange(cells) + 0.5) * count / cells
        whole.append(np.floor(place).astype(int))
        line = [-1 if a == axis else 1 for a in range(dimensions)]
        part.append((place - whole[-1]).reshape(line))
    total = np.zeros(shape)
    for corner in product((0, 1), repeat=dimensions):
        nodes = np.ix_(*((w + c) % n for w, c, n in zip(whole, corner, lattice, strict=True)))
        ramp, weight = np.zeros(shape), np.ones(shape)
        for axis, c in enumerate(corner):
            ramp += gradients[(*nodes, axis)] * (part[axis] - c)
            blend = part[axis] ** 3 * (10 - 15 * part[axis] + 6 * part[axis] ** 2)
            weight = weight * (blend if c else 1 - blend)
        total += weight * ramp
    return total


def mixture(noise: NDArray[Any], mean: float, deviation: float) -> Floats:
    """phi0 = clip(shift + deviation noise / std(noise), 0, 1), with the shift that makes its mean exactly `mean`."""
    if not 0 < mean < 1:
        raise InputError(f"mean is {mean}: the mean concentration lies between 0 and 1")
    scaled = np.asarray(deviation * noise / noise.std())

    def excess(shift: float) -> float:
        return float(np.clip(shift + scaled, 0, 1).mean()) - mean

    shift = brentq(excess, -scaled.max(), 1 - scaled.min(), xtol=1e-15)
    return np.asarray(np.clip(shift + scaled, 0, 1))


def lattice_cells(shape: Sequence[int], per_unit: int) -> list[int]:
    """Lattice cells along each side for `per_unit` on 64 cells."""
    return [max(1, round(per_unit * cells / UNIT)) for cells in shape]


def perlin_mixture(
    rng: np.random.Generator, shape: Sequence[int], *, mean: float = 0.5, deviation: float = 0.15, lattice: int = 8,
    octaves: int = 1,
) -> Floats:  # fmt: skip
    """Perlin noise of `lattice` cells per 64 as a mixture of that mean and standard deviation."""
    return mixture(perlin(rng, shape, lattice_cells(shape, lattice), octaves), mean, deviation)


def white_noise(rng: np.random.Generator, shape: Sequence[int], mean: float = 0.5) -> Floats:
    """Uniform, independent values in [0, 1], shifted to the mean: no correlation at all."""
    return mixture(rng.uniform(-1, 1, shape), mean, 1 / np.sqrt(12))


def slice_noise(rng: np.random.Generator, shape: Sequence[int], *, mean: float = 0.5, lattice: int = 8) -> Floats:
    """Perlin noise in the central quarter along the first axis, uniform elsewhere (Lanzoni et al. 2024, Fig. 3).

    The mean of the box is exact; the uniform part makes up for that of the noise: 0.5016 for 0.5 at 32^3 and seed 0.
    """
    noise = perlin(rng, shape, lattice_cells(shape, lattice))
    distance = np.abs((np.arange(shape[0]) + 0.5) / shape[0] - 0.5)
    window = (distance < 0.125).reshape(-1, *[1] * (len(shape) - 1))
    confined = noise * window
    return np.asarray(np.clip(mean + 0.15 * (confined - confined.mean()) / noise.std(), 0, 1))
