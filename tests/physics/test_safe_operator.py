"""The SAFE operator: the sub-steps, the Fourier form and the spectra are one operator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phasemill.core.errors import InputError
from phasemill.transport.operator import SpectralLoss, fourier, safe_loss, substep
from phasemill.transport.spectra import FrameSpectra, SafeScheme, stability_table
from tests.heat import euler_frames

pytestmark = pytest.mark.physics

SCHEME = SafeScheme(interval=0.25, substeps=50, dx=0.5)
KAPPA = 0.37
CASES = {
    "smoothing": SCHEME,
    "one step": replace(SCHEME, substeps=1),
    "reverse": replace(SCHEME, direction=-1, substeps=10),
    "forward euler": replace(SCHEME, direction=-1, mode="forward_euler", substeps=10),
}
all_cases = pytest.mark.parametrize("scheme", CASES.values(), ids=CASES.keys())


def _mean_square_error(z: torch.Tensor, kappa: torch.Tensor, scheme: SafeScheme) -> torch.Tensor:
    source, target = scheme.pairs(z)
    return (substep(source, kappa, scheme) - target).square().mean((-1, -2, -3))


def reference_loss(video: torch.Tensor, kappa: torch.Tensor, scheme: SafeScheme) -> torch.Tensor:
    """Equation 9 as it is written, over the persistence error."""
    source, target = scheme.pairs(video)
    return _mean_square_error(video, kappa, scheme) / (target - source).square().mean((-1, -2, -3)).detach()


@all_cases
def test_fourier_form_equals_substeps(scheme: SafeScheme) -> None:
    u = torch.from_numpy(euler_frames(KAPPA, frames=3))
    kappa = torch.tensor([0.1, 0.4, 0.7], dtype=torch.float64)
    torch.testing.assert_close(fourier(u, kappa, scheme), substep(u, kappa, scheme), rtol=1e-9, atol=1e-12)


@all_cases
def test_loss_and_gradients_of_all_forms_agree(scheme: SafeScheme) -> None:
    frames = euler_frames(KAPPA) + 0.01 * np.random.default_rng(1).standard_normal((21, 32, 32))
    kappa = torch.tensor([0.52], dtype=torch.float64, requires_grad=True)
    video = torch.from_numpy(frames)[None].requires_grad_()
    loss = reference_loss(video, kappa, scheme)
    kappa_slope, video_slope = torch.autograd.grad(loss.sum(), (kappa, video))

    spectra = FrameSpectra.from_frames(frames, scheme)
    value, first, second = spectra.derivatives(0.52)
    assert value == pytest.approx(loss.item(), rel=1e-9)
    assert float(spectra.loss(0.52)) == pytest.approx(loss.item(), rel=1e-9)
    assert first == pytest.approx(kappa_slope.item(), rel=1e-9)
    step = 1e-5
    slopes = [spectra.derivatives(0.52 + d)[1] for d in (-step, step)]
    assert second == pytest.approx((slopes[1] - slopes[0]) / (2 * step), rel=1e-6)

    for form in (lambda k: SpectralLoss([spectra])(k), lambda k: safe_loss(video, k, scheme)):
        torch.testing.assert_close(form(kappa), loss, rtol=1e-9, atol=0)
        torch.testing.assert_close(torch.autograd.grad(form(kappa).sum(), kappa)[0], kappa_slope, rtol=1e-9, atol=0)
    slope = torch.autograd.grad(safe_loss(video, kappa, scheme).sum(), video)[0]
    torch.testing.assert_close(slope, video_slope, rtol=1e-6, atol=1e-12 * float(video_slope.abs().max()))


def test_batches_mix_schemes() -> None:
    videos = [euler_frames(0.2), euler_frames(0.6, seed=1)[::-1].copy()]
    schemes = [SCHEME, CASES["forward euler"]]
    spectra = [FrameSpectra.from_frames(v, s) for v, s in zip(videos, schemes, strict=True)]
    kappa = torch.tensor([0.3, 0.4])
    both = SpectralLoss(spectra)(kappa)
    assert both.tolist() == pytest.approx([float(s.loss(float(k))) for s, k in zip(spectra, kappa, strict=True)])
    row = SpectralLoss(spectra)(kappa[1:], torch.tensor([1]))
    assert row.item() == pytest.approx(both[1].item())


@pytest.mark.parametrize("shape", [(4, 4), (4, 5)])
@pytest.mark.parametrize("name", ["smoothing", "forward euler"])
def test_gradcheck(name: str, shape: tuple[int, int]) -> None:
    scheme = replace(CASES[name], substeps=3)
    z = torch.rand(2, 2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    kappa = torch.tensor([0.2, 0.5], dtype=torch.float64, requires_grad=True)
    for form in (substep, fourier):
        assert torch.autograd.gradcheck(lambda z, k, form=form: form(z, k, scheme), (z, kappa))
    assert torch.autograd.gradcheck(lambda k: safe_loss(z, k, scheme), (kappa,))


@pytest.mark.parametrize(("substeps", "exact"), [(50, True), (49, False), (10, False), (1, False)])
def test_true_kappa_predicts_the_next_frame_only_at_the_data_substeps(substeps: int, exact: bool) -> None:
    video = torch.from_numpy(euler_frames(KAPPA))
    scheme = replace(SCHEME, substeps=substeps)
    error = (substep(video[:-1], torch.tensor(KAPPA, dtype=torch.float64), scheme) - video[1:]).abs().max()
    assert bool(error < 1e-13) is exact
    loss = float(FrameSpectra.from_frames(video.numpy(), scheme).loss(KAPPA))
    assert (abs(loss) < 1e-14) is exact


def test_loss_is_one_for_persistence_and_ignores_affine_maps_of_the_field() -> None:
    video = euler_frames(KAPPA)
    assert float(FrameSpectra.from_frames(video, SCHEME).loss(0.0)) == 1
    kappas = np.array([0.1, 0.5, 1.5])
    mapped = FrameSpectra.from_frames(0.6 * video + 0.2, SCHEME)
    np.testing.assert_allclose(mapped.loss(kappas), FrameSpectra.from_frames(video, SCHEME).loss(kappas))
    assert mapped.persistence == pytest.approx(0.36 * np.mean(np.diff(video, axis=0) ** 2))


def test_sharpening_predicted_in_reverse_is_the_smoothing_problem() -> None:
    video = euler_frames(KAPPA)
    smoothing = FrameSpectra.from_frames(video, SCHEME)
    sharpening = FrameSpectra.from_frames(video[::-1], replace(SCHEME, direction=-1))
    np.testing.assert_allclose(sharpening.power, smoothing.power, rtol=1e-12)
    np.testing.assert_allclose(sharpening.cross, smoothing.cross, rtol=1e-12)


@pytest.mark.parametrize(
    ("substeps", "number", "stable_kappa", "stable"),
    [
        (1, 5.60, 0.25, False),
        (2, 2.80, 0.50, False),
        (5, 1.12, 1.25, True),
        (10, 0.56, 2.50, True),
        (25, 0.224, 6.25, True),
        (50, 0.112, 12.50, True),
    ],
)
def test_stability_table_of_the_paper(substeps: int, number: float, stable_kappa: float, stable: bool) -> None:
    (row,) = stability_table([substeps], interval=0.25, dx=0.5, kappa_max=0.7)
    assert (row.stability_number, row.stable_kappa) == pytest.approx((number, stable_kappa), rel=1e-12)
    assert row.stable is stable


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((4, 4)), r"shape \(4, 4\): give one simulation as \(time, x, y\)"),
        (np.zeros((1, 4, 4)), "give at least two"),
        (np.stack([np.eye(4), np.full((4, 4), np.inf)]), "frame 1 contains values that are not finite"),
        (np.ones((3, 1, 1)) * np.eye(4), "all frames are equal"),
        (np.arange(3.0)[:, None, None] * np.ones((4, 4)), "every frame is uniform"),
    ],
)
def test_frames_that_do_not_determine_kappa_are_refused(frames: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        FrameSpectra.from_frames(frames, SCHEME)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interval": 0.0}, "must be positive"),
        ({"substeps": 0}, "at least 1"),
        ({"direction": 0}, "use 1 for smoothing or -1 for sharpening"),
        ({"mode": "forward"}, "use one of reverse, forward_euler"),
    ],
)
def test_schemes_out_of_range_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SCHEME, **change)  # type: ignore[arg-type]  # bad values are the point
