"""Compiled loss, gradient and field of a tanh network with its derivatives: all layers of a block of points at once.

Every quantity is carried as four streams: its value, its derivatives d0 and d1 along the two coordinates, and a second
derivative q = e0 d00 + e1 d11 (u_xx with e = (0, 1), the Laplacian with e = (1, 1)). Layer by layer, with p the streams
before and a those after the activation (compare `network.streams`, the same in torch),

    p = W a + b (b in the value only),     a = tanh p,   s = 1 - a^2,   g = e0 p0^2 + e1 p1^2,
    a0 = s p0,   a1 = s p1,   aq = s (pq - 2 a g)

and the adjoint runs the layers backwards. 64 points go through all layers, their residual and back while they lie in
the cache; each row of 4 x 64 numbers is contiguous, so every inner loop is a vector one. Widths are padded to
multiples of four, with weights of zero, because products are taken in tiles of 4 x 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.core.kernels import kernel

BLOCK = 64
FOUR = 4 * BLOCK

RESIDUAL, VALUE, PAIRS = 0, 1, 2
"""What a loss compares: the equation with its source, the value with a target, or u and u_1 of two paired points."""

Array = NDArray[Any]

# With a check of every divisor the loops would not become vector ones.
_vector: Callable[[Callable[..., Any]], Callable[..., Any]] = kernel(fastmath=True, error_model="numpy")
# Left to the compiler, a part is sometimes called instead, and which of its optimised copies answers then depends on
# whether the code was just compiled or loaded: the last bits would differ.
_part: Callable[[Callable[..., Any]], Callable[..., Any]] = kernel(fastmath=True, error_model="numpy", forceinline=True)


@_part
def _product(w: Array, x: Array, y: Array, length: int) -> None:
    """y += w x, over rows of `length`."""
    for o in range(0, w.shape[0], 4):
        y0, y1, y2, y3 = y[o], y[o + 1], y[o + 2], y[o + 3]
        for i in range(0, w.shape[1], 4):
            x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
            w00, w01, w02, w03 = w[o, i], w[o, i + 1], w[o, i + 2], w[o, i + 3]
            w10, w11, w12, w13 = w[o + 1, i], w[o + 1, i + 1], w[o + 1, i + 2], w[o + 1, i + 3]
            w20, w21, w22, w23 = w[o + 2, i], w[o + 2, i + 1], w[o + 2, i + 2], w[o + 2, i + 3]
            w30, w31, w32, w33 = w[o + 3, i], w[o + 3, i + 1], w[o + 3, i + 2], w[o + 3, i + 3]
            for r in range(length):
                c0, c1, c2, c3 = x0[r], x1[r], x2[r], x3[r]
                y0[r] += w00 * c0 + w01 * c1 + w02 * c2 + w03 * c3
                y1[r] += w10 * c0 + w11 * c1 + w12 * c2 + w13 * c3
                y2[r] += w20 * c0 + w21 * c1 + w22 * c2 + w23 * c3
                y3[r] += w30 * c0 + w31 * c1 + w32 * c2 + w33 * c3


@_part
def _outer(g: Array, x: Array, dw: Array, length: int) -> None:
    """dw += g x^T, over rows of `length`."""
    for o in range(0, dw.shape[0], 2):
        g0, g1 = g[o], g[o + 1]
        for i in range(0, dw.shape[1], 4):
            x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
            s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = dw.dtype.type(0)
            for r in range(length):
                a, b = g0[r], g1[r]
                c0, c1, c2, c3 = x0[r], x1[r], x2[r], x3[r]
                s00 += a * c0
                s01 += a * c1
                s02 += a * c2
                s03 += a * c3
                s10 += b * c0
                s11 += b * c1
                s12 += b * c2
                s13 += b * c3
            dw[o, i] += s00
            dw[o, i + 1] += s01
            dw[o, i + 2] += s02
            dw[o, i + 3] += s03
            dw[o + 1, i] += s10
            dw[o + 1, i + 1] += s11
            dw[o + 1, i + 2] += s12
            dw[o + 1, i + 3] += s13


@_part
def _tanh(x: Array, y: Array) -> None:
    """y = tanh x for one row of points: a Pade quotient of x / 2^n, then n times tanh 2x = 2 tanh x / (1 + tanh^2 x).

    The relative error is below 3 units in the last place of float32 (n = 2) and below 1e-14 in float64 (n = 4).
    """
    kind = x.dtype.type
    single = x.itemsize == 4
    doublings = 2 if single else 4
    scale, limit = kind(0.25 if single else 0.0625), kind(9.5 if single else 20)
    n0, n1, n2 = kind(135135), kind(17325), kind(378)
    m1, m2, m3 = kind(62370), kind(3150), kind(28)
    one, two = kind(1), kind(2)
    for r in range(BLOCK):
        v = min(max(x[r], -limit), limit) * scale
        z = v * v
        y[r] = v * (n0 + z * (n1 + z * (n2 + z))) / (n0 + z * (m1 + z * (m2 + z * m3)))
    for _ in range(doublings):
        for r in range(BLOCK):
            y[r] = two * y[r] / (one + y[r] * y[r])


@_part
def _activate(p: Array, a: Array, rows: int, e0: Any, e1: Any, streams: int) -> None:
    """The streams behind the activation; see the module."""
    one, two = p.dtype.type(1), p.dtype.type(2)
    for o in range(rows):
        x, y = p[o], a[o]
        _tanh(x, y)
        if streams == 4:
            for r in range(BLOCK):
                t, p0, p1 = y[r], x[BLOCK + r], x[2 * BLOCK + r]
                s = one - t * t
                y[BLOCK + r] = s * p0
                y[2 * BLOCK + r] = s * p1
                y[3 * BLOCK + r] = s * (x[3 * BLOCK + r] - two * t * (e0 * p0 * p0 + e1 * p1 * p1))


@_part
def _deactivate(p: Array, a: Array, g: Array, rows: int, e0: Any, e1: Any, streams: int) -> None:
    """From the adjoints behind the activation to those before it, in place."""
    one, two, six = p.dtype.type(1), p.dtype.type(2), p.dtype.type(6)
    for o in range(rows):
        x, y, h = p[o], a[o], g[o]
        if streams == 1:
            for r in range(BLOCK):
                h[r] *= one - y[r] * y[r]
        else:
            for r in range(BLOCK):
                t, p0, p1, q = y[r], x[BLOCK + r], x[2 * BLOCK + r], x[3 * BLOCK + r]
                h0, h1, hq = h[BLOCK + r], h[2 * BLOCK + r], h[3 * BLOCK + r]
                s = one - t * t
                c = -two * t * s
                bent = (six * t * t - two) * (e0 * p0 * p0 + e1 * p1 * p1)
                h[r] = s * (h[r] + bent * hq) + c * (p0 * h0 + p1 * h1 + q * hq)
                h[BLOCK + r] = s * h0 + two * c * e0 * p0 * hq
                h[2 * BLOCK + r] = s * h1 + two * c * e1 * p1 * hq
                h[3 * BLOCK + r] = s * hq


@_part
def _forward(
    weights: Array, widths: Array, features: Array, start: int, e0: Any, e1: Any, p: Array, a: Array, streams: int
) -> None:
    """The block of points from `start` through the network: the network's own streams end in p[-1, 0]."""
    count = min(BLOCK, features.shape[2] - start)
    length = streams * BLOCK
    first = a[0]
    for i in range(widths[0]):
        for k in range(streams):
            for r in range(count):
                first[i, k * BLOCK + r] = features[k, i, start + r]
            for r in range(count, BLOCK):
                first[i, k * BLOCK + r] = 0
    layers, at = len(widths) - 1, 0
    for layer in range(layers):
        rows, columns = widths[layer + 1], widths[layer]
        w = weights[at : at + rows * columns].reshape(rows, columns)
        at += rows * columns
        z = p[layer]
        for o in range(rows):
            row = z[o]
            bias = weights[at + o]
            for r in range(BLOCK):
                row[r] = bias
            for r in range(BLOCK, length):
                row[r] = 0
        at += rows
        if streams == 4:
            _product(w, a[layer], z, FOUR)
        else:
            _product(w, a[layer], z, BLOCK)
        if layer < layers - 1:
            _activate(z, a[layer + 1], rows, e0, e1, streams)


