"""Frames from a Zarr store into PyTorch, in random order: lazily, and once read into memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from phasemill import config
from phasemill.core.frames import throughput
from phasemill.spinodal.config import CahnHilliardJob
from phasemill.spinodal.datasets.mixtures import simulate
from tests.conftest import ROOT

pytestmark = pytest.mark.performance


def test_reading_frames(keep: Callable[..., None], tmp_path: Path) -> None:
    """Pairs of frames of 32^3 cells, shuffled, 16 in a batch."""
    spec = config.load(config.read_yaml(ROOT / "config" / "config.yaml")).spec("cahn_hilliard", "laptop")
    job = CahnHilliardJob.model_validate_json(spec)
    few = job.model_copy(update={"data": job.data.model_copy(update={"simulations": 12, "validation": 2})})
    simulate(few, tmp_path / "mixtures.zarr")
    speed = throughput(tmp_path / "mixtures.zarr")
    keep("spinodal pairs of frames of 32^3 from Zarr into torch, per second", **speed)
    assert speed["preloaded_frames"] > 3 * speed["lazy_frames"]
