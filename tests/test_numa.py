"""A runner keeps to one NUMA node: on trees like those of other machines, and with real processes
on halves of this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from hunyuan_runner.machine import cgroup, host
from hunyuan_runner.machine.host import engine_threads, nodes_for_a_clip, usable_nodes
from hunyuan_runner.settings import Settings

Machine = Callable[..., None]
Start = Callable[[], tuple[subprocess.Popen[str], dict[str, object]]]


def write_tree(root: Path, nodes: Sequence[str], siblings: Sequence[str]) -> None:
    """The kernel's lists: the CPUs of each node, and those of each core."""
    for number, cpus in enumerate(nodes):
        folder = root / "node" / f"node{number}"
        folder.mkdir(parents=True)
        (folder / "cpulist").write_text(f"{cpus}\n")
    (root / "node" / "possible").write_text("0-1\n")
    for core in siblings:
        for cpu in core.split(","):
            folder = root / "cpu" / f"cpu{cpu}" / "topology"
            folder.mkdir(parents=True)
            (folder / "thread_siblings_list").write_text(f"{core}\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Makes this process believe to be on a machine with these nodes and cores."""

    def make(
        nodes: Sequence[str],
        siblings: Sequence[str],
        allowed: set[int],
        quota: float | None = None,
    ) -> None:
        write_tree(tmp_path / "system", nodes, siblings)
        monkeypatch.setattr(host, "SYSTEM", tmp_path / "system")
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: allowed)
        monkeypatch.setattr(cgroup, "cpu_quota", lambda: quota)

    return make


# Two sockets of four cores with two threads each, numbered as Linux does on such servers.
TWO_SOCKETS = ("0-3,8-11", "4-7,12-15")
CORES = [f"{core},{core + 8}" for core in range(8)]
ALL = set(range(16))


def test_a_clip_has_the_cores_of_one_of_two_sockets(machine: Machine) -> None:
    machine(TWO_SOCKETS, CORES, ALL)
    nodes = usable_nodes()
    assert [(node.number, node.cores) for node in nodes] == [(0, 4), (1, 4)]
    assert nodes[1].cpus == {4, 5, 6, 7, 12, 13, 14, 15}
    assert nodes_for_a_clip(Settings()) == nodes
    assert engine_threads(Settings()) == 4
    assert host.usable_cores() == 8


def test_all_cores_are_used_if_that_is_asked_for(machine: Machine) -> None:
    machine(TWO_SOCKETS, CORES, ALL)
    assert nodes_for_a_clip(Settings(one_node=False)) == []
    assert engine_threads(Settings(one_node=False)) == 8
    assert nodes_for_a_clip(Settings(threads=5)) == []
    assert engine_threads(Settings(threads=5)) == 5
    assert len(nodes_for_a_clip(Settings(threads=3))) == 2
    assert engine_threads(Settings(threads=3)) == 3


def test_a_machine_with_one_node_or_none_that_is_listed_is_used_as_a_whole(
    machine: Machine,
) -> None:
    machine(["0-3"], ["0", "1", "2", "3"], {0, 1, 2, 3})
    assert nodes_for_a_clip(Settings()) == []
    assert engine_threads(Settings()) == 4


def test_a_sandbox_that_hides_the_nodes_is_used_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "SYSTEM", tmp_path / "nothing")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.setattr(cgroup, "cpu_quota", lambda: None)
    assert usable_nodes() == []
    assert engine_threads(Settings()) == 3


def test_a_cpuset_decides_which_node_has_more_cores(machine: Machine) -> None:
    machine(TWO_SOCKETS, CORES, {2, 3, 10, 11, 5, 6, 7, 13, 14, 15})
    assert [(node.number, node.cores) for node in usable_nodes()] == [(1, 3), (0, 2)]
    assert engine_threads(Settings()) == 3
    # Only one node has three cores: with them, a runner could take no other.
    assert [node.number for node in nodes_for_a_clip(Settings(threads=3))] == [1]


def test_a_cpuset_of_one_node_leaves_nothing_to_choose(machine: Machine) -> None:
    machine(TWO_SOCKETS, CORES, {4, 5, 12, 13})
    assert nodes_for_a_clip(Settings()) == []
    assert engine_threads(Settings()) == 2


def test_offline_cores_and_nodes_of_memory_alone_do_not_count(machine: Machine) -> None:
    online = ["0-1,8-9", "4-7,12-15", ""]  # 2, 3, 10 and 11 are offline; node 2 is a memory card
    machine(online, CORES, ALL - {2, 3, 10, 11})
    assert [(node.number, node.cores) for node in usable_nodes()] == [(1, 4), (0, 2)]


def test_one_thread_of_a_core_is_a_core(machine: Machine) -> None:
    machine(TWO_SOCKETS, CORES, set(range(8)))  # SMT is off, or the cpuset has first threads only
    assert [node.cores for node in usable_nodes()] == [4, 4]


@pytest.mark.parametrize(("quota", "threads"), [(3.0, 3), (6.5, 6), (8.0, 4), (64.0, 4)])
def test_a_container_with_a_quota_is_not_bound(
    machine: Machine, quota: float, threads: int
) -> None:
    machine(TWO_SOCKETS, CORES, ALL, quota)
    assert bool(nodes_for_a_clip(Settings())) is (quota >= 8)
    assert engine_threads(Settings()) == threads


# A real process, which believes that this machine's CPUs are those of two nodes.
RUNNER = """
import json, os, subprocess, sys, threading
from pathlib import Path
from hunyuan_runner.machine import cgroup, host
from hunyuan_runner.machine.numa import take_node
from hunyuan_runner.settings import Settings

host.SYSTEM, cgroup.cpu_quota = Path(sys.argv[1]), lambda: None
hold = take_node(Settings())
ask = [sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"]
child = []
thread = threading.Thread(target=lambda: child.append(subprocess.check_output(ask, text=True)))
thread.start()
thread.join()
cpus = sorted(os.sched_getaffinity(0))
seen = {"cpus": cpus, "child": json.loads(child[0]), "alone": hold is not None}
print(json.dumps(seen | {"threads": host.engine_threads(Settings())}), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start(
    tmp_path: Path,
) -> Iterator[Start]:
    if len(allowed := sorted(os.sched_getaffinity(0))) < 2:
        pytest.skip("this needs two CPUs")
    first, second = (str(cpu) for cpu in allowed[:2])
    write_tree(tmp_path / "system", [first, second], [first, second])
    with ExitStack() as stack:

        def start() -> tuple[subprocess.Popen[str], dict[str, object]]:
            process = subprocess.Popen(
                [sys.executable, "-c", RUNNER, str(tmp_path / "system")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            return process, json.loads(process.stdout.readline())

        yield start


def test_two_runners_on_a_machine_have_a_node_each_and_a_killed_one_frees_its_own(
    start: Start,
) -> None:
    first, second = sorted(os.sched_getaffinity(0))[:2]
    one, seen = start()
    assert seen == {"cpus": [first], "child": [first], "alone": True, "threads": 1}
    _, seen = start()
    assert seen == {"cpus": [second], "child": [second], "alone": True, "threads": 1}
    _, seen = start()
    assert (seen["cpus"], seen["alone"]) == ([first], False)
    one.kill()
    one.wait()
    _, seen = start()
    assert (seen["cpus"], seen["alone"]) == ([first], True)
