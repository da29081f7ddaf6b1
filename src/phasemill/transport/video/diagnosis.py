"""What is wrong with a fit: terms that the equation lacks, colour of the residual, and the verdict in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2 as chi2_distribution

from phasemill.core.video import Video
from phasemill.transport.video.bumps import Floats
from phasemill.transport.video.equations import MEANINGS, Equation
from phasemill.transport.video.weak import WeakFit

SIGNIFICANT, RELEVANT = 5.0, 0.01
"""A missing term is named if its t statistic and its share of the observed rate of change are at least these."""
UNEXPLAINED = 0.3
"""Share of the rate of change that no term explains, from which the equation does not fit."""
CORRELATED = 0.2
"""... and least correlation of neighbouring residuals: noise of another colour or size alone does not reach it."""
SYSTEMATIC = 10.0
"""Reduced chi^2 from which the residual is no noise, and what is unexplained counts as an error of the result."""
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
    """Residual beyond the noise, as a share of the fitted rate of change."""
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
        step, covariance = fit.normal.step([*own, column])
        t = float(step[-1] / (np.sqrt(covariance[-1, -1]) * fit.scale))
        share = float(abs(step[-1]) * np.sqrt(apart) / _rate(fit, len(equation.terms)))
        found.append(MissingTerm(name, MEANINGS[name], t, share, abs(t) >= SIGNIFICANT and share >= RELEVANT))
    return tuple(found)


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


@dataclass(frozen=True)
class Verdict:
    """Whether the physics fits, in one sentence, and what else is to be known."""

    fits: bool
    sentence: str
    notes: tuple[str, ...]


def judge(
    video: Video, equation: Equation, fits: Sequence[WeakFit], best: WeakFit, missing: Sequence[MissingTerm],
    direction: str, sharpening: bool, first: tuple[float, float], chi2: float,
) -> Verdict:  # fmt: skip
    """The verdict on one video.

    Arguments:
        fits: with each set of bumps; best: the one that is reported.
        direction: as asked for; sharpening: as found.
        first: value and sigma of the first coefficient; chi2: of the fit that they come from.
    """
    needed = sorted((term for term in missing if term.needed), key=lambda term: -abs(term.t))
    rest = unexplained(best, len(equation.terms))
    correlated = max(abs(value) for axis, value in whiteness(best.residuals).items() if axis != "p")
    notes = [*(_about_noise(best, rest) if chi2 == best.chi2 else []), *_about_bumps(best, fits), *_about_pixels(video)]
    if abs(first[0]) < 3 * first[1] and not needed:
        sentence = f"{equation.names[0]} is not seen: it is within three sigma of zero"
    elif direction != "auto" and (direction == "sharpening") != sharpening:
        seen = "sharpens" if sharpening else "smooths"
        sentence = f"the physics does not fit: --direction is {direction}, but the field {seen}; use --direction auto"
    elif video.lossy and best.chi2 > SYSTEMATIC:
        sentence = (
            f"the numbers are not to be trusted: the errors of the compression are {best.scale:.0f} times what the "
            "noise of the pixels gives; save the video with less compression, or lossless as .tif or .npy"
        )
    elif needed:
        term = needed[0]
        sentence = (
            f"the physics does not fit: the residual asks for a term like {term.term} ({term.meaning}), "
            f"{abs(term.t):.0f} sigma, {100 * term.share:.0f} % of the rate of change"
        )
        if others := ", ".join(other.term for other in needed[1:]):
            notes.append(f"Each of these terms alone would also explain a part of the residual: {others}.")
    elif rest > UNEXPLAINED and correlated > CORRELATED:
        sentence = (
            f"the physics does not fit: {100 * rest:.0f} % of the rate of change is neither noise nor any of the "
            "terms that were tried"
        )
    elif not best.converged:
        sentence = "the fit did not converge: do not trust the numbers"
    else:
        return Verdict(True, f"{equation.formula} fits: nothing relevant is missing", tuple(notes))
    return Verdict(False, sentence, tuple(notes))


def _about_noise(best: WeakFit, rest: float) -> list[str]:
    if best.chi2 > SYSTEMATIC:
        return [
            f"The residual is far above the noise ({best.chi2:.2g} in chi^2), so it is a property of the data or of "
            f"the equation: the {100 * rest:.2g} % of the rate of change that it makes is part of each sigma."
        ]
    if best.chi2 > 1.3:
        return [
            f"The residual is {best.chi2:.3g} times (in chi^2) what white noise of the measured size gives, because of "
            f"its colour, rounding, compression or the sampling: all sigmas are multiplied by {best.scale:.3g}."
        ]
    return []


def _about_bumps(best: WeakFit, fits: Sequence[WeakFit]) -> list[str]:
    count = len(best.theta)
    for other in fits:
        spread = np.hypot(*(np.sqrt(np.diag(fit.covariance)[:count]) * fit.scale for fit in (best, other)))
        if np.any(np.abs(other.theta - best.theta) > 4 * spread + 0.02 * np.abs(best.theta)):
            return ["Narrow and wide bumps disagree: the frames may be too far apart, or the noise too large."]
    return []


def _about_pixels(video: Video) -> list[str]:
    if video.levels is None:
        return []
    black, white = np.sort(video.levels)
    clipped = float(np.mean((video.frames <= black) | (video.frames >= white)))
    if clipped < CLIPPED:
        return []
    return [f"{100 * clipped:.0f} % of the pixels are black or white: where pixels are clipped, the answer is biased."]


def _rate(fit: WeakFit, count: int) -> float:
    """Norm of the fitted right-hand side, whitened as the residual."""
    return float(np.sqrt(max(float(fit.theta @ fit.normal.signal[:count, :count] @ fit.theta), 1e-300)))
