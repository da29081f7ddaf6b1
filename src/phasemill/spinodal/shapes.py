"""Initial fields that no training draws: bodies given by their signed distance, and noise of other kinds.

    phi_0 = (1 + tanh(3 d / eps)) / 2, d > 0 inside

Lengths of the bodies are shares of the box's side, so that a body keeps its form in boxes of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from phasemill.core.errors import InputError, unknown
from phasemill.spinodal.initial import slice_noise, white_noise
from phasemill.spinodal.physics import profile

Floats = NDArray[np.float64]
Point = tuple[float, float, float]

BUNNY: Sequence[tuple[Point, Point]] = (
    ((0.46, 0.50, 0.36), (0.22, 0.16, 0.18)),  # body
    ((0.68, 0.50, 0.58), (0.12, 0.11, 0.12)),  # head
    ((0.65, 0.43, 0.79), (0.045, 0.040, 0.14)),  # ears
    ((0.65, 0.57, 0.79), (0.045, 0.040, 0.14)),
    ((0.22, 0.50, 0.42), (0.07, 0.07, 0.07)),  # tail
    ((0.64, 0.40, 0.22), (0.10, 0.05, 0.05)),  # paws
    ((0.64, 0.60, 0.22), (0.10, 0.05, 0.05)),
)
"""Centre and half axes of the ellipsoids, z upwards."""
SPHERES: Sequence[tuple[Point, float]] = (
    ((0.50, 0.50, 0.50), 0.19),
    ((0.10, 0.15, 0.85), 0.19),
    *(((0.5 + 0.31 * a, 0.5 + 0.31 * b, 0.5 + 0.31 * c), 0.09) for a, b, c in np.vstack([np.eye(3), -np.eye(3)])),
    ((0.20, 0.70, 0.20), 0.09),
    ((0.80, 0.80, 0.15), 0.09),
)
"""Centre and radius: two large spheres, each near small ones that it will consume."""
TUBE = 0.075
"""Radius of the tube around the trefoil knot."""
GYROID_LEVEL, GYROID_PERIODS = 0.4, 2


def ellipsoids(x: Floats, parts: Sequence[tuple[Point, Point]] = BUNNY) -> Floats:
    """d of a union of ellipsoids at the points x (..., 3) of the unit box, to first order at the surface.

    One ellipsoid has d = q (1 - q) / |grad q| q, q^2 = sum ((x - centre) / axis)^2.
    """
    found = np.full(x.shape[:-1], -np.inf)
    for centre, axes in parts:
        offset = x - np.array(centre)
        q = np.sqrt(np.sum((offset / axes) ** 2, axis=-1))
        slope = np.sqrt(np.sum((offset / np.square(axes)) ** 2, axis=-1))
        # at the centre itself the quotient is 0 / 0; its limit is the least half axis
        distance = np.where(slope > 0, q * (1 - q) / np.maximum(slope, 1e-12), min(axes))
        found = np.maximum(found, distance)
    return found


def spheres(x: Floats) -> Floats:
    """d of the spheres, exact, with their images in the neighbouring boxes."""
    found = np.full(x.shape[:-1], -np.inf)
    for centre, radius in SPHERES:
        offset = (x - np.array(centre) + 0.5) % 1 - 0.5
        found = np.maximum(found, radius - np.linalg.norm(offset, axis=-1))
    return found


def trefoil_knot(x: Floats) -> Floats:
    """d of a tube around the curve (sin t + 2 sin 2t, cos t - 2 cos 2t, -sin 3t), exact but for its 2,000 points."""
    t = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    curve = np.stack([np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), -1.6 * np.sin(3 * t)], axis=-1)
    return np.asarray(TUBE - cKDTree(0.5 + 0.115 * curve).query(x)[0])


def gyroid(x: Floats) -> Floats:
    """d of sin X cos Y + sin Y cos Z + sin Z cos X > level, to first order at the surface: one of two labyrinths."""
    k = 2 * np.pi * GYROID_PERIODS
    s, c = np.moveaxis(np.sin(k * x), -1, 0), np.moveaxis(np.cos(k * x), -1, 0)
    value = sum(s[a] * c[(a + 1) % 3] for a in range(3))
    slope = np.sqrt(sum((c[a] * c[(a + 1) % 3] - s[a] * s[(a + 2) % 3]) ** 2 for a in range(3)))
    return np.asarray((value - GYROID_LEVEL) / (k * np.maximum(slope, 0.5)))


BODIES: dict[str, Callable[[Floats], Floats]] = {
    "bunny": ellipsoids,
    "knot": trefoil_knot,
    "gyroid": gyroid,
    "spheres": spheres,
}
"""Signed distance, in sides of the box and positive inside, at points (..., 3) of the unit box."""
NOISE = ("slice", "white", "white_after")
"""Noise in a slice alone; white noise; white noise that the solver has smoothed for one tau."""
NAMES = (*BODIES, *NOISE)
LABELS = {
    "bunny": "bunny of ellipsoids",
    "knot": "trefoil knot",
    "gyroid": "gyroid",
    "spheres": "spheres of two radii",
    "slice": "noise in a slice",
    "white": "white noise",
    "white_after": "white noise, one tau later",
}


def initial_field(name: str, size: int, eps: float, dx: float, rng: np.random.Generator) -> Floats:
    """The initial field of a shape in a periodic cube, (size, size, size); `white_after` is still white here.

    Raises InputError for an unknown name, or a box in which the thinnest part would be thinner than the interface.
    """
    if name not in NAMES:
        raise InputError(unknown(name, NAMES, "shape"))
    if name in NOISE:
        return slice_noise(rng, (size,) * 3) if name == "slice" else white_noise(rng, (size,) * 3)
    if size * dx < 8 * eps:
        raise InputError(f"a box of side {size * dx:g} is too small for shapes of interface width {eps:g}")
    centres = (np.arange(size) + 0.5) / size
    points = np.stack(np.meshgrid(centres, centres, centres, indexing="ij"), axis=-1)
    return profile(BODIES[name](points) * size * dx, eps)
