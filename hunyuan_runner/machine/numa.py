"""Keeps a runner on the cores of one NUMA node: cores that have memory of their own.

On a machine with two sockets, memory of the other socket is slower, and a step of a clip reads
gigabytes of weights. So one clip is computed by the cores of one node, in whose memory the kernel
puts what they write first, and a second runner of the machine takes another node.
"""

from __future__ import annotations

import fcntl
import logging
import os
from io import TextIOBase
from typing import TYPE_CHECKING

from hunyuan_runner.machine import host
from hunyuan_runner.machine.host import Node, nodes_for_a_clip

if TYPE_CHECKING:
    from hunyuan_runner.settings import Settings  # which the client does not have

logger = logging.getLogger(__name__)


def take_node(settings: Settings) -> TextIOBase | None:
    """Bind this thread, and all threads and processes that it starts from now on, to a node that
    no other runner has.

    Returns what holds the node: it is free again when that is closed, or this process ends. Returns
    None if the thread is not bound, or if all nodes are taken and it shares the largest.
    """
    nodes = nodes_for_a_clip(settings)
    try:
        return _take_one(nodes) if nodes else None
    except OSError as error:  # some sandboxes do not allow it; clips are rendered without
        logger.warning("this runner cannot keep to a NUMA node: %s", error)
        return None


def _take_one(nodes: list[Node]) -> TextIOBase | None:
    for node in nodes:
        if (hold := _hold(node)) is not None:
            break
    else:
        node = nodes[0]
        logger.warning("every NUMA node has a runner: this one shares node %d", node.number)
    os.sched_setaffinity(0, node.cpus)
    logger.info(
        "this machine has %d NUMA nodes: clips are computed on the %d cores of node %d. "
        "Another runner takes another node; HUNYUAN_ONE_NODE=false uses all cores for one clip",
        len(nodes),
        node.cores,
        node.number,
    )
    return hold


def _hold(node: Node) -> TextIOBase | None:
    """What holds the node; None if another runner has it.

    The file that lists the node's CPUs is locked. It is there for every user, and the kernel takes
    the lock away when its process ends, in whatever way.
    """
    file = (host.SYSTEM / "node" / f"node{node.number}" / "cpulist").open()
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
