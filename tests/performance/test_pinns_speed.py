"""Loss and gradient of an equation on the paper's networks, one core: the fused kernel against torch and DeepXDE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from phasemill.pinns.config.runs import Row, Runs
from phasemill.pinns.physics import EQUATIONS
from phasemill.pinns.protocol import Protocol
from phasemill.pinns.terms import Term

pytestmark = pytest.mark.performance

SIZES: dict[str, dict[str, Any]] = {
    "burgers": {"depth": 9, "width": 20, "points": 10000, "initial": 100},
    "poisson": {"depth": 5, "width": 50, "points": 2500, "initial": 0},
    "allen_cahn": {"depth": 5, "width": 128, "points": 4096, "initial": 512},
}


def protocol(name: str) -> Protocol:
    settings = Runs(
        **SIZES[name], boundary=100, epochs=1, learning_rate=1e-3, check=1, ema=0.9, seeds=1, parts=1,
        rows=[Row(scheme="fixed"), Row(scheme="dn")],
    )  # fmt: skip
    return Protocol(EQUATIONS[name](), settings)


def nested(problem: Protocol, term: Term, theta: torch.Tensor) -> Callable[[], Any]:
    """The same by two nested passes of automatic differentiation."""
    its = problem.equation
    low, high = torch.tensor(its.low), torch.tensor(its.high)
    z = torch.from_numpy(term.points.features[0].T.copy())
    x = (low + (z + 1) / 2 * (high - low)).requires_grad_(True)
    source, c = torch.from_numpy(term.target), its.c

    def run() -> Any:
        free = theta.detach().requires_grad_(True)
        layers = problem.network.matrices(free)
        a = 2 * (x - low) / (high - low) - 1
        for w, b in layers[:-1]:
            a = torch.tanh(torch.addmm(b, a, w.T))
        u = torch.addmm(layers[-1][1], a, layers[-1][0].T)
        slope = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
        axes = (0, 1) if its.e[0] else (1,)
        q = sum(torch.autograd.grad(slope[:, k].sum(), x, create_graph=True)[0][:, k] for k in axes)
        u = u[:, 0]
        r = c[0] * slope[:, 0] + c[1] * u * slope[:, 1] + c[2] * q + c[3] * (u - u**3) - source
        loss = (r**2).mean()
        return loss.item(), torch.autograd.grad(loss, free)[0]

    return run


@pytest.mark.parametrize(("name", "at_least"), [("burgers", 3), ("poisson", 3), ("allen_cahn", 1.5)])
def test_equation_against_nested_differentiation(name: str, at_least: float, compare: Any) -> None:
    problem = protocol(name)
    term = problem.terms(np.random.default_rng(0))["pde"]
    theta = torch.tensor(problem.network.initial(np.random.default_rng(1)), dtype=torch.float32)
    peer = nested(problem, term, theta)
    loss, gradient = term.value_and_gradient(theta)
    wanted, slope = peer()
    assert loss == pytest.approx(wanted, rel=1e-4)
    assert float((gradient - slope).norm()) < 1e-4 * float(slope.norm())
    key = f"pinns loss and gradient, {name} against nested differentiation in torch"
    assert compare(key, lambda: term.value_and_gradient(theta), peer, 60) >= at_least


def test_burgers_against_deepxde(compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch of Adam without the losses of the conditions, both with the same network and as many points."""
    monkeypatch.setenv("DDE_BACKEND", "pytorch")
    deepxde = pytest.importorskip("deepxde")
    torch.set_default_device("cpu")
    problem = protocol("burgers")
    term = problem.terms(np.random.default_rng(0))["pde"]
    theta = torch.tensor(problem.network.initial(np.random.default_rng(1)), dtype=torch.float32)

    def equation(x: Any, u: Any) -> Any:
        first = deepxde.grad.jacobian
        return first(u, x, i=0, j=1) + u * first(u, x, i=0, j=0) - 0.01 / np.pi * deepxde.grad.hessian(u, x, i=0, j=0)

    domain = deepxde.geometry.GeometryXTime(deepxde.geometry.Interval(-1, 1), deepxde.geometry.TimeDomain(0, 1))
    data = deepxde.data.TimePDE(domain, equation, [], num_domain=10000)
    network = deepxde.nn.FNN([2, *[20] * 8, 1], "tanh", "Glorot normal")
    model = deepxde.Model(data, network)
    model.compile("adam", lr=1e-3, verbose=0)
    parameter = torch.nn.Parameter(theta.clone())
    optimizer = torch.optim.Adam([parameter], lr=1e-3)

    def ours() -> None:
        parameter.grad = term.value_and_gradient(parameter)[1]
        optimizer.step()

    points = data.train_x.astype(np.float32)
    model.train_state.set_data_train(points, None, None)

    def peer() -> None:
        model._train_step(points, None, None)

    key = f"pinns epoch of Adam, burgers against DeepXDE {deepxde.__version__}"
    assert compare(key, ours, peer, 40) >= 3
