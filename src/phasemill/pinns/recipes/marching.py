"""Allen-Cahn by marching through time with the initial field of each window built in.

    u_t = d u_xx + r (u - u^3),   x in [-1, 1], periodic and even,   u(0, x) = u0(x)

Time is cut into equal windows of length T. In each, with tau = t - t0 and v the field at t0,

    heat:   u = h + tau s n                        h = exp(d tau d_xx) v
    split:  u = F(tau, h) + (tau^2 / T) F_h s n    F(tau, h) = e h / sqrt(1 + (e^2 - 1) h^2),   e = exp(r tau)

h solves the heat equation and is known through the cosine modes of v; it rounds the kink that u0 may have at x = +-1.
F is the exact flow of the reaction alone. Of the split base the equation leaves nothing but -d F_hh h_x^2, which is 0
at tau = 0: n only corrects the error of a splitting of first order. F_h turns a change of h into that of u, and s makes
n of order one. n is a tanh network of tau and of Fourier modes in x. The last field of a window, turned into cosine
modes, starts the next one, so that u and its derivatives in x are continuous.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.fft
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from phasemill.core.bfgs import minimise_bfgs
from phasemill.core.errors import InputError
from phasemill.core.lbfgs import minimise_lbfgs
from phasemill.core.metrics import relative_l2
from phasemill.core.minimisation import Minimum
from phasemill.core.provenance import config_hash
from phasemill.core.run import Row, write_history
from phasemill.core.seeds import branch
from phasemill.pinns.config.recipes import Optimiser
from phasemill.pinns.kernels import RESIDUAL
from phasemill.pinns.network import Network
from phasemill.pinns.physics import XX, AllenCahn
from phasemill.pinns.recipes.clock import Clock
from phasemill.pinns.reference import Reference
from phasemill.pinns.terms import Points, Term

Floats = NDArray[np.float64]
Field = Callable[[ArrayLike], Floats]
Score = Callable[[Floats], dict[str, float]]

ROUND_OFF = 1e-14
"""Modes after the last one that is larger, relative to the largest, are round-off."""

CHUNK = 256
"""Points, neighbours in time, whose modes are summed together."""


@dataclass(frozen=True)
class Marching:
    """Everything the outcome depends on, but for the initial field."""

    seed: int = 0
    diffusion: float = 1e-4
    reaction: float = 5.0
    until: float = 1.0
    """The last time."""
    windows: int = 4
    base: Literal["heat", "split"] = "split"
    modes: int = 8
    """The network gets cos(k pi x), k = 1 .. modes: an exact symmetry of even fields, so that points lie in [0, 1]."""
    hidden: tuple[int, ...] = (24, 24)
    points: int = 2048
    """Per window."""
    optimiser: Optimiser = "ss_broyden"
    iterations: int = 200
    """Per window."""
    grid: int = 2048
    """Intervals on [0, 1] between the nodes on which a window's last field is turned into modes."""

    @property
    def length(self) -> float:
        """Of one window, T."""
        return self.until / self.windows

    @cached_property
    def network(self) -> Network:
        """The network of every window."""
        return Network((1 + self.modes, *self.hidden, 1))


def cosines(values: Floats) -> Floats:
    """c_k of the interpolant sum_k c_k cos(k pi x) through values at x = j / n, j = 0 .. n."""
    c: Floats = scipy.fft.dct(values, type=1) / (len(values) - 1)
    c[[0, -1]] /= 2
    return c


