"""Statistics of a whole data set, computed with dask one simulation at a time."""

from __future__ import annotations

import warnings
from pathlib import Path

import dask.base
import numpy as np

from phasemill.core import store
from phasemill.core.files import write_json


def write_statistics(data: Path, output: Path, *, threads: int = 1) -> None:
    """Minimum, maximum, mean and standard deviation of every variable per split, and the sizes, as JSON.

    A variable without a value (nan everywhere) has null.
    """
    dataset = store.open_dataset(data, chunks=store.DASK_CHUNKS)
    splits = np.array(store.meanings(dataset.split) if "split" in dataset.coords else ["all"] * dataset.sizes["sim"])
    lazy = {
        split: {
            str(name): {
                kind: getattr(array.isel(sim=splits == split).astype("float64"), kind)()
                for kind in ("min", "max", "mean", "std")
            }
            for name, array in dataset.data_vars.items()
        }
        for split in dict.fromkeys(splits)
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of means over nothing
        (numbers,) = dask.base.compute(lazy, scheduler="threads", num_workers=threads)  # type: ignore[no-untyped-call]  # dask has no types
    content = {
        "data": data.name,
        "digest": store.digest(data),
        "sizes": {str(dim): size for dim, size in dataset.sizes.items()},
        "simulations": {split: int((splits == split).sum()) for split in numbers},
        "statistics": {
            split: {
                name: {kind: None if np.isnan(value) else float(value) for kind, value in kinds.items()}
                for name, kinds in variables.items()
            }
            for split, variables in numbers.items()
        },
    }
    write_json(output, content)
