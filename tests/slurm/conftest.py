"""A real one-node Slurm for the tests of this folder; where Slurm is absent they are skipped and say so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster, one_node_slurm, skip_reason


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if reason := skip_reason():
        pytest.skip(reason)
    with one_node_slurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running
