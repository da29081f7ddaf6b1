"""Other physics for the frozen operator: Fisher-KPP, Allen-Cahn, Cahn-Hilliard and Gray-Scott.

A state is an array (batch, field, x, y): the fields of one simulation, or of many frames of it at once. Each system
is a small class with its right-hand side twice, as readable numpy and as a compiled kernel; a test holds them equal.
Space is periodic with the five-point Laplacian, whose largest eigenvalue is lambda_max = 8 / dx^2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.core.kernels import kernel
from phasemill.transport.physics import lambda_max, laplacian

Floats = NDArray[np.float64]
Parameters = Sequence[float] | Floats
Scheme = Literal["euler", "runge_kutta"]
STABLE: dict[Scheme, float] = {"euler": 2.0, "runge_kutta": 2.785}
"""Largest step times decay rate at which a scheme does not grow (real axis)."""


class System(ABC):
    """u_t = f(u; theta) on a periodic square, with a few scalar parameters theta."""

    name: ClassVar[str]
    title: ClassVar[str]
    equation: ClassVar[str]
    parameters: ClassVar[tuple[str, ...]]
    fields: ClassVar[tuple[str, ...]] = ("u",)
    code: ClassVar[int]
    """Of the compiled twin of `rhs`, in `_rate`."""

    @staticmethod
    @abstractmethod
    def rhs(state: Floats, theta: Parameters, dx: float) -> Floats:
        """f(u; theta) of a state (batch, field, x, y)."""

    @staticmethod
    @abstractmethod
    def stiffness(theta: Parameters, dx: float) -> float:
        """The largest decay rate of the linearised equation (1/time), which bounds an explicit step."""

    @classmethod
    def stable_step(cls, theta: Parameters, dx: float, scheme: Scheme = "euler") -> float:
        """The longest stable time step of an explicit scheme: 2 / stiffness for Euler."""
        return STABLE[scheme] / cls.stiffness(theta, dx)


@kernel
def _laplacian_row(phi: Floats, i: int, scale: float, row: Floats) -> None:
    """row = lap phi_i, with scale = 1 / dx^2."""
    last = phi.shape[1] - 1
    above, here, below = phi[i - 1], phi[i], phi[i + 1 if i + 1 < len(phi) else 0]
    # views of equal length with one shared index let the compiler vectorise the loop
    middle, left, right = here[1:-1], here[:-2], here[2:]
    up, down, inner = above[1:-1], below[1:-1], row[1:-1]
    for j in range(len(inner)):
        inner[j] = scale * ((up[j] + down[j]) + (left[j] + right[j]) - 4 * middle[j])
    row[0] = scale * ((above[0] + below[0]) + (here[last] + here[1]) - 4 * here[0])
    row[last] = scale * ((above[last] + below[last]) + (here[last - 1] + here[0]) - 4 * here[last])


@kernel
def _fisher_kpp(state: Floats, theta: Floats, dx: float, out: Floats) -> None:
    kappa, r = theta
    for i in range(state.shape[1]):
        u, new = state[0, i], out[0, i]
        _laplacian_row(state[0], i, 1 / dx**2, new)
        for j in range(len(new)):
            new[j] = kappa * new[j] + r * u[j] * (1 - u[j])


@kernel
def _allen_cahn(state: Floats, theta: Floats, dx: float, out: Floats) -> None:
    mobility, eps2 = theta
    for i in range(state.shape[1]):
        u, new = state[0, i], out[0, i]
        _laplacian_row(state[0], i, 1 / dx**2, new)
        for j in range(len(new)):
            new[j] = mobility * (eps2 * new[j] - (u[j] * u[j] * u[j] - u[j]))


@kernel
def _cahn_hilliard(state: Floats, theta: Floats, dx: float, out: Floats, potential: Floats) -> None:
    mobility, eps2 = theta
    for i in range(state.shape[1]):
        u, mu = state[0, i], potential[i]
        _laplacian_row(state[0], i, 1 / dx**2, mu)
        for j in range(len(mu)):
            mu[j] = mobility * (u[j] * u[j] * u[j] - u[j] - eps2 * mu[j])
    for i in range(state.shape[1]):
        _laplacian_row(potential, i, 1 / dx**2, out[0, i])


@kernel
def _gray_scott(state: Floats, theta: Floats, dx: float, out: Floats) -> None:
    d_u, d_v, feed, kill = theta
    for i in range(state.shape[1]):
        u, v, new_u, new_v = state[0, i], state[1, i], out[0, i], out[1, i]
        _laplacian_row(state[0], i, 1 / dx**2, new_u)
        _laplacian_row(state[1], i, 1 / dx**2, new_v)
        for j in range(len(new_u)):
            reaction = u[j] * v[j] * v[j]
            new_u[j] = d_u * new_u[j] - reaction + feed * (1 - u[j])
            new_v[j] = d_v * new_v[j] + reaction - (feed + kill) * v[j]


@kernel
def _rate(code: int, state: Floats, theta: Floats, dx: float, out: Floats, scratch: Floats) -> None:
    """out = f(state; theta) of one state (field, x, y) of the system with this code."""
    if code == 0:
        _fisher_kpp(state, theta, dx, out)
    elif code == 1:
        _allen_cahn(state, theta, dx, out)
    elif code == 2:
        _cahn_hilliard(state, theta, dx, out, scratch)
    else:
        _gray_scott(state, theta, dx, out)


@kernel
def _move(target: Floats, start: Floats, step: float, rate: Floats) -> None:
    """target = start + step rate."""
    to, since, slope = target.reshape(target.size), start.reshape(start.size), rate.reshape(rate.size)
    for n in range(len(to)):
        to[n] = since[n] + step * slope[n]


@kernel
def _advance(code: int, states: Floats, theta: Floats, dx: float, tau: float, substeps: int, euler: bool) -> None:
    """Sub-steps of every member of a batch, in place; one member after the other stays in the cache."""
    rate, stage, total = np.empty(states.shape[1:]), np.empty(states.shape[1:]), np.empty(states.shape[1:])
    scratch = np.empty(states.shape[2:])
    for n in range(len(states)):
        u = states[n]
        for _ in range(substeps):
            _rate(code, u, theta, dx, rate, scratch)
            if euler:
                _move(u, u, tau, rate)
                continue
            _move(total, u, tau / 6, rate)
            _move(stage, u, tau / 2, rate)
            for weight, ahead in ((tau / 3, tau / 2), (tau / 3, tau)):
                _rate(code, stage, theta, dx, rate, scratch)
                _move(total, total, weight, rate)
                _move(stage, u, ahead, rate)
            _rate(code, stage, theta, dx, rate, scratch)
            _move(u, total, tau / 6, rate)


class FisherKPP(System):
    """u_t = kappa lap u + r u (1 - u): diffusion with logistic growth, 0 <= u <= 1.

    Parameters: kappa (length^2 / time), r (1 / time). Fronts run at 2 sqrt(kappa r). Source: Fisher 1937,
    Kolmogorov, Petrovsky and Piskunov 1937.
    """

    name, title = "fisher_kpp", "Fisher-KPP"
    equation = "u_t = kappa lap u + r u (1 - u)"
    parameters = ("kappa", "r")
    code = 0

    @staticmethod
    def rhs(state: Floats, theta: Parameters, dx: float) -> Floats:
        kappa, r = theta
        return np.asarray(kappa * laplacian(state, dx) + r * state * (1 - state))

    @staticmethod
    def stiffness(theta: Parameters, dx: float) -> float:
        kappa, r = theta
        return float(kappa * lambda_max(dx) + r)


class AllenCahn(System):
    """u_t = M (eps^2 lap u - (u^3 - u)): non-conserved order parameter in a double well, -1 <= u <= 1.

    Parameters: M (1 / time), eps2 = eps^2 (length^2). Interfaces u = tanh(x / sqrt(2 eps^2)) move at M eps^2 times
    their curvature. Source: Allen and Cahn 1979.
    """

    name, title = "allen_cahn", "Allen-Cahn"
    equation = "u_t = M (eps2 lap u - (u^3 - u))"
    parameters = ("M", "eps2")
    code = 1

    @staticmethod
    def rhs(state: Floats, theta: Parameters, dx: float) -> Floats:
        mobility, eps2 = theta
        return np.asarray(mobility * (eps2 * laplacian(state, dx) - (state**3 - state)))

    @staticmethod
    def stiffness(theta: Parameters, dx: float) -> float:
        mobility, eps2 = theta
        return float(mobility * (eps2 * lambda_max(dx) + 2))


class CahnHilliard(System):
    """u_t = M lap (u^3 - u - eps^2 lap u): conserved order parameter in a double well, -1 <= u <= 1.

    Parameters: M (length^2 / time), eps2 = eps^2 (length^2). The mean of u is conserved. Source: Cahn and Hilliard
    1958.
    """

    name, title = "cahn_hilliard", "Cahn-Hilliard"
    equation = "u_t = M lap (u^3 - u - eps2 lap u)"
    parameters = ("M", "eps2")
    code = 2

    @staticmethod
    def rhs(state: Floats, theta: Parameters, dx: float) -> Floats:
        mobility, eps2 = theta
        return np.asarray(mobility * laplacian(state**3 - state - eps2 * laplacian(state, dx), dx))

    @staticmethod
    def stiffness(theta: Parameters, dx: float) -> float:
        mobility, eps2 = theta
        return float(mobility * lambda_max(dx) * (eps2 * lambda_max(dx) + 2))


class GrayScott(System):
    """u_t = D_u lap u - u v^2 + F (1 - u), v_t = D_v lap v + u v^2 - (F + k) v: two coupled species.

    Parameters: D_u, D_v (length^2 / time), F and k (1 / time). Source: Pearson 1993.
    """

    name, title = "gray_scott", "Gray-Scott"
    equation = "u_t = D_u lap u - u v^2 + F (1 - u), v_t = D_v lap v + u v^2 - (F + k) v"
    parameters = ("D_u", "D_v", "F", "k")
    fields = ("u", "v")
    code = 3

    @staticmethod
    def rhs(state: Floats, theta: Parameters, dx: float) -> Floats:
        d_u, d_v, feed, kill = theta
        u, v = np.moveaxis(state, 1, 0)
        reaction = u * v**2
        u_rate = d_u * laplacian(u, dx) - reaction + feed * (1 - u)
        v_rate = d_v * laplacian(v, dx) + reaction - (feed + kill) * v
        return np.stack([u_rate, v_rate], axis=1)

    @staticmethod
    def stiffness(theta: Parameters, dx: float) -> float:
        d_u, d_v, feed, kill = theta
        return float(
            max(d_u * lambda_max(dx) + feed + 1 / 4, d_v * lambda_max(dx) + feed + kill)
        )  # v < 1/2 in patterns  # v^2 <= 1


SYSTEMS: dict[str, type[System]] = {s.name: s for s in (FisherKPP, AllenCahn, CahnHilliard, GrayScott)}


def advance(
    system: type[System],
    state: NDArray[Any],
    theta: Parameters,
    *,
    dx: float,
    interval: float,
    substeps: int,
    scheme: Scheme = "euler",
) -> Floats:
    """The frozen operator: u <- u + tau f(u; theta), K times, with tau = interval / K; or K steps of Runge-Kutta.

    Arguments:
        system: which f.
        state: (batch, field, x, y); each member is advanced by itself.
        theta: its parameters, in the order of `system.parameters`.
        dx: grid spacing.
        interval: time to be covered.
        substeps: K.
        scheme: "euler", the frozen operator of the paper, of order 1 in tau, or "runge_kutta", classical, of order 4.

    Returns the state after `interval`. It is not finite where the step was too long, which is the caller's to judge:
    `System.stable_step` says how long it may be. Raises InputError for arguments outside their range. Source:
    SAFE-PIT-CM, eq. 6 with any f.
    """
    u, numbers = np.array(state, dtype=np.float64, order="C"), np.array(theta, dtype=np.float64)
    if u.ndim != 4 or u.shape[1] != len(system.fields) or min(u.shape[2:]) < 3:
        raise InputError(
            f"the state of {system.title} has shape {u.shape}: give (batch, {len(system.fields)}, x, y) "
            "with at least 3 x 3 cells"
        )
    if numbers.shape != (len(system.parameters),):
        raise InputError(f"{system.title} has the parameters {', '.join(system.parameters)}; got {numbers.size} values")
    if not (interval > 0 and dx > 0 and substeps >= 1):
        raise InputError(f"interval ({interval}) and dx ({dx}) must be positive and substeps ({substeps}) at least 1")
    if scheme not in get_args(Scheme):
        raise InputError(f"scheme is {scheme!r}: use one of {', '.join(get_args(Scheme))}")
    _advance(system.code, u, numbers, float(dx), interval / substeps, substeps, scheme == "euler")
    return u
