"""Dynamic scaling: exponents of decaying quantities with intervals, and the collapse of the structure factor.

Late coarsening looks the same at all times once lengths are measured in the size L(t) of the pattern: the area of the
interfaces falls as t^(-1/3), and S(k, t) = L^3 s(k L). A finite box ends in a lamella, whose area remains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEWEST = 4
"""Times that a fit needs."""
MEMBERS = 3
"""From so many runs on they are resampled; with fewer, the residuals of the fit are."""
CONFIDENCE = (2.5, 97.5)
"""Percentiles of the 95 % interval."""


@dataclass(frozen=True)
class Exponent:
    """A slope in a double logarithmic plot with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def exponent(
    times: Floats, values: Floats, window: tuple[float, float], rng: np.random.Generator, resamples: int
) -> Exponent | None:
    """b of mean(values) ~ t^b within the window, by least squares on the logarithms.

    Arguments
    ---------
    times: (time).
    values: (member, time), such as the free energy of each run.
    window: first and last time of the fit.
    resamples: bootstrap resamples for the interval: of the members, or, where there are fewer than three, of blocks of
        residuals, whose interval tells how straight the line is and not how much runs differ.

    Returns None where the times do not cover the window, fewer than four fall into it, or a mean is not positive or
    not a number.
    """
    inside = (times >= window[0] * (1 - 1e-9)) & (times <= window[1] * (1 + 1e-9))
    mean = values.mean(axis=0)[inside]
    if inside.sum() < FEWEST or not mean.min() > 0:
        return None
    spacing = np.exp(np.diff(np.log(times[inside])).max())
    if times[inside][0] > window[0] * spacing or times[inside][-1] < window[1] / spacing:
        return None
    x = np.log(times[inside])
    fit = _slopes(x, np.log(mean))
    if len(values) >= MEMBERS:
        shares = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=resamples) / len(values)
        drawn = shares @ values[:, inside]
        if drawn.min() <= 0:  # a resample in which all members have arrived
            drawn = drawn[drawn.min(axis=1) > 0]
        slopes = _slopes(x, np.log(drawn))
    else:
        line = np.log(mean).mean() + fit * (x - x.mean())
        slopes = _slopes(x, line + _blocks(np.log(mean) - line, rng, resamples))
    low, high = np.percentile(slopes, CONFIDENCE)
    return Exponent(float(fit), float(low), float(high))


def _slopes(x: Floats, y: Floats) -> Floats:
    """Least-squares slope of each row of y (..., time)."""
    centred = x - x.mean()
    return np.asarray(y @ centred / (centred @ centred))


def _blocks(residuals: Floats, rng: np.random.Generator, resamples: int) -> Floats:
    """Residuals in a new order, in blocks of neighbours, which are alike (circular block bootstrap)."""
    n = len(residuals)
    length = max(2, round(np.sqrt(n)))
    first = rng.integers(0, n, size=(resamples, -(-n // length), 1))
    return residuals[((first + np.arange(length)) % n).reshape(resamples, -1)[:, :n]]


def scaled(k: Floats, s: Floats) -> tuple[Floats, Floats]:
    """(x, s(x)) of S(k) = c L^3 s(k L / 2 pi): x = k / q, q = sum k S / sum S, and sum x^2 s dx = 1."""
    q = float(np.sum(k * s) / np.sum(s))
    x = k / q
    return x, s / float(np.sum(x**2 * s) * (x[1] - x[0]))


def collapse(k: Floats, factors: Floats, low: float = 0.5, high: float = 2.0) -> float:
    """How far scaled structure factors of several times lie apart: rms over x of their std over their mean.

    Arguments
    ---------
    factors: S(k, t), (time, k).
    low, high: the interval of x = k / q(t) that is compared.
    """
    x = np.linspace(low, high, 31)
    curves = np.array([np.interp(x, *scaled(k, s)) for s in factors])
    return float(np.sqrt(np.mean((curves.std(axis=0) / curves.mean(axis=0)) ** 2)))