@dataclass(frozen=True)
class Window:
    """One window: everything of u but the network's weights. tau is counted from its start."""

    settings: Marching
    start: Floats
    """Cosine modes of the field at tau = 0"""
    scale: float = 1.0
    """s"""

    def heat(self, tau: Floats, x: Floats) -> Floats:
        """h, h_t, h_x, h_xx of the heat equation from the start: (4, points) at pairs (tau, x), each (points,).

        h = sum_k c_k exp(-d (k pi)^2 tau) cos(k pi x)
        """
        out = np.empty((4, len(x)))
        large = np.nonzero(np.abs(self.start) > ROUND_OFF * np.abs(self.start).max())[0]
        c = self.start[: large[-1] + 1] if len(large) else self.start[:1]
        k = np.pi * np.arange(len(c))
        order = np.argsort(tau, kind="stable")
        for at in np.split(order, range(CHUNK, len(order), CHUNK)):
            # exp(-40) is below round-off
            n = int(np.searchsorted(self.settings.diffusion * k**2 * tau[at[0]], 40))
            times, where = np.unique(tau[at], return_inverse=True)
            decayed = (c[:n] * np.exp(-self.settings.diffusion * np.outer(times, k[:n] ** 2)))[where]
            phase = np.outer(x[at], k[:n])
            waves = decayed * np.cos(phase)
            out[0, at], out[3, at] = waves.sum(1), -waves @ k[:n] ** 2
            out[2, at] = -(decayed * np.sin(phase)) @ k[:n]
        out[1] = self.settings.diffusion * out[3]
        return out

    def build(self, tau: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Base and factor of u, (4, points) each, at pairs (tau, x)."""
        h, s, zero = self.heat(tau, x), self.scale, np.zeros_like(tau)
        if self.settings.base == "heat":
            return h, s * np.stack([tau, zero + 1, zero, zero])
        rate, length = self.settings.reaction, self.settings.length
        v, ht, hx, hxx = h
        e, g = np.exp(rate * tau), np.expm1(2 * rate * tau)
        root = 1 / np.sqrt(1 + g * v * v)
        # F and its derivatives with respect to h
        f, f1, f2 = e * v * root, e * root**3, -3 * e * g * v * root**5
        f3 = 3 * e * g * root**5 * (5 * g * v * v * root**2 - 1)
        base = np.stack([f, rate * (f - f**3) + f1 * ht, f1 * hx, f2 * hx**2 + f1 * hxx])
        p, pt = s * tau**2 / length, 2 * s * tau / length
        grown = rate * (1 - 3 * f * f) * f1 + f2 * ht
        factor = np.stack([p * f1, pt * f1 + p * grown, p * f2 * hx, p * (f3 * hx**2 + f2 * hxx)])
        return base, factor

    def features(self, tau: Floats, x: Floats) -> Floats:
        """2 tau / T - 1 and cos(k pi x): (4 streams, inputs, points)."""
        settings = self.settings
        k = np.pi * np.arange(1, settings.modes + 1)[:, None]
        out = np.zeros((4, settings.network.widths[0], len(x)))
        out[0, 0], out[1, 0] = 2 * tau / settings.length - 1, 2 / settings.length
        out[0, 1:], out[2, 1:] = np.cos(k * x), -k * np.sin(k * x)
        out[3, 1:] = -(k**2) * out[0, 1:]
        return out

    def term(self, tau: Floats, x: Floats, weight: ArrayLike | None = None) -> Term:
        """The mean square of the equation's residual at pairs (tau, x)."""
        points = Points(self.features(tau, x), *self.build(tau, x))
        c = (1, 0, -self.settings.diffusion, -self.settings.reaction)
        return Term(self.settings.network, RESIDUAL, points, weight=weight, c=c, e=XX, dtype=np.float64)

    def field(self, theta: Floats, tau: Floats, x: Floats) -> Floats:
        """u on the grid (tau, x)."""
        pairs = np.repeat(tau, len(x)), np.tile(x, len(tau))
        return self.term(*pairs).field(theta, 1).reshape(len(tau), len(x))

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Pairs (tau, x) at which the equation is asked for: a shifted additive sequence, which covers a window evenly.

        Half of them have a density in x as sqrt|b_x|, b the base half-way through the window; the others are uniform.
        """
        length = self.settings.length
        steps = np.array([1, 2]) * np.log(1.324717957244746)  # z^3 = z + 1: the two-dimensional golden ratio
        first, second = (rng.random((2, 1)) + np.exp(-steps)[:, None] * np.arange(self.settings.points)) % 1
        nodes = np.linspace(0, 1, 1025)
        slope = np.sqrt(np.abs(self.build(np.full(nodes.size, length / 2), nodes)[0][2]))
        density = 0.5 + 0.5 * slope / slope.mean()
        share = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
        return first * length, np.interp(second, share / share[-1], nodes)


class March(nn.Module):
    """A solution in windows: weights, start modes and scale of each; `settings` and u0 complete it."""

    theta: torch.Tensor
    start: torch.Tensor
    scale: torch.Tensor

    def __init__(self, settings: Marching, initial: Field = AllenCahn.initial) -> None:
        super().__init__()
        if min(settings.windows, settings.points, settings.modes) < 1:
            raise InputError(f"{settings}: windows, points and modes are at least 1")
        if min(settings.diffusion, settings.reaction, settings.until) <= 0:
            raise InputError(f"{settings}: diffusion, reaction and until are positive")
        self.settings, self.initial = settings, initial
        for name, shape in (("theta", (settings.network.count,)), ("start", (settings.grid + 1,)), ("scale", ())):
            self.register_buffer(name, torch.zeros(settings.windows, *shape, dtype=torch.float64))

    def window(self, number: int) -> Window:
        """Window 0, 1, ..."""
        return Window(self.settings, self.start[number].numpy(), float(self.scale[number]))

    def u(self, t: ArrayLike, x: ArrayLike) -> Floats:
        """u (times, positions) at all pairs of t (times,) in [0, until] and x (positions,)."""
        times, where = np.atleast_1d(np.asarray(t, np.float64)), np.atleast_1d(np.asarray(x, np.float64))
        if times.min() < 0 or times.max() > self.settings.until * (1 + 1e-12):
            raise InputError(f"t from {times.min()} to {times.max()} lies outside of [0, {self.settings.until}]")
        out = np.empty((len(times), len(where)))
        numbers = np.ceil(times / self.settings.length - 1e-9).astype(int) - 1  # a border belongs to the window before
        for number in np.unique(numbers):
            at = numbers == number
            if number < 0:
                out[at] = self.initial(where)
                continue
            tau = times[at] - number * self.settings.length
            out[at] = self.window(number).field(self.theta[number].numpy(), tau, where)
        return out


def train(
    settings: Marching,
    *,
    checkpoints: Path,
    history: Path,
    initial: Field = AllenCahn.initial,
    reference: Reference | None = None,
    every: int = 100,
) -> tuple[March, list[Row]]:
    """March through all windows; going on from the checkpoints of the same settings and field if there are any.

    Rows of the history: window, step, seconds; cpu (seconds of the process since the first window began, without
    scoring); loss, as a share of the base's own; projection, the largest difference between the window's last field
    and its cosine modes half-way between the nodes; and with a reference error, the relative L2 error over the
    times of the window, and base, that of the base alone.

    Arguments
    ---------
    checkpoints, history: folder and CSV file. A stopped run repeats nothing but what the optimiser repeats.
    initial: u0, an even field that is smooth on [0, 1]; it may have a kink at 1.
    every: iterations between two rows.
    """
    march, length = March(settings, initial), settings.length
    nodes = np.arange(settings.grid + 1) / settings.grid
    half = nodes[:-1:8] + 0.5 / settings.grid
    first = initial(np.arange(8 * settings.grid + 1) / (8 * settings.grid))  # finer, because of the kink
    key = config_hash({"settings": asdict(settings), "initial": first.tobytes().hex()})
    modes = cosines(first)[: settings.grid + 1]
    begun, *drawn = branch(settings.seed, "allen_cahn_marching", settings.windows + 1)
    theta = settings.network.initial(np.random.default_rng(begun))
    rows: list[Row] = []
    spent = 0.0
    for number in range(settings.windows):
        place, told = checkpoints / f"window_{number}", checkpoints / f"window_{number}.csv"
        clock = Clock(key, (place, told))
        window, weight, pairs = prepare(settings, modes, np.random.default_rng(drawn[number]))
        with clock.held():
            score = scorer(window, number, reference)
        found = minimise(
            settings, window.term(*pairs, weight), theta, key=key, every=every, validate=partial(look, clock, score),
            checkpoints=place, history=told,
            label=f"window {number + 1}/{settings.windows}",
        )  # fmt: skip
        theta = found.x
        modes = cosines(window.field(theta, np.array([length]), nodes)[0])
        rough = window.field(theta, np.array([length]), half)[0]
        interpolated = Window(settings, modes).heat(np.zeros(len(half)), half)[0]
        for name, value in (("theta", theta), ("start", window.start), ("scale", window.scale)):
            getattr(march, name)[number] = torch.as_tensor(value)
        rows += [{"window": number, **row, "cpu": spent + row["cpu"]} for row in found.rows]
        spent += clock()
        rows[-1] |= {"cpu": spent, "projection": float(np.abs(rough - interpolated).max())}
        write_history(history, rows)
    return march, rows


def prepare(settings: Marching, modes: Floats, rng: np.random.Generator) -> tuple[Window, float, tuple[Floats, Floats]]:
    """A window with its scale, the weight of each point, and the points: the base alone has loss 1.

    s = |tau r| / |factor| of the base's residual r, the size of the correction if r stood alone.
    """
    window = Window(settings, modes)
    tau, x = window.draw(rng)
    base, factor = window.build(tau, x)
    left = base[1] - settings.diffusion * base[3] - settings.reaction * (base[0] - base[0] ** 3)
    scale = float(np.linalg.norm(tau * left) / np.linalg.norm(factor[0]))
    return Window(settings, modes, scale), float(1 / max(left @ left, 1e-300)), (tau, x)


def minimise(settings: Marching, term: Term, theta: Floats, **options: Any) -> Minimum:
    """The least value of a term that the optimiser finds."""

    def fun(at: Floats) -> tuple[float, Floats]:
        return term.loss_and_gradient(at)[:2]

    options |= {"iterations": settings.iterations, "gtol": 0.0}
    if settings.optimiser == "l_bfgs":
        return minimise_lbfgs(fun, theta, **options)
    return minimise_bfgs(fun, theta, update=settings.optimiser, **options)


def look(clock: Clock, score: Score, theta: Floats) -> dict[str, float]:
    """What the history says of some weights; the clock stands meanwhile."""
    cpu = clock()
    with clock.held():
        return {"cpu": cpu, **score(theta)}


def scorer(window: Window, number: int, reference: Reference | None) -> Score:
    """error and base of a window; see `train`."""
    if reference is None:
        return lambda theta: {}
    length = window.settings.length
    tau = reference.first - number * length
    at = (tau > 1e-9 * length) & (tau < length * (1 + 1e-9))
    if not at.any():
        return lambda theta: {}
    exact = reference.u[at].ravel()
    term = window.term(np.repeat(tau[at], len(reference.second)), np.tile(reference.second, int(at.sum())))
    alone = relative_l2(exact, term.points.base[0])
    return lambda theta: {"error": relative_l2(exact, term.field(theta, 1)[0]), "base": alone}


def error(march: March, reference: Reference) -> float:
    """Relative L2 error over all points of the reference."""
    return relative_l2(reference.u, march.u(reference.first, reference.second))
