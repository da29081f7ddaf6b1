"""Reference solutions: Burgers' equation by Cole-Hopf, Allen-Cahn by a Fourier method; each with a second way to it.

The second ways (another quadrature, another time integrator) share no approximation with the first; the data sets
store how far apart the two are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, pi, sqrt
from typing import Literal

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray
from scipy.special import roots_hermite

from phasemill.core.errors import InputError
from phasemill.pinns.physics import AllenCahn, Burgers

Floats = NDArray[np.float64]
Waves = NDArray[np.complex128]
Start = Literal["sampled", "projected"]
"""How a kinked u(0, x) is given to N modes: by its values at N points, or by its first Fourier coefficients."""

NEGLIGIBLE = 40
"""exp(-40) is below the round-off of float64."""
LEAST_NODES, WAVES = 100, 20
"""Nodes of the quadrature at least, and overtones of the period in its integrand that count."""
FLAT = 4.0
"""viscosity t behind which u, like exp(-pi^2 viscosity t), is below round-off."""
LEAST_VISCOSITY = 1e-5
"""It takes 30,000 nodes."""
CONTOUR = 32
"""Points on half a circle of radius 1."""
OVERSAMPLED = 2**18
"""Points from which Fourier coefficients are taken; the aliasing of a kink falls as the square of their number."""
BLOCK = 2**21


@dataclass(frozen=True)
class Reference:
    """A reference solution on its grid, within the domain of an equation."""

    first: Floats
    """Coordinate 0, (n_0,): t, or x of Poisson."""
    second: Floats
    """Coordinate 1, (n_1,): x, or y of Poisson."""
    u: Floats
    """(n_0, n_1)"""

    @property
    def points(self) -> Floats:
        """All points of the grid, (n_0 n_1, 2), in the order of u.ravel()."""
        return np.stack(np.meshgrid(self.first, self.second, indexing="ij"), axis=-1).reshape(-1, 2)


def burgers(t: ArrayLike, x: ArrayLike, viscosity: float, nodes: int | None = None) -> Floats:
    """u(t, x) of Burgers' equation from u(0, x) = -sin(pi x): Cole-Hopf with Gauss-Hermite quadrature.

    u = -int sin(pi y) w dz / int w dz,   w = exp(-cos(pi y) / (2 pi viscosity) - z^2),   y = x - 2 sqrt(viscosity t) z

    Arguments
    ---------
    t, x: arrays that broadcast; t >= 0. The solution is odd and of period 2 in x.
    viscosity: nu >= 1e-5, length^2 / time.
    nodes: of the quadrature; by default enough for round-off at any nu and t. With fewer the result is wrong without a
        sign of it: the outermost node, near sqrt(2 nodes), must lie beyond the integrand, whose width in z grows as
        1 / sqrt(nu), and the distance of nodes must resolve its waves, whose number grows as sqrt(nu t).

    Raises InputError for a smaller viscosity and for negative times. Source: Hopf 1950; Cole 1951.
    """
    _check_viscosity(viscosity)
    if nodes is None:
        spread = min(viscosity * float(np.max(t, initial=0)), FLAT)
        nodes = max(LEAST_NODES, ceil(_reach(viscosity)), ceil(WAVES**2 * pi**2 / 2 * spread))
    points, log_weights = gauss_hermite(nodes)
    return _cole_hopf(t, x, viscosity, points, log_weights)


def burgers_trapezoid(t: ArrayLike, x: ArrayLike, viscosity: float, nodes: int = 1001) -> Floats:
    """The same integrals by the trapezoid rule, which converges exponentially for such integrands."""
    _check_viscosity(viscosity)
    end = sqrt(_reach(viscosity))
    points = np.linspace(-end, end, nodes)
    return _cole_hopf(t, x, viscosity, points, -(points**2))


@lru_cache(maxsize=16)
def gauss_hermite(nodes: int) -> tuple[Floats, Floats]:
    """Nodes z_i and logarithms of the weights of int g(z) exp(-z^2) dz; the weights themselves may underflow.

    w_i = 1 / sum_k p_k(z_i)^2 over the orthonormal Hermite polynomials p_0 ... p_(nodes - 1).
    """
    z = roots_hermite(nodes)[0]
    before, now, scale = np.zeros(nodes), np.full(nodes, pi**-0.25), np.zeros(nodes)
    total = now**2
    for k in range(nodes - 1):
        before, now = now, sqrt(2 / (k + 1)) * z * now - sqrt(k / (k + 1)) * before
        total += now**2
        shrink = np.where(total > 1e200, 1e-100, 1.0)
        before, now, total, scale = before * shrink, now * shrink, total * shrink**2, scale - 2 * np.log(shrink)
    return z, -(np.log(total) + scale)


def poisson_differences(points: int, omega: float) -> Floats:
    """u (points, points) of lap u = -2 omega^2 cos(omega x) sin(omega y) on the unit square, given on its edges.

    Five-point differences of second order, solved by sine transforms: what a classical solver does with this problem.
    """
    side = np.linspace(0, 1, points)
    exact = np.cos(omega * side)[:, None] * np.sin(omega * side)
    h2, inner = (side[1] - side[0]) ** 2, slice(1, -1)
    right = -2 * omega**2 * h2 * exact[inner, inner]
    right[0] -= exact[0, inner]
    right[-1] -= exact[-1, inner]
    right[:, 0] -= exact[inner, 0]
    right[:, -1] -= exact[inner, -1]
    values = 2 * np.cos(np.pi * np.arange(1, points - 1) / (points - 1)) - 2
    u = exact.copy()
    u[inner, inner] = scipy.fft.idstn(scipy.fft.dstn(right, type=1) / (values[:, None] + values), type=1)
    return u


def allen_cahn(
    diffusion: float = 1e-4,
    reaction: float = 5.0,
    *,
    points: int = 4096,
    frames: int = 200,
    steps: int = 10,
    until: float = 1.0,
    start: Start = "projected",
    initial: Callable[[Floats], Floats] = AllenCahn.initial,
) -> Floats:
    """Frames (frames + 1, points) of u_t = diffusion u_xx + reaction (u - u^3), periodic on [-1, 1).

    In Fourier space u_t = L u + N(u) with L = reaction - diffusion k^2 and N = -reaction u^3, by the exponential
    Runge-Kutta method ETDRK4, of order 4.

    Arguments
    ---------
    diffusion, reaction: both >= 0; length^2 / time and 1 / time.
    points: even; x_i = -1 + 2 i / points.
    frames, steps: intervals between stored times, and time steps in each; the step is until / (frames steps).
    start: how u(0, x) is represented. From its values at the points ("sampled", as usual) a kink leaves an error like
        1 / points, from its Fourier coefficients ("projected") one that diffusion removes at once.
    initial: u(0, x), stored as it is in the first frame.

    Raises InputError for arguments outside their range. Source: Cox and Matthews 2002; Kassam and Trefethen 2005.
    """
    _check_rates(diffusion, reaction, points, frames, steps, until)
    dt = until / (frames * steps)
    linear = reaction - diffusion * _wavenumbers(points) ** 2

    def cubic(v: Waves) -> Waves:
        return np.asarray(-reaction * scipy.fft.rfft(scipy.fft.irfft(v, points) ** 3))

    return _march(_exponential(linear, cubic, dt), points, frames, steps, start, initial)


def burgers_spectral(
    viscosity: float, *, points: int = 1024, frames: int = 100, steps: int = 20, until: float = 1.0
) -> Floats:
    """Frames (frames + 1, points) of Burgers' equation from -sin(pi x), x_i = -1 + 2 i / points, by ETDRK4.

    The start is odd and periodic and stays so, which holds u(-1) = u(1) = 0. In Fourier space L = -viscosity k^2 and
    N = -(i k / 2) (u^2)_k without the highest third of the waves, which would be aliased. The front, about
    4 viscosity wide, asks for points > 1 / viscosity.

    Raises InputError for arguments outside their range.
    """
    _check_viscosity(viscosity)
    _check_rates(viscosity, 0.0, points, frames, steps, until)
    waves = _wavenumbers(points)
    slope = np.where(np.arange(len(waves)) < points / 3, -0.5j * waves, 0)

    def advection(v: Waves) -> Waves:
        return np.asarray(slope * scipy.fft.rfft(scipy.fft.irfft(v, points) ** 2))

    step = _exponential(-viscosity * waves**2, advection, until / (frames * steps))
    return _march(step, points, frames, steps, "sampled", Burgers.initial)


def allen_cahn_splitting(
    diffusion: float = 1e-4,
    reaction: float = 5.0,
    *,
    points: int = 4096,
    frames: int = 200,
    steps: int = 10,
    until: float = 1.0,
    start: Start = "projected",
    initial: Callable[[Floats], Floats] = AllenCahn.initial,
) -> Floats:
    """The same frames by splitting: diffusion and reaction in turn, each exact, half a step of diffusion at either end.

    Steps of h and h/2 are combined as (4 u_(h/2) - u_h) / 3, which has order 4 over a given time where the solution is
    smooth. Arguments and errors as in `allen_cahn`. Source: Strang 1968.
    """
    _check_rates(diffusion, reaction, points, frames, steps, until)
    waves = _wavenumbers(points) ** 2

    def run(steps: int) -> Floats:
        dt = until / (frames * steps)
        spread, decay = np.exp(-diffusion * waves * dt / 2), np.exp(-2 * reaction * dt)

        def step(v: Waves) -> Waves:
            u = scipy.fft.irfft(spread * v, points)
            return np.asarray(spread * scipy.fft.rfft(u / np.sqrt(u**2 + (1 - u**2) * decay)))

        return _march(step, points, frames, steps, start, initial)

    return np.asarray((4 * run(2 * steps) - run(steps)) / 3)


def allen_cahn_energy(u: Floats, diffusion: float, reaction: float) -> Floats:
    """F = int diffusion/2 u_x^2 + reaction/4 (1 - u^2)^2 dx of frames (..., points): u_t = -dF/du, so that F falls."""
    points = u.shape[-1]
    waves = _wavenumbers(points)
    waves[-1] = 0  # the derivative of the last mode is 0 at the points
    slope = scipy.fft.irfft(1j * waves * scipy.fft.rfft(u), points)
    return np.asarray((diffusion / 2 * slope**2 + reaction / 4 * (1 - u**2) ** 2).sum(axis=-1) * 2 / points)


def grid(points: int) -> Floats:
    """x_i = -1 + 2 i / points, without the end, which is the beginning."""
    return np.asarray(-1 + 2 / points * np.arange(points), dtype=np.float64)


def _march(
    step: Callable[[Waves], Waves],
    points: int,
    frames: int,
    steps: int,
    start: Start,
    initial: Callable[[Floats], Floats],
) -> Floats:
    found = np.empty((frames + 1, points))
    found[0] = initial(grid(points))
    v = _coefficients(points, start, initial)
    for frame in range(1, frames + 1):
        for _ in range(steps):
            v = step(v)
        found[frame] = scipy.fft.irfft(v, points)
    return found


def _coefficients(points: int, start: Start, initial: Callable[[Floats], Floats]) -> Waves:
    """The transform of u(0, x) in the layout of `rfft` over the points."""
    if start == "sampled":
        return np.asarray(scipy.fft.rfft(initial(grid(points))))
    many = points * max(1, OVERSAMPLED // points)
    v = scipy.fft.rfft(initial(grid(many)))[: points // 2 + 1] * (points / many)
    v[-1] = v[-1].real
    return np.asarray(v)


def _exponential(linear: Floats, nonlinear: Callable[[Waves], Waves], dt: float) -> Callable[[Waves], Waves]:
    """One step of v_t = linear v + nonlinear(v) by ETDRK4."""
    half, first, second, third, fourth = _etdrk4(linear * dt, dt)

    def step(v: Waves) -> Waves:
        at_v = nonlinear(v)
        a = half * v + first * at_v
        at_a = nonlinear(a)
        b = half * v + first * at_a
        at_b = nonlinear(b)
        at_c = nonlinear(half * a + first * (2 * at_b - at_v))
        return np.asarray(half**2 * v + second * at_v + third * (at_a + at_b) + fourth * at_c)

    return step


def _etdrk4(z: Floats, dt: float) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """exp(z/2) and the four weights of ETDRK4, z = L dt; as means over circles around z they have no cancellation.

    With phi_1 = (e^z - 1)/z, phi_(k+1) = (phi_k - 1/k!)/z: dt phi_1(z/2)/2, dt (phi_1 - 3 phi_2 + 4 phi_3),
    dt (2 phi_2 - 4 phi_3), dt (4 phi_3 - phi_2).
    """
    circle = np.exp(1j * pi * (np.arange(CONTOUR) + 0.5) / CONTOUR)  # its lower half gives the conjugate
    w = z[:, None] + circle
    one = (np.exp(w) - 1) / w
    two = (one - 1) / w
    three = (two - 1 / 2) / w
    weights = (np.exp(w / 2) - 1) / w, one - 3 * two + 4 * three, 2 * two - 4 * three, 4 * three - two
    first, second, third, fourth = (dt * weight.real.mean(axis=1) for weight in weights)
    return np.exp(z / 2), first, second, third, fourth


def _cole_hopf(t: ArrayLike, x: ArrayLike, viscosity: float, points: Floats, log_weights: Floats) -> Floats:
    """The quotient of the integrals; the largest exponent of each is taken out, since exp(1 / (2 pi nu)) overflows."""
    times, places = np.broadcast_arrays(np.asarray(t, dtype=np.float64), np.asarray(x, dtype=np.float64))
    if times.size and times.min() < 0:
        raise InputError(f"Burgers' solution begins at t = 0; the earliest time asked for is {times.min():g}")
    found, flat_t, flat_x = np.empty(times.size), times.ravel(), places.ravel()
    block = max(1, BLOCK // len(points))
    for begin in range(0, times.size, block):
        part = slice(begin, begin + block)
        angle = pi * (flat_x[part, None] - 2 * np.sqrt(viscosity * flat_t[part, None]) * points)
        exponent = log_weights - np.cos(angle) / (2 * pi * viscosity)
        weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
        found[part] = -(weight * np.sin(angle)).sum(axis=1) / weight.sum(axis=1)
    return found.reshape(times.shape)


def _reach(viscosity: float) -> float:
    """z^2 beyond which the integrand is negligible: -cos / (2 pi nu) varies by 1 / (pi nu) at most."""
    return 1 / (pi * viscosity) + NEGLIGIBLE


def _wavenumbers(points: int) -> Floats:
    return np.asarray(pi * np.arange(points // 2 + 1))


def _check_viscosity(viscosity: float) -> None:
    if not viscosity >= LEAST_VISCOSITY:
        raise InputError(f"viscosity is {viscosity:g}; the quadrature needs at least {LEAST_VISCOSITY:g}")


def _check_rates(diffusion: float, reaction: float, points: int, frames: int, steps: int, until: float) -> None:
    if not (diffusion >= 0 and reaction >= 0 and until > 0):
        raise InputError(f"diffusion {diffusion} and reaction {reaction} must not be negative, until {until} positive")
    if points < 4 or points % 2 or frames < 1 or steps < 1:
        raise InputError(
            f"points ({points}) must be even and at least 4, frames ({frames}) and steps ({steps}) positive"
        )
