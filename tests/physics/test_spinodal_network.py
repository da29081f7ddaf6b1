"""The recurrent network and its fused form: equal, conservative, equivariant; baselines conserve phi as well."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from phasemill.core.errors import InputError
from phasemill.spinodal.fno import Fno
from phasemill.spinodal.fno import stepper as fno_step
from phasemill.spinodal.fused import Fused, pad
from phasemill.spinodal.network import CHANNELS_IN, CHANNELS_OUT, ConvGRU, change, features, laplacian, to_raw
from phasemill.spinodal.train.curriculum import initialise
from phasemill.spinodal.unet import Unet
from phasemill.spinodal.unet import stepper as unet_step

pytestmark = pytest.mark.physics

CONSERVATIVE = ("central", "staggered", "potential", "zero_mean")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(3)


def network(inputs: str = "features", output: str = "central", channels: int = 10) -> ConvGRU:
    made = ConvGRU(inputs, output, channels)
    initialise(made)
    return made


def fields(batch: int = 2, side: int = 6) -> Tensor:
    return torch.rand(batch, side, side + 2, side)


def roll(step: Callable[..., tuple[Tensor, object]], phi: Tensor, steps: int) -> Tensor:
    state, frames = None, []
    for _ in range(steps):
        phi, state = step(phi, state)
        frames.append(phi)
    return torch.stack(frames, 1)


def test_the_published_network_has_29183_parameters() -> None:
    assert sum(weight.numel() for weight in ConvGRU("raw", "central", 10).parameters()) == 29_183


@pytest.mark.parametrize(
    ("dtype", "apart", "gradients_apart"), [(torch.float32, 1e-6, 1e-4), (torch.float64, 1e-13, 1e-10)]
)
@pytest.mark.parametrize("channels", [10, 4])
@pytest.mark.parametrize("output", list(CHANNELS_OUT))
@pytest.mark.parametrize("inputs", list(CHANNELS_IN))
def test_fused_equals_module_by_module(
    inputs: str, output: str, channels: int, dtype: torch.dtype, apart: float, gradients_apart: float
) -> None:
    """But for rounding: gradients, sums that reach 200, are up to 3e-4 apart in float32 and 5e-13 in float64."""
    net, phi = network(inputs, output, channels).to(dtype), fields().to(dtype)
    target = torch.rand(2, 3, *phi.shape[1:]).to(dtype)
    found = []
    for step in (net, Fused(net, dtype)):
        net.zero_grad()
        frames = roll(step, phi, 3)
        ((frames - target) ** 2).sum().backward()
        found.append((frames.detach(), {name: weight.grad for name, weight in net.named_parameters()}))
    (plain, gradients), (fast, fast_gradients) = found
    torch.testing.assert_close(fast, plain, rtol=0, atol=apart)
    for name, gradient in gradients.items():
        close = {"rtol": gradients_apart, "atol": gradients_apart}
        torch.testing.assert_close(fast_gradients[name], gradient, **close, msg=name)


def test_a_carried_state_equals_the_same_roll_out() -> None:
    net, phi = network(), fields()
    step = Fused(net, torch.float32)
    whole = roll(step, phi, 4)
    half, state = phi, None
    for _ in range(2):
        half, state = step(half, state)
    plain_state = state  # the state is that of `ConvGRU`
    continued, _ = net(half, plain_state)
    torch.testing.assert_close(continued, whole[:, 2], rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", [lambda net: net, lambda net: Fused(net, torch.float32)], ids=["modules", "fused"])
def test_a_memory_of_three_steps_starts_anew_after_three(
    form: Callable[..., Callable[..., tuple[Tensor, object]]],
) -> None:
    free, forgetful = network(), network()
    forgetful.load_state_dict(free.state_dict())
    forgetful.memory = 3
    phi = fields()
    with torch.no_grad():
        frames, whole = roll(form(forgetful), phi, 5), roll(form(free), phi, 5)
        assert torch.equal(frames[:, :3], whole[:, :3])
        assert torch.equal(frames[:, 3:], roll(form(free), frames[:, 2], 2))
    assert not torch.equal(frames[:, 3:], whole[:, 3:])


def test_bfloat16_is_close() -> None:
    net, phi = network(), fields()
    with torch.no_grad():
        exact, rounded = roll(net, phi, 3), roll(Fused(net), phi, 3)
    moved = float((exact - phi[:, None]).abs().max())
    assert float((exact - rounded).abs().max()) < 0.03 * moved


def test_the_periodic_border_and_its_gradient() -> None:
    x = torch.rand(2, 3, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(2, 3, 6, 7, 8, dtype=torch.float64)
    (mine,) = torch.autograd.grad((pad(x) * weights).sum(), x)
    usual = torch.nn.functional.pad(x, (1,) * 6, mode="circular")
    (other,) = torch.autograd.grad((usual * weights).sum(), x)
    assert torch.equal(pad(x), usual)
    torch.testing.assert_close(mine, other)


def mean_drift(frames: Tensor, phi: Tensor) -> float:
    axes = (-1, -2, -3)
    return float((frames.double().mean(axes) - phi.double().mean(axes)[:, None]).abs().max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("output", CONSERVATIVE)
def test_the_mean_is_conserved_over_49_steps(output: str, dtype: torch.dtype) -> None:
    phi = fields(side=8)
    with torch.no_grad():
        frames = roll(Fused(network(output=output), dtype), phi, 49)
    assert float((frames[:, -1] - phi).abs().max()) > 1e-2  # it does move
    assert mean_drift(frames, phi) < 1e-6


def test_a_plain_change_conserves_nothing() -> None:
    phi = fields(side=8)
    with torch.no_grad():
        frames = roll(network(output="plain"), phi, 49)
    assert mean_drift(frames, phi) > 1e-3


@pytest.mark.parametrize(("output", "separate"), [("central", True), ("staggered", False), ("potential", False)])
def test_central_differences_conserve_each_parity_sub_lattice(output: str, separate: bool) -> None:
    """2i sin k vanishes at k = pi: eight interleaved masses instead of one."""
    moved = change(torch.rand(1, CHANNELS_OUT[output], 8, 8, 8), output)[0].double()
    masses = [moved[x::2, y::2, z::2].sum() for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    assert (max(abs(mass) for mass in masses) < 1e-4) == separate
    assert abs(sum(masses)) < 1e-4


def test_changes_are_the_operators_they_are_called() -> None:
    u = torch.rand(1, 3, 4, 5, 6)
    central = sum(np.roll(u[0, d].numpy(), 1, d) - np.roll(u[0, d].numpy(), -1, d) for d in range(3))
    np.testing.assert_allclose(change(u, "central")[0], central, atol=1e-6)
    staggered = sum(np.roll(u[0, d].numpy(), 1, d) - u[0, d].numpy() for d in range(3))
    np.testing.assert_allclose(change(u, "staggered")[0], staggered, atol=1e-6)
    np.testing.assert_allclose(change(u[:, :1], "potential"), laplacian(u[:, 0]), atol=1e-6)


def test_features_are_the_terms_of_the_chemical_potential() -> None:
    phi = fields(batch=1)
    q, lap, cubic = features(phi, "features")[0]
    torch.testing.assert_close(q, 2 * phi[0] - 1)
    torch.testing.assert_close(lap, laplacian(q[None])[0])
    torch.testing.assert_close(cubic, 8 * phi[0] * (1 - phi[0]) * (phi[0] - 0.5))  # of g'
    assert float(lap.double().sum().abs()) < 1e-4


def test_raw_input_folds_into_the_weights() -> None:
    centred, phi = network("centred"), fields()
    raw = to_raw(centred)
    assert raw.inputs == "raw"
    with torch.no_grad():
        torch.testing.assert_close(roll(raw, phi, 3), roll(centred, phi, 3), rtol=0, atol=1e-6)


STEPS = {
    "fused": lambda: Fused(network(), torch.float32),
    "unet": lambda: unet_step(Unet(4), torch.float32),
    "fno": lambda: fno_step(Fno(4, 2, 2, 8)),
}


@pytest.mark.parametrize(("name", "shift"), [("fused", 1), ("fno", 1), ("unet", 4)])
def test_a_shifted_field_moves_alike(name: str, shift: int) -> None:
    """Any shift for convolutions and waves; the U-Net's grids of 4 cells only allow shifts by those."""
    step, phi = STEPS[name](), torch.rand(1, 8, 8, 8)
    with torch.no_grad():
        moved, shifted = roll(step, phi, 3), roll(step, phi.roll((shift, -shift), (1, 3)), 3)
    assert float((moved[:, -1] - phi).abs().max()) > 1e-3
    torch.testing.assert_close(shifted, moved.roll((shift, -shift), (2, 4)), rtol=0, atol=2e-6)


@pytest.mark.parametrize("step", [STEPS["fno"], STEPS["unet"], lambda: unet_step(Unet(4))])
def test_baselines_conserve_the_mean(step: Callable[[], Callable[..., tuple[Tensor, object]]]) -> None:
    phi = torch.rand(2, 8, 8, 8)
    with torch.no_grad():
        frames = roll(step(), phi, 5)
    assert float((frames[:, -1] - phi).abs().max()) > 1e-3
    assert mean_drift(frames, phi) < 1e-6


def test_the_fourier_operator_means_the_same_in_a_larger_box() -> None:
    """A periodic field, repeated, moves as it does alone."""
    step, phi = STEPS["fno"](), torch.rand(1, 8, 8, 8)
    with torch.no_grad():
        alone, repeated = roll(step, phi, 2), roll(step, phi.repeat(1, 2, 1, 2), 2)
    torch.testing.assert_close(repeated, alone.repeat(1, 1, 2, 1, 2), rtol=0, atol=1e-5)


def test_the_u_net_refuses_sides_that_it_cannot_halve() -> None:
    with pytest.raises(InputError, match=r"grid of \(6, 8, 8\): the U-Net needs sides that are multiples of 4"):
        Unet(4)(torch.rand(1, 6, 8, 8))
