"""What is wrong with a fit: terms that the equation lacks, colour of the residual, and the verdict in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2 as chi2_distribution
from scipy.stats import norm
from scipy.stats import t as student

from phasemill.core.video import Video
from phasemill.transport.video.bumps import Floats
from phasemill.transport.video.equations import MEANINGS, Equation
from phasemill.transport.video.least_squares import LEAST_GROUPS
from phasemill.transport.video.weak import WeakFit

SIGNIFICANT, RELEVANT = 5.0, 0.01
"""A missing term is named if its t statistic and its share of the observed rate of change are at least these."""
UNEXPLAINED = 0.3
"""Share of the rate of change that no term explains, from which the equation does not fit."""
LASTING = 0.2
"""... and least correlation of residuals four or more bumps apart in time: noise, blurred or not, does not reach it."""
CHANCE = 4.0
"""... which also exceeds its own standard deviation by this factor."""
COMPRESSED = 10.0
"""Reduced chi^2 from which the errors of a codec, which are no noise, drown the changes of a film."""
FREE_OF_NOISE = 1e3
"""Reduced chi^2 beyond which noise is not what limits the fit."""
CLIPPED = 0.02
"""Share of black and white pixels from which they are mentioned."""
LAGS = 3


@dataclass(frozen=True)
class MissingTerm:
    """A term that the equation does not have, and what the residual says about it."""

    term: str
    meaning: str
    t: float
    """Its coefficient over its standard deviation."""
    share: float
    """The part of the observed rate of change that it alone explains."""
    needed: bool


def unexplained(fit: WeakFit, count: int) -> float:
    """Residual beyond the noise, as a share of the observed rate of change."""
    return float(np.sqrt(max(0.0, fit.normal.q - fit.normal.tests)) / _rate(fit, count))


def missing_terms(fit: WeakFit, equation: Equation) -> tuple[MissingTerm, ...]:
    """Each candidate added alone: its coefficient over sigma, and the share of the rate that only it explains."""
    fitted = len(fit.covariance)
    own = list(range(fitted))
    found = []
    for number, name in enumerate(equation.missing):
        column = fitted + number
        signal = fit.normal.signal
        inside = signal[np.ix_(own, own)]
        apart = (
            signal[column, column] - signal[column, own] @ np.linalg.pinv(inside, hermitian=True) @ signal[own, column]
        )
        if apart <= 1e-9 * signal[column, column]:  # it cannot be told from the fitted terms, or it is noise alone
            found.append(MissingTerm(name, MEANINGS[name], 0.0, 0.0, False))
            continue
        step, white = fit.normal.step([*own, column])
        # where groups of bumps err alike their scatter says nothing about chance, so chi^2 is the other measure
        alike = float(step[-1] / np.sqrt(white[-1, -1] * max(1.0, fit.chi2)))
        variance = fit.normal.covariance([*own, column])[-1, -1]
        scattered = _as_normal(float(step[-1] / np.sqrt(variance)), len(fit.normal.scores) - 1)
        t = max(alike, scattered, key=abs)
        share = float(abs(step[-1]) * np.sqrt(apart) / _rate(fit, len(equation.terms)))
        found.append(MissingTerm(name, MEANINGS[name], t, share, abs(t) >= SIGNIFICANT and share >= RELEVANT))
    return tuple(found)


def _as_normal(t: float, degrees: int) -> float:
    """The deviation of a normal variable that is as unlikely as Student's t with so many degrees of freedom."""
    if degrees < LEAST_GROUPS:  # the variance is no empirical one
        return t
    return float(np.sign(t) * norm.isf(max(student.sf(abs(t), degrees), 1e-300)))


def whiteness(residuals: Sequence[Floats]) -> dict[str, float]:
    """Autocorrelation at lag 1 along each axis, and p of Ljung and Box's test over the first lags of all axes."""
    power = sum(float(np.sum(z**2)) for z in residuals) / sum(z.size for z in residuals)
    statistic, result, lags = 0.0, {}, 0
    for axis, name in enumerate("txy"):
        for lag in range(1, LAGS + 1):
            moved = [np.moveaxis(z, axis, 0) for z in residuals]
            pairs = [(z[lag:], z[:-lag]) for z in moved]
            if count := sum(a.size for a, _ in pairs):
                correlation = sum(float(np.sum(a * b)) for a, b in pairs) / count / power
                statistic += count * correlation**2
                lags += 1
                if lag == 1:
                    result[name] = correlation
    return {**result, "p": float(chi2_distribution.sf(statistic, lags))}


def lasting(residuals: Sequence[Floats]) -> float:
    """Largest autocorrelation in time, in size, at four to eight bumps (or as many as there are), if not by chance."""
    power = sum(float(np.sum(z**2)) for z in residuals) / sum(z.size for z in residuals)
    rows = len(residuals[0])
    lags = range(min(4, rows - 1), min(8, rows - 1) + 1)
    found = [0.0]
    for lag in (lag for lag in lags if lag > 0):
        value = abs(float(np.mean([np.mean(z[lag:] * z[: rows - lag]) for z in residuals]))) / power
        count = sum(z[lag:].size for z in residuals)
        found.append(value if value > CHANCE / np.sqrt(count) else 0.0)
    return max(found)


def systematic(video: Video, fit: WeakFit, missing: Sequence[MissingTerm], count: int) -> float:
    """Share of the rate of change that counts as an error of the coefficients, because it is no noise."""
    no_noise = (video.lossy and fit.chi2 > COMPRESSED) or lasting(fit.residuals) > LASTING
    return unexplained(fit, count) if no_noise or any(term.needed for term in missing) else 0.0


