"""A real one-node Slurm for the tests of this folder; where Slurm is absent they are skipped and say so."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for cluster.py, which also runs by hand

from cluster import Cluster, one_node_slurm, skip_reason


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if reason := skip_reason():
        pytest.skip(reason)
    with one_node_slurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running
