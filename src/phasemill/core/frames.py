"""A PyTorch data set over a Zarr store: windows of consecutive frames, lazily from every worker or from memory.

    python -m phasemill.core.frames data/laptop/transport/voronoi_heat.zarr     # how fast, lazily and from memory

Windows are split by the store's coordinate `split`, which is by base simulation. What normalises them belongs to the
training part alone, whatever part is opened, so that validation and test are normalised in the same way.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
import xarray as xr
import zarr
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from phasemill.core.errors import InputError, unknown
from phasemill.core.fields import field_variable
from phasemill.core.store import meanings, open_any

TRAINING = "train"


@dataclass(frozen=True)
class Normalisation:
    """x -> (x - mean) / std."""

    mean: float = 0.0
    std: float = 1.0

    def __call__(self, frames: Tensor) -> Tensor:
        return (frames - self.mean) / self.std

    def inverse(self, frames: Tensor) -> Tensor:
        """Back to the field."""
        return frames * self.std + self.mean


class FrameDataset(Dataset[Tensor]):
    """Windows (window, x[, y[, z]]) of consecutive frames in float32, for a `DataLoader`.

    Arguments
    ---------
    path: a Zarr store of phasemill; a manifest beside it is checked.
    window: frames in a window, at least 1; a pair is 2.
    stride: frames from one frame of a window to the next.
    split: `train`, `validation` or `test`, as the store's coordinate `split` tells; None: all simulations.
    variable: the field; default phi or the only one.
    normalise: subtract the mean of the training simulations and divide by their standard deviation; a `Normalisation`
        is used as it is. `self.normalisation` holds it, also to go back.
    preload: read everything into memory at once; otherwise each worker opens the store when it first reads.

    `self.places[i]` is the (simulation, frame) at which window i begins.

    Raises InputError for a store without such windows.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from phasemill import FrameDataset
    >>> from torch.utils.data import DataLoader
    >>> phi = xr.DataArray(np.arange(2 * 5 * 16.0).reshape(2, 5, 4, 4), dims=("sim", "time", "x", "y"))
    >>> _ = phi.to_dataset(name="phi").to_zarr("frames.zarr", consolidated=False)
    >>> pairs = FrameDataset("frames.zarr", window=2)
    >>> len(pairs), tuple(pairs[0].shape), pairs.places[4]
    (8, (2, 4, 4), (1, 0))
    >>> before, after = next(iter(DataLoader(pairs, batch_size=4))).unbind(1)
    >>> float((after - before).mean())
    16.0
    """

    def __init__(
        self, path: Path | str, *, window: int = 2, stride: int = 1, split: str | None = None,
        variable: str | None = None, normalise: bool | Normalisation = False, preload: bool = False,
    ) -> None:  # fmt: skip
        self.path, self.window, self.stride = Path(path), window, stride
        if window < 1 or stride < 1:
            raise InputError(f"window is {window} and stride {stride}: both must be at least 1")
        dataset = open_any(self.path)
        field = field_variable(dataset, self.path, variable) if {"x", "y"} <= set(dataset.dims) else None
        if field is None or field.dims[:2] != ("sim", "time") or field.dims != dataset[field.name].dims:
            remedy = "" if "sim" in dataset.dims else ': for one simulation store ds.expand_dims("sim")'
            raise InputError(f"{self.path} has no field with the axes (sim, time, x, y[, z]), in this order{remedy}")
        self.variable = str(field.name)
        count = field.sizes["time"] - (window - 1) * stride
        if count < 1:
            raise InputError(
                f"{self.path} has {field.sizes['time']} frames: too few for a window of {window} with stride {stride}"
            )
        sims = _simulations(dataset, split, self.path)
        self.places = [(sim, time) for sim in sims for time in range(count)]
        self._array: Any = None
        self._process = os.getpid()
        self._frames: dict[int, Tensor] = {}
        if isinstance(normalise, Normalisation):
            self.normalisation = normalise
        else:
            self.normalisation = self._measured(dataset) if normalise else Normalisation()
        if preload:
            self._frames = {sim: self._read(sim, slice(None)) for sim in sims}

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Tensor:
        sim, first = self.places[index]
        wanted = slice(first, first + (self.window - 1) * self.stride + 1, self.stride)
        return self._frames[sim][wanted] if self._frames else self._read(sim, wanted)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_array": None}  # an open store belongs to the process that opened it

    def _read(self, sim: int, times: slice) -> Tensor:
        if self._array is None or self._process != os.getpid():
            self._array = zarr.open_array(self.path / self.variable, mode="r")
            self._process = os.getpid()
        frames = np.asarray(self._array[sim, times], np.float32)
        return self.normalisation(torch.from_numpy(frames))

    def _measured(self, dataset: xr.Dataset) -> Normalisation:
        """Mean and standard deviation of the training simulations, one at a time, in float64."""
        has_training = "split" in dataset.coords and TRAINING in meanings(dataset["split"])
        values = zarr.open_array(self.path / self.variable, mode="r")
        count, total, squares = 0, 0.0, 0.0
        sims = _simulations(dataset, TRAINING if has_training else None, self.path)
        shift = float(np.mean(np.asarray(values[sims[0], 0], np.float64)))  # so that the squares do not cancel
        for sim in sims:
            frames = np.asarray(values[sim], np.float64) - shift
            count, total, squares = count + frames.size, total + frames.sum(), squares + np.square(frames).sum()
        mean = total / count
        std = float(np.sqrt(squares / count - mean**2))
        if not std > 0:
            raise InputError(f"{self.path}: {self.variable} is the same everywhere or not finite: leave normalise out")
        return Normalisation(float(mean) + shift, std)


def _simulations(dataset: xr.Dataset, split: str | None, path: Path) -> list[int]:
    if split is None:
        return list(range(dataset.sizes["sim"]))
    if "split" not in dataset.coords:
        raise InputError(f"{path} has no coordinate split: leave split out to use all simulations")
    words = meanings(dataset["split"])
    if split not in words:
        raise InputError(f"{path}: {unknown(split, set(words), 'split')}")
    return [sim for sim, word in enumerate(words) if word == split]


def throughput(path: Path | str, *, workers: int = 0, batch: int = 16, seconds: float = 3.0) -> dict[str, float]:
    """Frames and MB (float32) per second of shuffled pairs, lazily and from memory, without the start of the workers.

    Arguments: workers of the DataLoader; windows per batch; how long each is measured, over as many epochs as it takes.

    Returns lazy_frames, lazy_mb, preloaded_frames and preloaded_mb, each per second.
    """
    found: dict[str, float] = {}
    for name in ("lazy", "preloaded"):
        data = FrameDataset(path, preload=name == "preloaded")
        loader = DataLoader(
            data, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        next(iter(loader))  # workers start, libraries load
        frames, size, start = 0, 0, perf_counter()
        while perf_counter() - start < seconds:
            for windows in loader:
                frames, size = frames + windows.shape[0] * windows.shape[1], size + windows.nbytes
                if perf_counter() - start >= seconds:
                    break
        elapsed = perf_counter() - start
        found |= {f"{name}_frames": frames / elapsed, f"{name}_mb": size / 1e6 / elapsed}
    return found


if __name__ == "__main__":
    for workers in (0, 2):
        speed = throughput(sys.argv[1], workers=workers)
        print(f"{workers} workers: " + ", ".join(f"{name} {value:.0f}/s" for name, value in speed.items()))