@dataclass(frozen=True)
class Verdict:
    """Whether the physics fits, in one sentence, and what else is to be known."""

    fits: bool
    sentence: str
    notes: tuple[str, ...]


def judge(
    video: Video, equation: Equation, fits: Sequence[WeakFit], best: WeakFit, missing: Sequence[MissingTerm],
    direction: str, sharpening: bool, first: tuple[float, float], chi2: float, scale: float,
) -> Verdict:  # fmt: skip
    """The verdict on one video.

    Arguments:
        fits: with each set of bumps; best: the one that is reported.
        direction: as asked for; sharpening: as found.
        first: value and sigma of the first coefficient; chi2, scale: of the fit that they come from.
    """
    needed = sorted((term for term in missing if term.needed), key=lambda term: -abs(term.t))
    rest = unexplained(best, len(equation.terms))
    part = systematic(video, best, missing, len(equation.terms))
    clipped = clipped_share(video)
    notes = [*_about_noise(chi2, scale, part), *_about_bumps(best, fits), *_about_axes(video)]
    if clipped >= CLIPPED:
        notes.append(
            f"{100 * clipped:.0f} % of the pixels are black or white: where pixels are clipped, the answer is biased."
        )
    if video.lossy and best.chi2 > COMPRESSED:
        sentence = (
            f"the numbers are not to be trusted: the errors of the compression are {best.chi2**0.5:.0f} times what "
            "the noise of the pixels gives; save the video with less compression, or lossless as .tif or .npy"
        )
    elif abs(first[0]) < 3 * first[1] and not needed:
        sentence = f"{equation.names[0]} is not seen: it is within three sigma of zero"
    elif direction != "auto" and (direction == "sharpening") != sharpening:
        seen = "sharpens" if sharpening else "smooths"
        sentence = f"the physics does not fit: direction is {direction}, but the field {seen}; use direction auto"
    elif needed and clipped >= CLIPPED:
        sentence = (
            f"not decided: {100 * clipped:.0f} % of the pixels are clipped, which alone can look like the term "
            f"{needed[0].term} that the residual asks for; store the field with room below black and above white"
        )
    elif needed:
        term = needed[0]
        sentence = (
            f"the physics does not fit: the residual asks for a term like {term.term} ({term.meaning}), "
            f"{abs(term.t):.0f} sigma, {100 * term.share:.0f} % of the rate of change"
        )
        if others := ", ".join(other.term for other in needed[1:]):
            notes.append(f"Each of these terms alone would also explain a part of the residual: {others}.")
    elif rest > UNEXPLAINED and lasting(best.residuals) > LASTING:
        sentence = (
            f"the physics does not fit: {100 * rest:.0f} % of the rate of change is neither noise nor any of the "
            "terms that were tried"
        )
    elif not best.converged:
        sentence = "the fit did not converge: do not trust the numbers"
    else:
        return Verdict(True, f"{equation.formula} fits: nothing relevant is missing", tuple(notes))
    return Verdict(False, sentence, tuple(notes))


def _about_noise(chi2: float, scale: float, part: float) -> list[str]:
    notes = []
    if chi2 > FREE_OF_NOISE:
        notes.append(
            "The noise of the pixels is far below what any method resolves, so chi^2 and whiteness say nothing here: "
            "sigma is taken from the scatter between parts of the data."
        )
    elif chi2 > 1.3:
        notes.append(
            f"The residual is {chi2:.3g} times (in chi^2) what white noise of the measured size gives, because of its "
            "colour, rounding, compression, or the equation: sigma is therefore taken from the scatter between parts "
            f"of the data and is {scale:.3g} times that of white noise."
        )
    if part > 0:
        notes.append(
            f"The residual is no noise, so the {100 * part:.3g} % of the rate of change that it makes is part of each "
            "sigma."
        )
    return notes


def _about_bumps(best: WeakFit, fits: Sequence[WeakFit]) -> list[str]:
    lattice = best.lattice
    if lattice.kappa is not None and lattice.reach * lattice.dx < 5 * np.sqrt(abs(lattice.kappa) * lattice.interval):
        return [
            "The frames are far apart: the field spreads over more cells between them than the bumps can follow, which "
            "is part of sigma; use a larger window, or frames that are closer in time."
        ]
    for other in fits:
        if np.any(
            np.abs(other.theta - best.theta) > 4 * np.hypot(best.sigmas, other.sigmas) + 0.02 * np.abs(best.theta)
        ):
            return ["Narrow and wide bumps disagree: the frames may be too far apart, or the noise too large."]
    return []


def clipped_share(video: Video) -> float:
    """Share of the pixels that are black or white, if both are known."""
    if video.levels is None:
        return 0.0
    black, white = np.sort(video.levels)
    least = 1e-9 * (white - black)
    return float(np.mean((video.frames <= black + least) | (video.frames >= white - least)))


def _about_axes(video: Video) -> list[str]:
    """A hint where the last axis looks like time: the others are equal, and its neighbours differ least."""
    time, x, y = video.frames.shape
    steps = [float(np.mean(np.abs(np.diff(video.frames, axis=axis)))) for axis in range(3)]
    if time != x or x == y or steps[2] > 0.8 * min(steps[:2]):
        return []
    return [
        "The last axis looks like time: arrays are (time, x, y); np.moveaxis(a, -1, 0) turns (x, y, time) into that."
    ]


def _rate(fit: WeakFit, count: int) -> float:
    """Norm of the observed rate of change, whitened: of the fitted right-hand side and the residual beyond noise."""
    fitted = float(fit.theta @ fit.normal.signal[:count, :count] @ fit.theta)
    return float(np.sqrt(max(fitted + max(0.0, fit.normal.q - fit.normal.tests), 1e-300)))
