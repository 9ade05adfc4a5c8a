"""A Ray cluster, which the tests of all modules here share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray
from ray.cluster_utils import Cluster


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    """Two nodes with two CPUs each, on this machine; RAY_ADDRESS names them."""
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        nodes.add_node(num_cpus=2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_ADDRESS", nodes.address)
            yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()
