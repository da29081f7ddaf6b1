"""Windows of frames for PyTorch are what xarray reads, in any process, by split, and normalised by the training part."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch
import xarray as xr
from torch.utils.data import DataLoader, get_worker_info

from phasemill import FrameDataset, InputError
from phasemill.core import frames, store
from phasemill.core.frames import Normalisation, throughput

SIMS, FRAMES, SHAPE = 5, 7, (6, 4, 5)
SPLITS = ["train", "test", "train", "validation", "train"]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "a.zarr"
    coords = xr.Dataset(
        coords={d: np.arange(n) * 1.0 for d, n in zip(("time", "x", "y", "z"), (FRAMES, *SHAPE), strict=True)}
    )
    coords = coords.assign_coords(
        sim=np.arange(SIMS), split=store.flags(SPLITS, ("train", "validation", "test"), "sim", "split")
    )
    variables = {
        "phi": store.Variable(("sim", "time", "x", "y", "z"), "1", "field"),
        "energy": store.Variable(("sim", "time"), "1", "energy"),
    }
    rng = np.random.default_rng(0)
    with store.create(path, coords, variables, {}) as writer:
        for sim in range(SIMS):  # the parts differ, so that the normalisation of one is not that of another
            writer.write(
                sim, phi=rng.normal(10 + 100 * (SPLITS[sim] != "train"), 2, (FRAMES, *SHAPE)), energy=np.ones(FRAMES)
            )
    return path


@pytest.mark.parametrize("preload", [False, True])
def test_windows_are_what_xarray_reads(path, preload):
    phi = xr.open_zarr(path).phi.values
    data = FrameDataset(path, window=3, stride=2, preload=preload)
    assert len(data) == SIMS * (FRAMES - 4)
    for index, (sim, first) in enumerate(data.places):
        assert data[index].dtype == torch.float32
        np.testing.assert_array_equal(data[index], phi[sim, first : first + 5 : 2])
    assert data.places == [(sim, first) for sim in range(SIMS) for first in range(FRAMES - 4)]


def test_a_window_may_be_one_frame_or_all(path):
    phi = xr.open_zarr(path).phi.values
    np.testing.assert_array_equal(FrameDataset(path, window=1)[FRAMES - 1], phi[0, FRAMES - 1 :])
    (whole, *others) = FrameDataset(path, window=FRAMES, split="validation")
    assert not others
    np.testing.assert_array_equal(whole, phi[3])


@pytest.mark.parametrize(
    ("split", "sims"), [("train", {0, 2, 4}), ("validation", {3}), ("test", {1}), (None, set(range(5)))]
)
def test_a_split_is_its_simulations(path, split, sims):
    data = FrameDataset(path, split=split)
    assert {sim for sim, _ in data.places} == sims
    assert len(data) == len(sims) * (FRAMES - 1)


@pytest.mark.parametrize("preload", [False, True])
def test_all_parts_are_normalised_by_the_training(path, preload):
    training = xr.open_zarr(path).phi.values[[0, 2, 4]].astype(float)
    data = FrameDataset(path, split="test", normalise=True, preload=preload)
    assert data.normalisation.mean == pytest.approx(training.mean(), rel=1e-9)
    assert data.normalisation.std == pytest.approx(training.std(), rel=1e-7)
    raw = FrameDataset(path, split="test")
    torch.testing.assert_close(data[2], (raw[2] - training.mean()) / training.std(), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(data.normalisation.inverse(data[2]), raw[2], rtol=1e-6, atol=1e-5)
    assert raw.normalisation == Normalisation()
    again = FrameDataset(path, normalise=data.normalisation)
    assert again.normalisation is data.normalisation


class Watched(FrameDataset):
    """Tells with each window who read it: this process or a worker, with its own open store."""

    def __getitem__(self, index):
        window = super().__getitem__(index)
        return window, self._process == os.getpid(), get_worker_info() is not None


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_open_the_store_themselves_and_read_the_same(path, context):
    data = Watched(path, normalise=False) if context == "fork" else FrameDataset(path)
    data[0]  # the store is open here before the workers start
    loader = DataLoader(data, batch_size=4, num_workers=2, multiprocessing_context=context)
    read = list(loader)
    windows = torch.cat([batch[0] if context == "fork" else batch for batch in read])
    expected = torch.stack(list(FrameDataset(path, preload=True)))
    torch.testing.assert_close(windows, expected, rtol=0, atol=0)
    if context == "fork":
        assert all(own.all() and worker.all() for _, own, worker in read)


def test_an_open_store_is_not_pickled(path):
    data = FrameDataset(path)
    data[0]
    assert data._array is not None
    copy = pickle.loads(pickle.dumps(data))
    assert copy._array is None
    torch.testing.assert_close(copy[3], data[3])


def test_lazily_nothing_stays_in_memory(path):
    data = FrameDataset(path)
    data[0]
    assert not data._frames
    assert set(FrameDataset(path, split="train", preload=True)._frames) == {0, 2, 4}


def test_the_throughput_is_measured(path, monkeypatch):
    ticks = iter(np.arange(1000.0))
    monkeypatch.setattr(frames, "perf_counter", lambda: next(ticks))
    found = throughput(path, batch=5, seconds=10)
    assert set(found) == {"lazy_frames", "lazy_mb", "preloaded_frames", "preloaded_mb"}
    for way in ("lazy", "preloaded"):  # 30 pairs are 6 batches; the clock ticks once for each, and around
        assert 2 * 5 * 0.5 <= found[f"{way}_frames"] <= 2 * 5
        assert found[f"{way}_mb"] == pytest.approx(found[f"{way}_frames"] * 4 * np.prod(SHAPE) / 1e6)


def bare(path, **changes):
    phi = xr.DataArray(np.ones((2, 3, 4, 4)), dims=("sim", "time", "x", "y"), name="phi")
    phi.to_dataset().assign(changes).to_zarr(path, consolidated=False)
    return path


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (bare, {"window": 4}, "has 3 frames: too few for a window of 4"),
        (bare, {"window": 0}, "window is 0 and stride 1"),
        (bare, {"stride": 0}, "stride 0"),
        (bare, {"split": "train"}, "has no coordinate split"),
        (bare, {"variable": "u"}, "unknown variable 'u'"),
        (bare, {"normalise": True}, "is the same everywhere"),
        (lambda path: path, {}, "b.zarr does not exist: give the"),
        (lambda path: path.mkdir() or path, {}, "is no Zarr store: give the"),
        (lambda path: bare(path, phi=(("time", "x", "y"), np.ones((3, 4, 4)))), {}, r'store ds.expand_dims\("sim"\)'),
        (lambda path: bare(path, phi=(("time", "sim", "x", "y"), np.ones((3, 2, 4, 4)))), {}, "in this order"),
    ],
)
def test_what_has_no_such_windows_is_one_sentence(tmp_path, make, options, words):
    with pytest.raises(InputError, match=words):
        FrameDataset(make(tmp_path / "b.zarr"), **options)


def test_an_unknown_split_names_the_known_ones(path):
    with pytest.raises(InputError, match="unknown split 'tests'; did you mean 'test'"):
        FrameDataset(path, split="tests")


def test_a_damaged_store_is_refused(path, tmp_path):
    import shutil

    shutil.copytree(path, tmp_path / "a.zarr")
    shutil.copy(path.with_suffix(".json"), tmp_path / "a.json")
    next(file for file in (tmp_path / "a.zarr/phi/c").rglob("*") if file.is_file()).unlink()
    with pytest.raises(InputError, match="is damaged"):
        FrameDataset(tmp_path / "a.zarr")