@_part
def _backward(
    weights: Array, widths: Array, e0: Any, e1: Any, p: Array, a: Array, g: Array, gradient: Array, streams: int
) -> None:
    """Add to the gradient, given the adjoint of the network's own streams in g[-1]."""
    at = len(weights)
    for layer in range(len(widths) - 2, -1, -1):
        rows, columns = widths[layer + 1], widths[layer]
        back = g[layer]
        at -= rows
        for o in range(rows):
            total = gradient.dtype.type(0)
            row = back[o]
            for r in range(BLOCK):
                total += row[r]
            gradient[at + o] += total
        at -= rows * columns
        dw = gradient[at : at + rows * columns].reshape(rows, columns)
        if streams == 4:
            _outer(back, a[layer], dw, FOUR)
        else:
            _outer(back, a[layer], dw, BLOCK)
        if layer > 0:
            turned = np.ascontiguousarray(weights[at : at + rows * columns].reshape(rows, columns).T)
            below = g[layer - 1]
            below[:columns] = 0
            if streams == 4:
                _product(turned, back, below, FOUR)
            else:
                _product(turned, back, below, BLOCK)
            _deactivate(p[layer - 1], a[layer], below, columns, e0, e1, streams)


@_part
def _field(out: Array, base: Array, factor: Array, start: int, e0: Any, e1: Any, u: Array, streams: int) -> None:
    """u = base + factor n, streams and all, of the network's n: a factor of zero holds u at `base`."""
    two = out.dtype.type(2)
    count = min(BLOCK, base.shape[1] - start)
    u[:] = 0
    for r in range(count):
        at = start + r
        n, f = out[r], factor[0, at]
        u[r] = base[0, at] + f * n
        if streams == 4:
            n0, n1, f0, f1 = out[BLOCK + r], out[2 * BLOCK + r], factor[1, at], factor[2, at]
            u[BLOCK + r] = base[1, at] + f0 * n + f * n0
            u[2 * BLOCK + r] = base[2, at] + f1 * n + f * n1
            mixed = two * (e0 * f0 * n0 + e1 * f1 * n1)
            u[3 * BLOCK + r] = base[3, at] + factor[3, at] * n + mixed + f * out[3 * BLOCK + r]


