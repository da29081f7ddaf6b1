"""Coefficients of a field equation from a video, by its weak form and generalised total least squares.

    u_t = sum_j theta_j D_j f_j(u),     r_b(theta) = <b, u_t - sum_j theta_j D_j f_j(u)>     for each bump b

The operators act on the bumps, which vanish at the border of the pixels that they cover: no boundary condition is
needed and no noisy frame is differentiated. White noise n on the pixels reaches r as W n, W being the derivative of r
by the pixels, so its covariance is C(theta) = sigma^2 W W^T. The minimum of Q = r^T C^-1 r has no errors-in-variables
bias: noise in a frame is not taken for roughness that is smoothed away.

Sources: weak-form identification, Messenger and Bortz, J. Comput. Phys. 443 (2021) 110525; generalised total least
squares, Van Huffel and Vandewalle, SIAM J. Matrix Anal. Appl. 10 (1989) 294.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial import Polynomial

from phasemill.core.seeds import branch
from phasemill.transport.video.bumps import Floats, Kind, Lattice
from phasemill.transport.video.least_squares import Factor, Normal, grouped

DRAWS = 4
"""Draws of pure noise, over all blocks, that tell how much of each column is noise."""
ITERATIONS = 15
TOLERANCE = 1e-2
"""Largest last step, in units of sigma."""
U = Polynomial([0, 1])


@dataclass(frozen=True)
class Term:
    """One term theta D f(u) of the right-hand side: its operator, and f by its coefficients of 1, u, u^2, ..."""

    name: str
    kind: Kind
    f: tuple[float, ...] = (0, 1)


TAIL = Term("tail", "tail")
"""The next cells, which the window cuts off, add to lap u at most what its last cells add."""


@dataclass(frozen=True)
class WeakFit:
    """The minimum of Q for one lattice of bumps."""

    theta: Floats
    gamma: float
    covariance: Floats
    """Of theta, and of gamma as the last if it was fitted; what the cut tail may do counts as a standard deviation."""
    normal: Normal
    """Of the fitted columns and the candidates."""
    residuals: list[Floats]
    """Whitened, one array (bumps t, x, y) per block: independent and of variance 1 if equation and noise are right."""
    lattice: Lattice
    converged: bool

    @property
    def chi2(self) -> float:
        """Q per degree of freedom."""
        return self.normal.q / max(1, self.normal.tests - len(self.covariance))

    @property
    def scale(self) -> float:
        """Sigma of the first coefficient over what white noise of the given size would make it."""
        return float(np.sqrt(self.covariance[0, 0] / self.normal.step(range(len(self.covariance)))[1][0, 0]))

    @property
    def sigmas(self) -> Floats:
        """Standard deviations of theta."""
        return np.asarray(np.sqrt(np.diag(self.covariance)[: len(self.theta)]))


def fit_weak(
    blocks: Sequence[Floats], lattice: Lattice, terms: Sequence[Term], *, noise: float, start: Floats,
    gamma: float | None = None, candidates: Sequence[Term] = (),
) -> WeakFit:  # fmt: skip
    """Gauss-Newton for theta, and for the exponent of u = v^gamma if a first guess is given.

    Arguments:
        blocks: disjoint parts of the video, (time, x, y), all of the lattice's shape.
        lattice: the bumps; one with a `kappa` is exact for the heat equation, and theta[0] then is that kappa.
        terms: of the right-hand side.
        noise: sigma of the white noise on a pixel.
        start: first guess of theta.
        candidates: terms whose columns are measured as well, at the minimum.

    Raises LinAlgError for bumps that do not determine theta.
    """
    theta, exponent, fitted = np.array(start, dtype=float), gamma or 1.0, len(terms) + (gamma is not None)
    converged = False
    for _ in range(ITERATIONS):
        now = [Block(block, _at(lattice, theta), noise) for block in blocks]
        normal = sum_of([block.normal(terms, theta, exponent, gamma is not None)[0] for block in now])
        step, covariance = normal.step(range(fitted))
        theta, exponent = theta + step[: len(terms)], exponent + float(step[len(terms) :].sum())
        exponent = min(max(exponent, 0.2), 5.0)
        if not np.isfinite(theta).all():
            raise np.linalg.LinAlgError("the steps diverge")
        if converged := bool(np.all(np.abs(step) <= TOLERANCE * np.sqrt(np.diag(covariance)))):
            break
    parts, residuals = [], []
    tested = [*candidates, TAIL] if lattice.kappa is not None else candidates
    for number, block in enumerate(blocks):
        draws = [
            np.random.default_rng(seed) for seed in branch(number, "noise in the columns", -(-DRAWS // len(blocks)))
        ]
        last = Block(block, _at(lattice, theta), noise)
        part, residual = last.normal(terms, theta, exponent, gamma is not None, tested, draws)
        parts.append(part)
        residuals.append(residual)
    normal = sum_of(parts)
    covariance = normal.covariance(range(fitted))
    if lattice.kappa is not None:
        cut = theta[0] * np.linalg.solve(normal.signal[:fitted, :fitted], normal.signal[:fitted, -1])
        covariance += np.outer(cut, cut)
    return WeakFit(theta, exponent, covariance, normal, residuals, _at(lattice, theta), converged)


def sum_of(parts: Sequence[Normal]) -> Normal:
    """The normal equations of all blocks together."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


