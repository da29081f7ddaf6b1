"""Errors between fields and sizes of domains, in any dimension."""

from __future__ import annotations

from math import gamma, nan, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from phasemill.core.errors import InputError

Floats = NDArray[np.float64]


def rmse(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """sqrt(mean((truth - prediction)^2)), in the unit of the field."""
    return float(np.sqrt(np.mean(_error(truth, prediction) ** 2)))


def frame_mse(truth: NDArray[Any], prediction: NDArray[Any], dimensions: int) -> Floats:
    """mean((truth - prediction)^2) over the last axes, one number per frame."""
    return np.asarray(np.mean(_error(truth, prediction) ** 2, axis=tuple(range(-dimensions, 0))))


def mae(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """mean(|truth - prediction|), in the unit of the field."""
    return float(np.mean(np.abs(_error(truth, prediction))))


def relative_l2(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """sqrt(sum((truth - prediction)^2) / sum(truth^2)); nan if the truth is zero everywhere."""
    return _ratio(float(np.linalg.norm(_error(truth, prediction))), float(np.linalg.norm(_float64(truth))))


def r2(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """1 - sum((truth - prediction)^2) / sum((truth - mean(truth))^2), the coefficient of determination.

    1 is perfect, 0 as good as the mean of the truth, negative worse; nan if the truth is constant.
    """
    reference = _float64(truth)
    return 1 - _ratio(np.sum(_error(truth, prediction) ** 2), np.sum((reference - reference.mean()) ** 2))


def interface_displacement(truth: NDArray[Any], prediction: NDArray[Any], dx: float, walls: bool = False) -> float:
    """delta = sqrt(sum((truth - prediction)^2) / sum(|grad truth|^2)), a length.

    The root mean square distance between the true and the predicted interface while it is small against the
    interface width; beyond that the numerator grows only linearly and delta falls below the distance. The gradient
    is the forward difference, periodic or up to the walls. On a sampled tanh interface its square sum is low by a
    quarter as much as that of the central difference, which leaves delta 0.1 % high at a width of 6 cells. An
    interface that has relaxed on a grid of 3 cells per width is sharper than tanh: the sum is 0.382 per area instead
    of 1/3, and delta is 7 % low.

    Arguments:
        truth, prediction: one field each, in any dimension.
        dx: grid spacing.
        walls: whether the box ends at its faces; otherwise it is periodic.

    Returns nan if the truth has no interface at all. Source: Lanzoni et al. 2024, eq. 4 and appendix C.
    """
    reference = _float64(truth)
    jumps = (
        np.diff(reference, axis=axis) if walls else np.roll(reference, -1, axis) - reference
        for axis in range(reference.ndim)
    )
    gradient = sum(np.sum(jump**2) for jump in jumps)
    return sqrt(_ratio(np.sum(_error(truth, prediction) ** 2), gradient / dx**2))


def equivalent_radii(mask: NDArray[np.bool_], dx: float, periodic: bool = True) -> Floats:
    """The radius of the ball as large as each connected domain: sqrt(A / pi) in 2-D, (3 V / 4 pi)^(1/3) in 3-D.

    Arguments:
        mask: the cells inside domains, such as `phi > 0.5`; cells connect across faces.
        dx: grid spacing.
        periodic: whether a domain that leaves through one side goes on at the other.

    Returns the radii in descending order, empty if the mask is. Raises InputError for a mask that is not boolean.
    """
    if mask.dtype != np.bool_:
        raise InputError(f"mask has dtype {mask.dtype}: give a boolean one, such as phi > 0.5")
    labels, count = domains(mask, periodic)
    cells = np.bincount(labels[labels >= 0], minlength=count)
    volumes = np.sort(cells)[::-1] * dx**mask.ndim
    unit_ball = pi ** (mask.ndim / 2) / gamma(mask.ndim / 2 + 1)
    return np.asarray((volumes / unit_ball) ** (1 / mask.ndim))


def domains(mask: NDArray[np.bool_], periodic: bool = True) -> tuple[NDArray[np.integer[Any]], int]:
    """The number of the connected domain of each cell, -1 outside, in the mask's shape; and how many domains there are.

    Arguments as of `equivalent_radii`.
    """
    labels, count = ndimage.label(mask)
    numbers = _merge_across_sides(labels, count) if periodic else np.arange(count)
    return np.append(-1, numbers)[labels], int(numbers.max(initial=-1)) + 1


def _merge_across_sides(labels: NDArray[np.integer[Any]], count: int) -> NDArray[np.integer[Any]]:
    """The domain to which each of the `count` labels belongs once opposite sides of the box touch."""
    sides = [(labels.take(0, axis).ravel(), labels.take(-1, axis).ravel()) for axis in range(labels.ndim)]
    first, last = np.concatenate(sides, axis=1)
    touching = (first > 0) & (last > 0)
    links = (first[touching] - 1, last[touching] - 1)
    graph = coo_array((np.ones(len(links[0]), dtype=bool), links), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1])


def _float64(values: NDArray[Any]) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _error(truth: NDArray[Any], prediction: NDArray[Any]) -> Floats:
    """prediction - truth in float64; shapes must agree, since broadcasting would hide a mistake."""
    if np.shape(truth) != np.shape(prediction):
        raise InputError(f"truth has shape {np.shape(truth)} and prediction {np.shape(prediction)}: they must agree")
    return _float64(prediction) - _float64(truth)


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator > 0 else nan