@_part
def _unfield(adjoint: Array, factor: Array, start: int, e0: Any, e1: Any, out: Array, streams: int) -> None:
    """From the adjoint of u's streams to that of the network's own: the transpose of `_field`."""
    two = adjoint.dtype.type(2)
    count = min(BLOCK, factor.shape[1] - start)
    out[:] = 0
    for r in range(count):
        at = start + r
        f, h = factor[0, at], adjoint[r]
        if streams == 1:
            out[r] = f * h
        else:
            f0, f1 = factor[1, at], factor[2, at]
            h0, h1, hq = adjoint[BLOCK + r], adjoint[2 * BLOCK + r], adjoint[3 * BLOCK + r]
            out[r] = f * h + f0 * h0 + f1 * h1 + factor[3, at] * hq
            out[BLOCK + r] = f * h0 + two * e0 * f0 * hq
            out[2 * BLOCK + r] = f * h1 + two * e1 * f1 * hq
            out[3 * BLOCK + r] = f * hq


@_part
def _compare(
    kind: int, u: Array, target: Array, weight: Array, start: int, c: Array, adjoint: Array, slopes: Array
) -> float:
    """Loss of a block; its adjoint with respect to u's streams, and its slopes with respect to the coefficients c."""
    loss = 0.0
    one, two, three = u.dtype.type(1), u.dtype.type(2), u.dtype.type(3)
    count = min(BLOCK, len(target) - start)
    adjoint[:] = 0
    if kind == RESIDUAL:
        for r in range(count):
            v, v0, v1, q = u[r], u[BLOCK + r], u[2 * BLOCK + r], u[3 * BLOCK + r]
            advection, reaction = v * v1, v - v * v * v
            residual = c[0] * v0 + c[1] * advection + c[2] * q + c[3] * reaction - target[start + r]
            h = weight[start + r] * residual
            loss += h * residual
            h *= two
            adjoint[r] = h * (c[1] * v1 + c[3] * (one - three * v * v))
            adjoint[BLOCK + r] = h * c[0]
            adjoint[2 * BLOCK + r] = h * c[1] * v
            adjoint[3 * BLOCK + r] = h * c[2]
            slopes[0] += h * v0
            slopes[1] += h * advection
            slopes[2] += h * q
            slopes[3] += h * reaction
    elif kind == VALUE:
        for r in range(count):
            residual = u[r] - target[start + r]
            h = weight[start + r] * residual
            loss += h * residual
            adjoint[r] = two * h
    else:
        for r in range(0, count, 2):
            for k in (0, 2 * BLOCK):
                residual = u[k + r] - u[k + r + 1]
                h = weight[start + r] * residual
                loss += h * residual
                adjoint[k + r] = two * h
                adjoint[k + r + 1] = -two * h
    return loss


