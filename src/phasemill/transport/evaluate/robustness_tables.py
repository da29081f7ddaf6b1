"""Tables of the benchmark on corrupted videos, and how well its standard deviations are calibrated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import chi2 as chi_squared

from phasemill.transport.evaluate.scoring import Scores

ByLabel = Mapping[str, Scores]


def calibration(z: Sequence[float], sigma: Sequence[float]) -> dict[str, float]:
    """Mean and standard deviation of z = (kappa_hat - kappa) / sigma, and the shares within one and two sigma.

    The mean |error| stands beside sqrt(2 / pi) <sigma>, which normal errors with these sigmas have in the mean.

    For normal z the interval [std_low, std_high] = std sqrt((n - 1) / chi2) holds the true spread with 95 %
    probability; a calibrated sigma has spread 1, and 68.3 % and 95.4 % within one and two.
    """
    values, error = np.array(z), np.abs(np.multiply(z, sigma))
    count, std = len(values), float(np.std(values, ddof=1))
    low, high = (std * float(np.sqrt((count - 1) / chi_squared.ppf(q, count - 1))) for q in (0.975, 0.025))
    return {
        "count": count,
        "mean": float(values.mean()),
        "std": std,
        "std_low": low,
        "std_high": high,
        "mae": float(error.mean()),
        "mae_error": float(error.std(ddof=1) / np.sqrt(count)),
        "mae_expected": float(np.sqrt(2 / np.pi) * np.mean(sigma)),
        "within_1": float(np.mean(np.abs(values) <= 1)),
        "within_2": float(np.mean(np.abs(values) <= 2)),
    }


def error_table(
    fits: Mapping[str, str],
    naive: ByLabel,
    forward: ByLabel,
    matched: ByLabel,
    baseline: Scores,
    stopped: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Mean |error| of kappa for each corruption: naive, naive in the unstable direction, and with the matching fit."""
    rows = [
        [
            *(label, naive[label]["all"]["mae"], f"{stopped[label]['naive']:.0%}"),
            *(forward[label]["mobility"]["mae"], f"{stopped[label]['forward']:.0%}"),
            *(fit, matched[label]["all"]["mae"], matched[label]["all"]["max_error"]),
        ]
        for label, fit in fits.items()
    ]
    return {
        "title": "Error of kappa",
        "columns": [
            *("corruption", "naive", "at the bound", "naive, mobility forward", "at the bound"),
            *("matching fit", "mean |error|", "largest |error|"),
        ],
        "rows": [
            *rows,
            ["none", None, None, None, None, "constant kappa", baseline["all"]["mae"], baseline["all"]["max_error"]],
        ],
        "note": (
            "Naive: the SAFE loss over pairs of frames with periodic sides, in the stable direction, or sharpening "
            "videos forward in the unstable one (forward Euler). At the bound: the share of answers that are an end of "
            "the interval searched; such an error says how wide the interval is. Nothing is told to a fit but the "
            "kind of corruption."
        ),
    }


def r2_table(naive: ByLabel, forward: ByLabel, matched: ByLabel, baseline: Scores) -> dict[str, Any]:
    """R2 of kappa per regime."""

    def both(scores: Scores) -> list[float | None]:
        return [scores[regime]["r2"] for regime in ("diffusion", "mobility")]

    rows = [[label, *both(naive[label]), forward[label]["mobility"]["r2"], *both(matched[label])] for label in matched]
    return {
        "title": "R2 of kappa per regime",
        "columns": [
            *("corruption", "naive, diffusion", "naive, mobility", "naive, mobility forward"),
            *("matching fit, diffusion", "matching fit, mobility"),
        ],
        "rows": [*rows, ["none, constant kappa", None, None, None, *both(baseline)]],
        "note": (
            "Unless noise is drawn anew, a mobility video poses the same problem as its diffusion twin in the stable "
            "direction, and one estimate serves both. Naive answers at the bound of the search (the table above says "
            "how many) make an R2 that depends on the bound."
        ),
    }


def calibration_table(
    noise: Mapping[str, float],
    fits: Mapping[str, Sequence[Mapping[str, float]]],
    spread: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """How the errors compare with the standard deviations that the fits state."""
    keys = ("count", "mean", "std", "std_low", "std_high", "within_1", "within_2", "mae", "mae_error", "mae_expected")
    rows = []
    for label, level in noise.items():
        median = {key: float(np.median([fit[key] for fit in fits[label]])) for key in fits[label][0]}
        found = [median["chi2"], median["noise"] / level, median["initial_rmse"] / level]
        rows.append([label, *(spread[label][key] for key in keys), *found])
    return {
        "title": "Calibration of sigma under noise",
        "columns": [
            *("corruption", "fits", "mean of error / sigma", "its spread", "2.5 %", "97.5 %"),
            *("within 1 sigma", "within 2 sigma", "mean |error|", "its standard error", "expected from sigma"),
            *("reduced chi2", "noise found / true", "error of first frame / noise"),
        ],
        "rows": rows,
        "note": (
            "Each fit has its own draw of the noise. Calibrated: spread 1, 68.3 % within one sigma, 95.4 % within two. "
            "The interval of the spread is that of normal errors. The error of the fitted first frame is its root mean "
            "square over cells, in units of the noise of a single frame."
        ),
    }
