"""A picture of the surface phi = level in a box, by marching a ray through the field for every pixel.

The rays are parallel. Each stops where phi first exceeds the level; where the box cuts through the body, its face is
shown. Light comes from the upper left; hollows are darker, by how much of the body lies around a point.
"""

from __future__ import annotations

from itertools import product
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from phasemill.core.kernels import kernel

Floats = NDArray[np.float64]

SURFACE = (0.24, 0.53, 0.80)
CUT = (0.98, 0.88, 0.68)
"""Colours of the surface and of the faces on which the box cuts the body."""
EDGE = (0.45, 0.48, 0.52)
LIGHT = (-0.4, 0.7, 0.8)
"""Direction to the light, in (right, up, towards the viewer)."""
STEP = 0.4
"""Along a ray, in cells."""
HOLLOW = 3.0
"""Distance over which hollows darken, in cells, for a box of 64; it grows with the box."""
FACE, BODY = 1, 2
"""What a ray can meet, 0 being nothing: a face of the box inside the body, or the surface."""


def view_axes(azimuth: float, elevation: float) -> Floats:
    """The unit vectors right, up and towards the viewer, as rows, for angles in degrees; z is up."""
    a, e = np.radians([azimuth, elevation])
    towards = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([-np.sin(a), np.cos(a), 0.0])
    return np.stack([right, np.cross(towards, right), towards])


def render(
    phi: NDArray[Any], level: float = 0.5, *, pixels: int = 480, azimuth: float = 35.0, elevation: float = 28.0,
    smooth: int = 2,
) -> NDArray[np.uint8]:  # fmt: skip
    """The body phi > level as a picture (rows, columns, RGBA) on a transparent ground.

    Arguments
    ---------
    phi: (x, y, z), values at the centres of cells.
    pixels: side of the square picture.
    azimuth, elevation: where the viewer is, in degrees; 0, 0 looks along -x with z upwards.
    smooth: rays per pixel along each side.
    """
    field = np.ascontiguousarray(phi, dtype=np.float32)
    axes = view_axes(azimuth, elevation)
    top = np.array(field.shape, dtype=np.float64) - 1
    scale = sqrt(float(np.sum((top + 1) ** 2))) * 1.02
    count = pixels * smooth
    across = ((np.arange(count) + 0.5) / count - 0.5) * scale
    origin = top / 2 + axes[2] * scale
    kind, depth = march(field, float(level), axes, origin, across, np.float64(2 * scale))
    rows, columns = np.nonzero(kind)
    points = (
        origin + across[columns, None] * axes[0] - across[rows, None] * axes[1] - depth[rows, columns, None] * axes[2]
    )
    picture = np.zeros((count, count, 4))
    picture[rows, columns, :3] = _shade(field, level, points, kind[rows, columns], axes)
    picture[rows, columns, 3] = 1
    _draw_edges(picture, depth, top, axes, origin, scale)
    return _shrunk(picture, smooth)


@kernel
def march(field: Any, level: float, axes: Any, origin: Any, across: Any, reach: float) -> Any:
    """What each ray meets, and how far away."""
    count = len(across)
    kind = np.zeros((count, count), np.int8)
    depth = np.full((count, count), np.inf)
    start, slope = np.empty(3), -axes[2]
    for row in range(count):
        for column in range(count):
            near, far = 0.0, reach
            for a in range(3):
                start[a] = origin[a] + across[column] * axes[0, a] - across[row] * axes[1, a]
                if abs(slope[a]) < 1e-12:
                    if start[a] < 0 or start[a] > field.shape[a] - 1:
                        far = -1.0
                    continue
                one, two = -start[a] / slope[a], (field.shape[a] - 1 - start[a]) / slope[a]
                near, far = max(near, min(one, two)), min(far, max(one, two))
            if far <= near:
                continue
            before = _sample(field, start, slope, near)
            if before > level:
                kind[row, column], depth[row, column] = FACE, near
                continue
            t = near
            while t < far:
                following = min(t + STEP, far)
                value = _sample(field, start, slope, following)
                if value > level:
                    kind[row, column] = BODY
                    depth[row, column] = t + (following - t) * (level - before) / (value - before)
                    break
                t, before = following, value
    return kind, depth


