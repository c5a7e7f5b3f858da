"""A node whose models run on a Ray cluster, from the scanner to the PACS; a machine of the cluster dies under way."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomnode.app.demo_pacs import ReceivingPacs
from tests.acceptance.kills import ONE_SET, results_by_study
from tests.acceptance.orthanc import free_port
from tests.acceptance.scanner import small_study, storescu
from tests.acceptance.served import ServedNode
from tests.conftest import OWN_PATH, REPOSITORY
from tests.integration.receive.world import wait_until
from tests.tools.bundle import write_threshold_bundle
from tests.tools.ray_cluster import RayCluster
from tests.tools.series import write_series

STUDIES = 4


@pytest.mark.full
@pytest.mark.tools
@pytest.mark.timeout(900)
def test_results_of_a_cluster_that_loses_a_machine_are_all_in_the_pacs_and_none_twice(tmp_path: Path) -> None:
    bundle = write_threshold_bundle(tmp_path / "bundle")
    with RayCluster() as cluster, ReceivingPacs(tmp_path / "pacs", "PACS") as pacs:
        node = ServedNode(
            tmp_path / "node",
            free_port(),
            [{"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": pacs.port, "accept_research": True}],
            reception={"settle_s": 0.2, "selection_wait_s": 0.0},
            execution={
                "backend": "ray",
                "devices": ["auto"],
                "ray": {"address": cluster.client_address, "workers": 1, "gpus": 0.0},
                "retry_min_s": 0.2,
            },
            models=("threshold",),
            zoo_paths=(bundle,),
            # Ray needs what is hidden from other nodes here
            path=OWN_PATH or str(REPOSITORY),
        )
        node.write_config()
        checked = node.command("check")
        assert "Ray cluster" in checked.stdout
        assert "1 CPU, 0 GPU" in checked.stdout.replace("\n", " ")
        node.start()
        try:
            for number in range(STUDIES):
                assert storescu(write_series(tmp_path / f"study-{number}", small_study(f"ray-{number}")), node.port)
                if number == 0:
                    wait_until(lambda: node.states() == ["done"], 240)
                    cluster.kill_node_of(cluster.actors()[0])
            wait_until(lambda: node.states() == ["done"] * STUDIES, 240)
        finally:
            assert node.stop() == 0
        assert list(results_by_study(pacs).values()) == [ONE_SET] * STUDIES