@_vector
def loss_and_gradient(
    kind: int,
    weights: Array,
    widths: Array,
    features: Array,
    base: Array,
    factor: Array,
    target: Array,
    weight: Array,
    c: Array,
    e: Array,
    gradient: Array,
    slopes: Array,
) -> float:
    """sum_p weight_p r_p^2 over all points; `gradient` and `slopes` are set to its derivatives.

    Arguments
    ---------
    kind: RESIDUAL r = c0 u_0 + c1 u u_1 + c2 q + c3 (u - u^3) - target, VALUE r = u - target, or PAIRS, where r^2 is
        (u - u')^2 + (u_1 - u'_1)^2 of points 2i and 2i + 1.
    weights, widths: the padded parameters of `packing` and the widths of all layers (padded, multiples of 4).
    features (4, widths[0], points): what the network gets, in four streams. base, factor (4, points): u = base +
        factor n. target, weight (points,). c (4,), e (2,): coefficients, and weights of the second derivatives in q.
    gradient: like `weights`. slopes (4,), float64: derivatives with respect to c.
    """
    streams = 1 if kind == VALUE else 4
    widest, layers = widths.max(), len(widths) - 1
    p = np.empty((layers, widest, streams * BLOCK), weights.dtype)
    a = np.empty_like(p)
    g = np.zeros_like(p)
    u = np.empty(streams * BLOCK, weights.dtype)
    adjoint = np.empty_like(u)
    gradient[:] = 0
    slopes[:] = 0
    loss = 0.0
    for start in range(0, features.shape[2], BLOCK):
        _forward(weights, widths, features, start, e[0], e[1], p, a, streams)
        _field(p[layers - 1, 0], base, factor, start, e[0], e[1], u, streams)
        loss += _compare(kind, u, target, weight, start, c, adjoint, slopes)
        _unfield(adjoint, factor, start, e[0], e[1], g[layers - 1, 0], streams)
        _backward(weights, widths, e[0], e[1], p, a, g, gradient, streams)
    return loss


@_vector
def field(
    weights: Array, widths: Array, features: Array, base: Array, factor: Array, e: Array, streams: int, out: Array
) -> None:
    """u (streams, points) of the network, into `out`; arguments as in `loss_and_gradient`."""
    widest, layers = widths.max(), len(widths) - 1
    p = np.empty((layers, widest, streams * BLOCK), weights.dtype)
    a = np.empty_like(p)
    u = np.empty(streams * BLOCK, weights.dtype)
    points = features.shape[2]
    for start in range(0, points, BLOCK):
        _forward(weights, widths, features, start, e[0], e[1], p, a, streams)
        _field(p[layers - 1, 0], base, factor, start, e[0], e[1], u, streams)
        for k in range(streams):
            for r in range(min(BLOCK, points - start)):
                out[k, start + r] = u[k * BLOCK + r]