@kernel
def _sample(field: Any, start: Any, slope: Any, t: float) -> float:
    """Trilinear interpolation at start + t slope."""
    x, y, z = start[0] + t * slope[0], start[1] + t * slope[1], start[2] + t * slope[2]
    i = min(max(int(x), 0), field.shape[0] - 2)
    j = min(max(int(y), 0), field.shape[1] - 2)
    k = min(max(int(z), 0), field.shape[2] - 2)
    u, v, w = x - i, y - j, z - k
    low = (field[i, j, k] * (1 - w) + field[i, j, k + 1] * w) * (1 - v) + (
        field[i, j + 1, k] * (1 - w) + field[i, j + 1, k + 1] * w
    ) * v
    high = (field[i + 1, j, k] * (1 - w) + field[i + 1, j, k + 1] * w) * (1 - v) + (
        field[i + 1, j + 1, k] * (1 - w) + field[i + 1, j + 1, k + 1] * w
    ) * v
    return float(low * (1 - u) + high * u)


def _shade(field: NDArray[Any], level: float, points: Floats, kind: NDArray[Any], axes: Floats) -> Floats:
    """Colours of the points: diffuse and reflected light, and hollows that are darker."""
    slopes = np.stack(
        [map_coordinates(slope, points.T, order=1, mode="nearest") for slope in np.gradient(field)], axis=1
    )
    outward = -slopes / np.maximum(np.linalg.norm(slopes, axis=1), 1e-12)[:, None]
    faces = kind == FACE
    outward[faces] = _face_normals(points[faces], field.shape, axes[2])
    reach = HOLLOW * max(1.0, max(field.shape) / 64)
    filled = gaussian_filter((field > level).astype(np.float32), reach, mode="nearest")
    around = map_coordinates(filled, (points + reach * outward).T, order=1, mode="nearest")
    open_sky = np.where(faces, 1.0, np.clip(1.25 - 1.0 * around, 0.35, 1.0))
    light = np.array(LIGHT) / np.linalg.norm(LIGHT) @ axes
    diffuse = np.clip(outward @ light, 0, 1)
    glance = np.clip(outward @ _unit(light + axes[2]), 0, 1)
    colour = np.where(faces[:, None], CUT, SURFACE)
    bright = open_sky * np.where(faces, 0.66 + 0.36 * diffuse, 0.5 + 0.6 * diffuse)
    shine = np.where(faces, 0.0, 0.28 * glance**40 * open_sky)
    return np.asarray(np.clip(colour * bright[:, None] + shine[:, None], 0, 1))


def _face_normals(points: Floats, shape: tuple[int, ...], towards: Floats) -> Floats:
    """Outward normal of the face of the box on which each point lies."""
    top = np.array(shape) - 1
    visible = np.where(towards > 0, top, 0)
    axis = np.abs(points - visible).argmin(axis=1)
    return np.asarray(np.eye(3)[axis] * np.sign(towards)[axis][:, None])


def _draw_edges(picture: Floats, depth: Floats, top: Floats, axes: Floats, origin: Floats, scale: float) -> None:
    """The twelve edges of the box where nothing hides them."""
    count = len(picture)
    along = np.linspace(0, 1, 2 * count)[:, None]
    corners = [np.array(c) * top for c in product((0.0, 1.0), repeat=3)]
    for first, second in ((a, b) for a in corners for b in corners if np.count_nonzero(a != b) == 1 and (a <= b).all()):
        offset = first + along * (second - first) - origin
        columns = ((offset @ axes[0] / scale + 0.5) * count).astype(int)
        rows = ((-(offset @ axes[1]) / scale + 0.5) * count).astype(int)
        away = -(offset @ axes[2])
        for shift_row, shift_column in product((0, 1), repeat=2):
            r, c = np.minimum(rows + shift_row, count - 1), np.minimum(columns + shift_column, count - 1)
            seen = away < depth[r, c] + 0.5
            picture[r[seen], c[seen]] = (*EDGE, 1)


def _shrunk(picture: Floats, smooth: int) -> NDArray[np.uint8]:
    """The mean of the rays of each pixel; colours count by their opacity."""
    side = len(picture) // smooth
    picture[..., :3] *= picture[..., 3:]
    mean = picture.reshape(side, smooth, side, smooth, 4).mean(axis=(1, 3))
    mean[..., :3] /= np.maximum(mean[..., 3:], 1e-9)
    return np.asarray(np.rint(255 * mean), np.uint8)


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector))
