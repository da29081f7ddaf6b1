"""Self-scaled quasi-Newton with full memory, with the checkpoints, history, progress and stop signals of the loop.

Step s = alpha p, p = -H g, alpha by a strong Wolfe search; y = change of the gradient, w = H y:

    H <- [H - w w^T / (y.w) + phi (y.w) v v^T] / tau + s s^T / (s.y),   v = s / (s.y) - w / (y.w)

    bfgs:       tau = phi = 1
    ss_bfgs:    phi = 1, tau = min(1, 1/b)                                       (Al-Baali 1998)
    ss_broyden: phi = (1 - theta) / (1 + a theta), tau as in `scaling`             (Al-Baali, Spedicato, Maggioni 2014)

with b = s.H^-1 s / s.y, h = y.w / s.y, a = b h - 1. Ill-conditioned losses, such as squared residuals of a differential
equation, need the curvature of thousands of steps, which L-BFGS forgets. The price is n^2 / 2 numbers in memory, whose
passage through the processor is what a step costs. H is therefore read once per step and written only once in many:
the updates wait as columns of P and are added together.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Unpack

import numpy as np
import torch
from scipy.linalg.blas import dsymv, dsyr2k
from scipy.optimize import line_search

from phasemill.core.minimisation import Fun, Minimisation, Minimum, Options, Vector

Update = Literal["bfgs", "ss_bfgs", "ss_broyden"]
Renew = Callable[[int, Vector], None]

WAITING = 32
"""Updates that wait: each makes a product dearer by four passes through a vector, and all share one pass through H."""

SHORTEST = 1e-12
"""Length of a first step below which no shorter one is tried."""


def scaling(update: Update, b: float, h: float, n: int) -> tuple[float, float]:
    """(tau, phi) of an update; see the module. In exact arithmetic a = b h - 1 >= 0."""
    if update == "bfgs":
        return 1.0, 1.0
    rho = min(1.0, 1 / b)
    a = max(b * h - 1, 1e-12)  # a = 0: s and w are parallel and v = 0, so that phi means nothing
    if update == "ss_bfgs":
        return rho, 1.0
    least = min(1.0, h / ((1 + a) * (1 + math.sqrt(a / (1 + a)))))  # h (1 - sqrt(a / (1 + a))), without cancellation
    theta = max((least - 1) / a, min(1 / least, (1 - b) / b))
    sigma = 1 + a * theta
    root = sigma ** (1 / (1 - n)) if n > 1 else 1.0
    tau = min(rho * root, sigma) if theta <= 0 else rho * min(root, 1 / theta)
    return tau, (1 - theta) / sigma


@dataclass
class Inverse:
    """H = gamma H0 + sum_i [s_i w_i] D_i [s_i w_i]^T, an approximation of the inverse Hessian; H0 = 1 at first."""

    n: int
    gamma: float
    matrix: Any = None  # H0 (n, n), lower triangle, column by column; None stands for the identity
    pairs: Any = None  # (n, 2 WAITING), the first 2 len(blocks) in use
    blocks: Any = None  # D_i, (waiting, 2, 2)
    fresh: bool = True  # not one update yet

    def __post_init__(self) -> None:
        if self.pairs is None:
            self.pairs, self.blocks = np.zeros((self.n, 2 * WAITING), order="F"), np.zeros((0, 2, 2))

    def __matmul__(self, g: Vector) -> Vector:
        """H g."""
        first = g if self.matrix is None else dsymv(1.0, self.matrix, g, lower=1)
        used = self.pairs[:, : 2 * len(self.blocks)]
        inner = np.matmul(self.blocks, (used.T @ g).reshape(-1, 2, 1)).ravel()
        product: Vector = self.gamma * first + used @ inner
        return product

    def update(self, kind: Update, s: Vector, y: Vector, g: Vector, before: Vector, scale: float) -> Vector:
        """Take in the step s, which ended where the gradient is g; returns H g of the new H.

        Arguments
        ---------
        before: H (g - y), which gave the direction.
        scale: s.H^-1 s = -alpha s.(g - y).
        """
        product = self @ g
        w = product - before
        sy, yw = float(s @ y), float(y @ w)
        if not (sy > 0 and yw > 0 and scale > 0):  # round-off: nothing to learn from this step
            return product
        if self.fresh:  # the first step tells how large the inverse is
            ratio = sy / yw
            self.gamma, self.fresh = self.gamma * ratio, False
            product, w, yw, scale = product * ratio, w * ratio, sy, scale / ratio
        tau, phi = scaling(kind, scale / sy, yw / sy, self.n)
        cross = -phi / (tau * sy)
        block = np.array([[phi * yw / (tau * sy**2) + 1 / sy, cross], [cross, (phi - 1) / (tau * yw)]])
        place = 2 * len(self.blocks)
        self.pairs[:, place], self.pairs[:, place + 1] = s, w
        self.gamma /= tau
        self.blocks = np.concatenate([self.blocks / tau, block[None]])
        if len(self.blocks) == WAITING:
            self._settle()
        inner = block @ np.array([s @ g, w @ g])
        after: Vector = product / tau + inner[0] * s + inner[1] * w
        return after

    def _settle(self) -> None:
        """H0 <- H, in one pass."""
        if self.matrix is None:
            self.matrix = np.zeros((self.n, self.n), order="F")
            np.fill_diagonal(self.matrix, 1.0)
        halves = np.zeros_like(self.pairs)
        for i, block in enumerate(self.blocks):
            halves[:, 2 * i : 2 * i + 2] = self.pairs[:, 2 * i : 2 * i + 2] @ (block / 2)
        self.matrix = dsyr2k(1.0, self.pairs, halves, beta=self.gamma, c=self.matrix, overwrite_c=1, lower=1)
        self.gamma, self.blocks = 1.0, np.zeros((0, 2, 2))

    def freeze(self) -> dict[str, Any]:
        """All of it for a checkpoint; of H0 only the lower triangle, column by column."""
        tensors = {"pairs": torch.from_numpy(self.pairs), "blocks": torch.from_numpy(self.blocks)}
        if self.matrix is not None:
            packed = np.concatenate([self.matrix[j:, j] for j in range(self.n)])
            tensors["matrix"] = torch.from_numpy(packed)
        return {"n": self.n, "gamma": self.gamma, "fresh": self.fresh, **tensors}

    @classmethod
    def thaw(cls, saved: Mapping[str, Any]) -> Inverse:
        """The inverse that was frozen."""
        parts: dict[str, Any] = {
            name: value.numpy() if torch.is_tensor(value) else value for name, value in saved.items()
        }
        parts["pairs"] = np.asfortranarray(parts["pairs"])
        if "matrix" in parts:
            n, packed, start = parts["n"], parts["matrix"], 0
            parts["matrix"] = np.zeros((n, n), order="F")
            for j in range(n):
                parts["matrix"][j:, j] = packed[start : start + n - j]
                start += n - j
        return cls(**parts)


@dataclass
class Found:
    """The end of a line search; x is None if it failed."""

    evaluations: int
    alpha: float = 0.0
    x: Vector | None = None
    value: float = math.inf
    gradient: Vector = field(default_factory=lambda: np.zeros(0))


def search(fun: Fun, x: Vector, p: Vector, value: float, gradient: Vector) -> Found:
    """A step alpha that satisfies the strong Wolfe conditions with c1 = 1e-4, c2 = 0.9; the first trial is 1.

    If none is found, the lowest trial counts, provided that it satisfies the first condition.
    """
    slope = float(gradient @ p)
    if not slope < 0:
        return Found(0)
    last: list[Found] = [Found(0)]
    lowest = Found(0)

    def trial(at: Vector) -> Found:
        nonlocal lowest
        found = last[0]
        if found.x is None or not np.array_equal(found.x, at):
            level, steepness = fun(at)
            good = math.isfinite(level) and bool(np.isfinite(steepness).all())
            alpha = float((at - x) @ p / (p @ p))
            found = Found(found.evaluations + 1, alpha, at, float(level) if good else math.inf, steepness)
            lowest = min(lowest, found, key=lambda one: one.value)
            last[0] = found
        return found

    def level(at: Vector) -> float:
        return trial(at).value

    def steepness(at: Vector) -> Vector:
        return trial(at).gradient

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        alpha, *_, end = line_search(level, steepness, x, p, gradient, value, maxiter=20)
    found = lowest if alpha is None or end is None else replace(last[0], alpha=float(alpha))
    if not found.value < value + 1e-4 * found.alpha * slope:
        found = Found(0)
    return replace(found, evaluations=last[0].evaluations)


def minimise_bfgs(
    fun: Fun,
    x0: Vector,
    *,
    renew: Renew | None = None,
    segment: int = 500,
    update: Update = "ss_broyden",
    gtol: float = 1e-8,
    checkpoint_seconds: float = 300.0,
    label: str = "BFGS",
    **options: Unpack[Options],
) -> Minimum:
    """x = argmin fun(x), going on from the newest checkpoint of the same `key` if there is one.

    A checkpoint holds H, so that a run goes on bit-equal from any iteration; it has 4 n^2 bytes (n = 8000: 256 MB), so
    that it should not be written too often.
    A line search that fails starts again from a scaled identity, once in a segment; the second time it ends the run.
    The first step from an identity has the length 1; where that leads nowhere, shorter and shorter ones are tried.

    Arguments
    ---------
    fun: value and gradient. A trial step at which it is not finite is shortened.
    renew: called as renew(i, x) before segment i = 0, 1, ... with the x where it begins; it may change `fun` (other
        points, other weights), by i and x alone. H is kept.
    segment: iterations between two renewals.
    update: kind of the update; see the module.
    gtol: converged when max|gradient| <= gtol.
    checkpoint_seconds: time between checkpoints. options: see `minimisation.Options`.

    Raises
    ------
    LoopError
        `fun` is not finite where it begins, or the checkpoint has another length.
    Interrupted
        After SIGTERM or SIGUSR1, once the last whole iteration is saved.
    """
    run = Descent(fun, x0, renew, segment, label=label, checkpoint_seconds=checkpoint_seconds, **options)
    state = run.state
    with run.running(fun) as watched:
        while not state.finished:
            if state.iterations >= run.iterations:
                run.finish("all iterations are done")
                continue
            gradient = run.begin_iteration()
            if np.abs(gradient).max() <= gtol:
                run.finish("the gradient is as small as gtol", converged=True)
                continue
            inverse, product = run.preconditioned(gradient)
            found = search(watched, state.x, -product, state.value, gradient)
            state.evaluations += found.evaluations
            if found.x is None:
                run.begin_anew(inverse, gradient)
            else:
                s, y = found.x - state.x, found.gradient - gradient
                scale = -found.alpha * float(s @ gradient)
                run.take(found.x, found, inverse.update(update, s, y, found.gradient, product, scale))
    return state


class Descent(Minimisation):
    """A run with its H, the gradient at x, and the segment that it is in."""

    def __init__(
        self, fun: Fun, x0: Vector, renew: Renew | None, segment: int, *,
        label: str, checkpoint_seconds: float, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(x0, label=label, checkpoint_seconds=checkpoint_seconds, **options)
        self.fun, self.renew, self.segment = fun, renew, segment
        self.gradient: Vector | None = None
        self.inverse: Inverse | None = None
        self.product: Vector | None = None  # H g
        self.number, self.anchor, self.failed = -1, self.state.x, False  # the segment, its first x, a failed search
        if saved := self.saved:
            self.number, self.anchor, self.failed = saved["number"], saved["anchor"].numpy(), saved["failed"]
            if saved["inverse"] is not None:
                self.inverse, self.product = Inverse.thaw(saved["inverse"]), saved["product"].numpy()

    def content(self) -> dict[str, Any]:
        """What a checkpoint holds: H too, as long as there are steps to come."""
        matrix: dict[str, Any] = {"inverse": None, "product": None}
        if self.inverse is not None and self.product is not None and not self.state.finished:
            matrix = {"inverse": self.inverse.freeze(), "product": torch.from_numpy(self.product)}
        anchor = torch.from_numpy(self.anchor)
        return super().content() | {"anchor": anchor, "number": self.number, "failed": self.failed} | matrix

    def begin_iteration(self) -> Vector:
        """The gradient at x, after the renewal that may be due."""
        state = self.state
        if state.iterations // self.segment != self.number:
            self.number, self.anchor, self.failed = state.iterations // self.segment, state.x, False
            if self.renew is not None:
                self.gradient = self.product = None
        if self.gradient is None:
            if self.renew is not None:
                self.renew(self.number, self.anchor.copy())
            state.value, self.gradient = self.fun(state.x)
            if not (math.isfinite(state.value) and np.isfinite(self.gradient).all()):
                raise self.diverged(state.iterations)
        return self.gradient

    def preconditioned(self, gradient: Vector) -> tuple[Inverse, Vector]:
        """H and H g; at first, and after a failure, H is an identity that makes H g of length 1."""
        if self.inverse is None:
            self.inverse, self.product = Inverse(gradient.size, 1 / float(np.linalg.norm(gradient))), None
        if self.product is None:
            self.product = self.inverse @ gradient
        return self.inverse, self.product

    def begin_anew(self, inverse: Inverse, gradient: Vector) -> None:
        """After a search without a step: a shorter first step, another identity, or the end."""
        if inverse.fresh and inverse.gamma * float(np.linalg.norm(gradient)) > SHORTEST:
            inverse.gamma, self.product = 1e-3 * inverse.gamma, None  # its length is a guess until a step is taken
            return
        if self.failed or inverse.fresh:
            self.finish("the line search finds no lower value")
        self.inverse, self.failed = None, True

    def take(self, x: Vector, found: Found, product: Vector) -> None:
        """Go to x, with the new H g, and save if it is time."""
        state = self.state
        state.x, state.value, self.gradient, self.product = x, found.value, found.gradient, product
        state.iterations += 1
        self.advance(state.iterations, x, state.value, state.rows)
        if self.store.due(state.iterations):
            self.save()
