"""The equations whose coefficients `recovery` can find, as linear combinations of terms, and terms that may be missing.

    heat            u_t = kappa lap u
    fisher          u_t = kappa lap u + r u (1 - u)
    allen_cahn      u_t = -M (u^3 - u) + M eps^2 lap u
    cahn_hilliard   u_t = M lap (u^3 - u) - M eps^2 lap lap u

If the pixels are an unknown affine map of the field, u = gain v + offset, the powers of v get coefficients of their
own, from which gain, offset and the coefficients of the equation follow in closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from phasemill.transport.video.bumps import Floats
from phasemill.transport.video.weak import Term

Physics = Literal["heat", "fisher", "allen_cahn", "cahn_hilliard"]


@dataclass(frozen=True)
class Equation:
    """Terms of the right-hand side and what their coefficients theta mean."""

    formula: str
    names: tuple[str, ...]
    """Of the coefficients."""
    terms: tuple[Term, ...]
    coefficients: Callable[[Floats], Floats]
    """theta -> the named coefficients."""
    smoothing: Callable[[Floats], float]
    """theta -> a number that is negative if time runs backwards, so that the field sharpens."""
    missing: tuple[str, ...]
    """Names of the terms, of those in `MISSING`, that could be there besides."""
    reach: int = 1


MISSING = {
    term.name: term
    for term in (
        Term("1", "value", (1,)),
        Term("u", "value"),
        Term("u^2", "value", (0, 0, 1)),
        Term("u^3", "value", (0, 0, 0, 1)),
        Term("lap u", "lap"),
        Term("lap u^2", "lap", (0, 0, 1)),
        Term("lap u^3", "lap", (0, 0, 0, 1)),
        Term("u_xx - u_yy", "xx-yy"),
        Term("u_x", "d/dx"),
        Term("u_y", "d/dy"),
        Term("lap lap u", "lap2"),
    )
}
MEANINGS = {
    "1": "a source, or a drift of the black level",
    "u": "growth or decay, or a drift of the gain",
    "u^2": "a reaction",
    "u^3": "a reaction",
    "lap u": "diffusion",
    "lap u^2": "a coefficient that depends on the field or on the place",
    "lap u^3": "a coefficient that depends on the field or on the place",
    "u_xx - u_yy": "anisotropy, or pixels that are not square",
    "u_x": "a drift of the picture along x",
    "u_y": "a drift of the picture along y",
    "lap lap u": "a fourth-order term, or blur that changes with time",
}

_LAP, _LAP2 = Term("lap u", "lap"), Term("lap lap u", "lap2")
_POWERS = tuple(Term(name, "value", (0,) * k + (1,)) for k, name in enumerate(("1", "u", "u^2", "u^3")))
_LAP_POWERS = tuple(Term(f"lap {name}", "lap", (0,) * k + (1,)) for k, name in enumerate(("u", "u^2", "u^3"), 1))


def _fisher_affine(theta: Floats) -> Floats:
    """kappa lap v + c0 + c1 v + c2 v^2: r^2 = c1^2 - 4 c0 c2, gain = -c2 / r, offset = (1 - c1 / r) / 2."""
    kappa, c0, c1, c2 = theta
    r = np.copysign(np.sqrt(max(c1**2 - 4 * c0 * c2, 1e-300)), kappa)
    return np.array([kappa, r, -c2 / r, (1 - c1 / r) / 2])


def _allen_cahn_affine(theta: Floats) -> Floats:
    """c1 v + c2 v^2 + c3 v^3 + ...: M = c1 - c2^2 / (3 c3), gain^2 = -c3 / M, offset / gain = c2 / (3 c3)."""
    _, c1, c2, c3, stiffness = theta
    ratio = c2 / (3 * c3)
    mobility = c1 - 3 * ratio**2 * c3
    gain = np.sqrt(max(-c3 / mobility, 1e-300))
    return np.array([mobility, stiffness / mobility, gain, ratio * gain])


def _cahn_hilliard_affine(theta: Floats) -> Floats:
    """lap (c1 v + c2 v^2 + c3 v^3) + ...: as Allen-Cahn with the opposite sign."""
    c1, c2, c3, stiffness = theta
    ratio = c2 / (3 * c3)
    mobility = 3 * ratio**2 * c3 - c1
    gain = np.sqrt(max(c3 / mobility, 1e-300))
    return np.array([mobility, -stiffness / mobility, gain, ratio * gain])


_KAPPA_U, _PICTURE = ("lap u^2", "lap u^3"), ("u_x", "u_y", "u_xx - u_yy")

EQUATIONS: dict[Physics, Equation] = {
    "heat": Equation(
        "u_t = kappa lap u",
        ("kappa",),
        (_LAP,),
        lambda theta: theta,
        lambda theta: float(theta[0]),
        ("1", "u", "u^2", "u^3", *_KAPPA_U, *_PICTURE, "lap lap u"),
    ),
    "fisher": Equation(
        "u_t = kappa lap u + r u (1 - u)",
        ("kappa", "r"),
        (_LAP, Term("u (1 - u)", "value", (0, 1, -1))),
        lambda theta: theta,
        lambda theta: float(theta[0]),
        ("1", "u", "u^3", *_KAPPA_U, *_PICTURE, "lap lap u"),
        reach=2,
    ),
    "allen_cahn": Equation(
        "u_t = -M (u^3 - u) + M eps^2 lap u",
        ("M", "eps^2"),
        (Term("u - u^3", "value", (0, 1, 0, -1)), _LAP),
        lambda theta: np.array([theta[0], theta[1] / theta[0]]),
        lambda theta: float(theta[1]),
        ("1", "u", "u^2", *_KAPPA_U, *_PICTURE, "lap lap u"),
        reach=2,
    ),
    "cahn_hilliard": Equation(
        "u_t = M lap (u^3 - u) - M eps^2 lap lap u",
        ("M", "eps^2"),
        (Term("lap (u^3 - u)", "lap", (0, -1, 0, 1)), _LAP2),
        lambda theta: np.array([theta[0], -theta[1] / theta[0]]),
        lambda theta: -float(theta[1]),
        ("1", "u", "u^2", "u^3", "lap u", "lap u^2", *_PICTURE),
        reach=2,
    ),
}

AFFINE: dict[Physics, Equation] = {
    "heat": EQUATIONS["heat"],
    "fisher": Equation(
        EQUATIONS["fisher"].formula,
        ("kappa", "r", "gain", "offset"),
        (_LAP, *_POWERS[:3]),
        _fisher_affine,
        lambda theta: float(theta[0]),
        ("u^3", *_KAPPA_U, *_PICTURE, "lap lap u"),
        reach=2,
    ),
    "allen_cahn": Equation(
        EQUATIONS["allen_cahn"].formula,
        ("M", "eps^2", "gain", "offset"),
        (*_POWERS, _LAP),
        _allen_cahn_affine,
        lambda theta: float(theta[4]),
        (*_KAPPA_U, *_PICTURE, "lap lap u"),
        reach=2,
    ),
    "cahn_hilliard": Equation(
        EQUATIONS["cahn_hilliard"].formula,
        ("M", "eps^2", "gain", "offset"),
        (*_LAP_POWERS, _LAP2),
        _cahn_hilliard_affine,
        lambda theta: -float(theta[3]),
        ("1", "u", "u^2", "u^3", *_PICTURE),
        reach=2,
    ),
}

PHASES: dict[Physics, tuple[float, float]] = {"fisher": (0, 1), "allen_cahn": (-1, 1), "cahn_hilliard": (-1, 1)}


def about_range(frames: Floats, physics: Physics, intensity: str) -> list[str]:
    """A hint where the values cannot be those of the field: the reaction or double well fixes their unit."""
    if physics not in PHASES or intensity == "affine":
        return []
    low, high = PHASES[physics]
    seen = np.quantile(frames, [0.01, 0.99])
    if low - 0.5 <= seen[0] and seen[1] <= high + 0.5 and (low == 0 or seen[0] < 0):
        return []
    return [
        f"The values lie between {seen[0]:.3g} and {seen[1]:.3g}, but the phases of {physics} are {low} and {high}: "
        "say which field values black and white are (--values on the command line), or use intensity affine."
    ]
