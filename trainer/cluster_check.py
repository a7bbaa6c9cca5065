"""`python -m trainer.cluster_check`: do the workers of `TF_CONFIG` reach each other?

Each replica adds 1 over the cluster, through the same collectives that add gradients. It runs
before a long training to prove names, ports and, on GPUs, NCCL.
"""

import sys
from typing import Any

from configs.cluster import Cluster
from configs.errors import PipelineError, StageError
from configs.load import cluster_from_environment


def main() -> int:
    """Run the check as a process of one worker.

    Returns:
        The exit code: 0 when all replicas were counted.
    """
    try:
        cluster = cluster_from_environment()
        count, local = count_replicas(cluster)
    except PipelineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(
        f"worker {cluster.index} of {len(cluster.workers)}: {count} replicas, {local} of them here",
        flush=True,
    )
    return 0


def count_replicas(cluster: Cluster) -> tuple[int, int]:
    """Add 1 from each replica over the cluster.

    Args:
        cluster: the workers; TensorFlow reads them from `TF_CONFIG` once more.

    Returns:
        How many replicas there are, and how many of them this worker has.

    Raises:
        StageError: the sum is not the number of replicas that this worker knows of.
    """
    import tensorflow as tf  # after the check of TF_CONFIG, which costs nothing

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    local_replicas = max(1, len(tf.config.list_logical_devices("GPU")))

    @tf.function
    def add() -> Any:
        ones = strategy.run(lambda: tf.ones([]))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, ones, axis=None)

    count = int(add())
    if count != strategy.num_replicas_in_sync or count < len(cluster.workers):
        raise StageError(
            f"worker {cluster.index} counted {count} replicas, expected "
            f"{strategy.num_replicas_in_sync} on {len(cluster.workers)} workers. Give every worker "
            "the same list of hosts."
        )
    return count, local_replicas


if __name__ == "__main__":
    sys.exit(main())
