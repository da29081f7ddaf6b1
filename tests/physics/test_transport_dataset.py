"""The data set and what is built on it: splits without leaks, exact reversal, operators that fit the solver's steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from phasemill.core import store
from phasemill.transport.config.videos import VoronoiHeatJob
from phasemill.transport.datasets import videos as dataset
from phasemill.transport.evaluate.scoring import roll_out
from phasemill.transport.network import FieldMap
from phasemill.transport.operator import safe_loss, substep
from phasemill.transport.recover import recover_direct
from phasemill.transport.solver import integrate
from phasemill.transport.spectra import FrameSpectra, SafeScheme
from phasemill.transport.train.estimator import assemble, videos

# dt is large, so that the solver has to divide it for every kappa above 0.625
SPEC = {
    "seed": 5,
    "data": {
        **{
            "size": 16,
            "dx": 0.5,
            "dt": 0.1,
            "steps": 80,
            "save_every": 5,
            "simulations": 6,
            "validation": 1,
            "test": 2,
        },
        **{"kappa": {"low": 0.55, "high": 0.7}, "grains": {"low": 3, "high": 5}},
        **{"interface_width": 0.25, "roughness": 0.3, "correlation_length": 2.0},
    },
}


def simulate(path: Path, **changes: object) -> xr.Dataset:
    job = VoronoiHeatJob.model_validate({**SPEC, "data": {**SPEC["data"], **changes}})
    dataset.simulate(job, path)
    return store.open_dataset(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    return simulate(tmp_path_factory.mktemp("data") / "heat.zarr")


def test_the_splits_share_no_base_simulation_and_hold_all_of_them(data: xr.Dataset) -> None:
    bases = {split: {row.base for row in dataset.rows(data, split)} for split in dataset.SPLITS}
    assert {split: len(found) for split, found in bases.items()} == {"train": 3, "validation": 1, "test": 2}
    assert set.union(*bases.values()) == set(range(6))  # 3 + 1 + 2 = 6: disjoint


def test_each_base_simulation_serves_both_directions_within_its_split(data: xr.Dataset) -> None:
    for split in dataset.SPLITS:
        rows = list(dataset.rows(data, split))
        for smoothing, sharpening in zip(rows[::2], rows[1::2], strict=True):
            assert (smoothing.base, smoothing.kappa) == (sharpening.base, sharpening.kappa)
            assert (smoothing.direction, sharpening.direction) == (1, -1)
            assert (smoothing.regime, sharpening.regime) == ("diffusion", "mobility")
            np.testing.assert_array_equal(sharpening.frames, smoothing.frames[::-1])


def test_mobility_is_the_reversed_view_bit_for_bit(data: xr.Dataset) -> None:
    reverse = dataset.mobility(data)
    assert reverse.phi.chunks is None  # a view: nothing was read or copied
    np.testing.assert_array_equal(reverse.time, data.time)
    for row in dataset.rows(data, "test"):
        if row.direction < 0:
            np.testing.assert_array_equal(reverse.phi.sel(sim=row.base), row.frames)


def test_a_simulation_depends_neither_on_how_many_there_are_nor_on_the_run(data: xr.Dataset, tmp_path: Path) -> None:
    more = simulate(tmp_path / "more.zarr", simulations=7)
    np.testing.assert_array_equal(more.phi[:6], data.phi)
    again = simulate(tmp_path / "again.zarr")
    assert again.attrs["digest"] == data.attrs["digest"]


def test_diagnostics_obey_the_physics(data: xr.Dataset) -> None:
    assert float(abs(data["mean"] - data["mean"].isel(time=0)).max()) < 1e-15
    assert bool((data.energy.diff("time") < 0).all())


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_operator_fits_the_steps_that_the_solver_took(data: xr.Dataset, split: str, stride: int) -> None:
    subdivisions = set()
    for row in dataset.rows(data, split, stride):
        subdivisions.add(row.subdivisions)
        spectra = FrameSpectra.from_frames(row.frames, dataset.scheme(data, row, stride))
        assert recover_direct(spectra).kappa == pytest.approx(row.kappa, abs=2e-6)
    assert subdivisions == {1, 2}


def test_a_roll_out_with_the_true_kappa_is_the_video(data: xr.Dataset) -> None:
    for row in dataset.rows(data, "test"):
        kept = np.array([0, 3, 16])
        np.testing.assert_allclose(roll_out(row, row.kappa, data, kept), row.frames[kept], atol=2e-7)


@pytest.mark.parametrize("size", [16, 33])
def test_the_loss_from_spectra_is_that_of_the_convolutions(size: int) -> None:
    """Also on an odd grid, which has no Nyquist column."""
    phi0 = np.random.default_rng(size).random((size, size))
    frames = integrate(phi0, 0.4, dx=0.5, dt=0.005, steps=30, save_every=10).frames
    scheme = SafeScheme(interval=0.05, substeps=10, dx=0.5)
    u = torch.from_numpy(frames)
    kappa = torch.tensor(0.3, dtype=torch.float64)
    wanted = (substep(u[:-1], kappa, scheme) - u[1:]).square().mean() / (u[1:] - u[:-1]).square().mean()
    assert float(FrameSpectra.from_frames(frames, scheme).loss(0.3)) == pytest.approx(wanted.item(), rel=1e-10)


def test_a_frozen_encoder_is_seen_by_the_constant_loss_and_the_pooled_frames(data: xr.Dataset) -> None:
    """Test-time training starts from a trained encoder: phase one must see the latent video, not the raw one."""
    torch.manual_seed(0)
    encoder = FieldMap(4).eval()
    torch.nn.init.constant_(encoder.projection.weight, 0.2)
    row = next(iter(dataset.rows(data, "test")))
    scheme = dataset.scheme(data, row)
    prepared = assemble([(row, scheme)], torch.device("cpu"), encoder)
    kappa = torch.tensor([0.5])
    with torch.no_grad():
        latent = encoder(torch.from_numpy(row.frames.copy())[None])
        wanted = safe_loss(latent, kappa, scheme)
    assert prepared.loss(kappa).item() == pytest.approx(wanted.item(), rel=1e-4)
    raw = assemble([(row, scheme)], torch.device("cpu"))
    assert raw.loss(kappa).item() != pytest.approx(wanted.item(), rel=1e-2)
    assert not torch.equal(raw.pooled, prepared.pooled)


def test_thinned_videos_keep_the_first_and_the_last_frame(data: xr.Dataset) -> None:
    thinned = videos(data, "train", 5, torch.device("cpu"))
    assert thinned.frames.shape == (6, 5, 16, 16)
    np.testing.assert_array_equal(thinned.frames[0], data.phi[0, ::4])