@dataclass(frozen=True)
class Pixels:
    """Polynomials f of the field u = v^gamma, read from pixels v = truth + noise.

    On average f comes out too large by (sigma^2 / 2) d^2 f / dv^2, which `of` takes away.
    """

    v: Floats
    variance: float
    gamma: float = 1.0

    @cached_property
    def _positive(self) -> Floats:
        """v kept away from 0, where the slope of v^gamma is singular, by the noise."""
        return np.maximum(self.v, max(2 * np.sqrt(self.variance), 1e-3 * float(self.v.max())))

    @cached_property
    def u(self) -> Floats:
        """The field."""
        return self.v if self.gamma == 1 else self._positive**self.gamma

    def of(self, f: Polynomial) -> Floats:
        """f(u), free of the noise's bias."""
        if self.gamma == 1:
            return np.asarray(f(self.v) - 0.5 * self.variance * f.deriv(2)(self.v))
        slope = self.gamma * self._positive ** (self.gamma - 1)
        bend = (self.gamma - 1) * slope / self._positive
        return np.asarray(f(self.u) - 0.5 * self.variance * (f.deriv(2)(self.u) * slope**2 + f.deriv()(self.u) * bend))

    def slope(self, f: Polynomial) -> Floats:
        """df/dv, of shape (1, 1, 1) where it is the same everywhere."""
        if self.gamma == 1:
            return np.full((1, 1, 1), f.deriv()(0.0)) if f.degree() <= 1 else np.asarray(f.deriv()(self.v))
        return np.asarray(f.deriv()(self.u) * self.gamma * self._positive ** (self.gamma - 1))

    def by_gamma(self, f: Polynomial) -> Floats:
        """df/dgamma."""
        return np.asarray(f.deriv()(self.u) * self.u * np.log(self._positive))


@dataclass(frozen=True)
class Block:
    """One block of the video, the bumps that cover it, and sigma of the noise on a pixel."""

    pixels: Floats
    lattice: Lattice
    noise: float

    def normal(
        self, terms: Sequence[Term], theta: Floats, gamma: float = 1.0, fit_gamma: bool = False,
        candidates: Sequence[Term] = (), draws: Sequence[np.random.Generator] = (),
    ) -> tuple[Normal, Floats]:  # fmt: skip
        """The normal equations at theta, and the whitened residual (bumps t, x, y).

        The columns are those of the pixels without the noise that the residual betrays, sigma^2 W^T C^-1 r; with
        them the score is the exact derivative of -Q / 2.
        """
        lattice = self.lattice
        seen = Pixels(self.pixels, self.noise**2, gamma)
        right: dict[Kind, Polynomial] = {}
        for term, value in zip(terms, theta, strict=True):
            right[term.kind] = right.get(term.kind, Polynomial([0])) + value * Polynomial(term.f)
        residual = lattice.measure(seen.of(U), "rate")
        rows = self._windows(seen.slope(U)) * lattice.weights["rate"]
        for kind, f in right.items():
            residual = residual - lattice.measure(seen.of(f), kind)
            rows = rows - self._windows(seen.slope(f)) * lattice.weights[kind]
        factor = Factor(lattice, rows, self.noise**2)
        z = factor.whiten(residual)

        clean = Pixels(self.pixels - self._noise_behind(rows, factor.weigh(z)), self.noise**2, gamma)
        tested = [*terms, *candidates]
        columns = [lattice.measure(clean.of(Polynomial(t.f)), t.kind, tangent=True) for t in tested]
        if fit_gamma:
            moved = [lattice.measure(clean.by_gamma(f), kind) for kind, f in right.items()]
            columns.insert(len(terms), np.sum(moved, 0) - lattice.measure(clean.by_gamma(U), "rate"))
        whitened = np.stack([factor.whiten(column) for column in columns])

        noise = np.zeros((len(columns), len(columns)))
        for draw in draws:
            drawn = self.noise * draw.standard_normal(self.pixels.shape)
            everywhere = np.broadcast_to(rows, (lattice.counts[0], *rows.shape[1:]))
            reached = np.stack([
                np.einsum("xytij,xytij->xy", *np.broadcast_arrays(windows, row))
                for windows, row in zip(lattice.windows(drawn), everywhere, strict=True)
            ])  # fmt: skip
            drawn -= self._noise_behind(rows, factor.weigh(factor.whiten(reached)))
            columns = [lattice.measure(seen.slope(Polynomial(t.f)) * drawn, t.kind, tangent=True) for t in tested]
            if fit_gamma:
                columns.insert(len(terms), np.zeros(lattice.counts))
            h = np.stack([factor.whiten(column).ravel() for column in columns])
            noise += h @ h.T / len(draws)
        return Normal(*grouped(whitened, z, lattice.step[0]), noise, float(np.sum(z**2)), lattice.size), z

    def _windows(self, slope: Floats) -> Floats:
        return self.lattice.windows(slope) if slope.size > 1 else slope.reshape((1,) * 6)

    def _noise_behind(self, rows: Floats, weighed: Floats) -> Floats:
        """The most likely noise on the pixels, sigma^2 W^T C^-1 r."""
        return self.noise**2 * self.lattice.scatter(rows, weighed)


def _at(lattice: Lattice, theta: Floats) -> Lattice:
    """The lattice whose "lap" is exact for the present kappa, if it is one for the heat equation."""
    return lattice if lattice.kappa is None else lattice.with_kappa(float(theta[0]))
