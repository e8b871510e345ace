"""A Ray cluster on this machine, whose nodes can be killed."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path


class Nodes:
    """A head without cores and two nodes with one each; a node that was killed is replaced.

    They run in the folder `home`, which must outlive them: in a folder that was removed, such as that of a test that
    passed, oneMKL ends every process that multiplies matrices ("Cannot load libtorch_cpu.so").
    """

    def __init__(self, home: Path) -> None:
        from ray.cluster_utils import Cluster  # pyright: ignore

        self.home = home
        with chdir(home):
            self.cluster = Cluster(
                initialize_head=True, head_node_args={"num_cpus": 0, "num_gpus": 0, "include_dashboard": False}
            )
            self.two = [self.cluster.add_node(num_cpus=1, num_gpus=0) for _ in range(2)]
        self.cluster.wait_for_nodes()

    def kill(self, which: int) -> None:
        """As `kill -9` of a whole node."""
        self.cluster.remove_node(self.two[which], allow_graceful=False)

    def replace(self, which: int) -> None:
        with chdir(self.home):
            self.two[which] = self.cluster.add_node(num_cpus=1, num_gpus=0)
        self.cluster.wait_for_nodes()
