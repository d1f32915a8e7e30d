"""The machine this process runs on, and the versions of its packages."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from hunyuan_runner import __version__
from hunyuan_runner.machine import cgroup

if TYPE_CHECKING:
    from hunyuan_runner.settings import Settings  # which the client does not have

SYSTEM = Path("/sys/devices/system")  # where the kernel lists CPUs and NUMA nodes
CPUINFO = Path("/proc/cpuinfo")
# Arm's CPUs tell numbers in place of a name: that of the maker, and that of the core.
ARM_CORES = {
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse N1",
    ("0x41", "0xd40"): "Neoverse V1",
    ("0x41", "0xd49"): "Neoverse N2",
    ("0x41", "0xd4f"): "Neoverse V2",
    ("0xc0", "0xac3"): "Ampere-1",
}
# How often a thread that waits for the others looks whether they are done, before it sleeps: for
# about 10 microseconds. GCC's OpenMP would look for milliseconds. If another program has the core
# of one thread, the waiting ones then keep that thread from their cores, and a clip took ten times
# as long instead of twice.
SPINS = "1000"
PACKAGES = ("bentoml", "torch", "diffusers", "transformers")


def package_versions() -> dict[str, str | None]:
    """Versions by package; None for one that is not installed, such as torch in a front."""
    ours = {"hunyuan-runner": __version__, "python": platform.python_version()}
    return ours | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def cpu_name() -> str:
    """Of an x86 CPU with its family and model number: clouds call several generations "AMD EPYC" or
    "Intel(R) Xeon(R) CPU @ 2.20GHz"."""
    if name := _cpu_fact("model name"):
        family, model = _cpu_fact("cpu family"), _cpu_fact("model")
        return f"{name} (family {family}, model {model})" if family else name
    return _arm_core() or platform.processor() or platform.machine()


def _arm_core() -> str:
    maker, part = _cpu_fact("CPU implementer"), _cpu_fact("CPU part")
    return ARM_CORES.get((maker, part), f"Arm CPU {maker} {part}") if part else ""


def cpu_flags() -> frozenset[str]:
    """Instruction set extensions, named as in /proc/cpuinfo; empty if this is not Linux."""
    return frozenset((_cpu_fact("flags") or _cpu_fact("Features")).split())


def _cpu_fact(name: str) -> str:
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:  # not Linux
        return ""
    facts = (line.partition(":") for line in lines)
    return next((fact.strip() for key, _, fact in facts if key.strip() == name), "")


def usable_cores() -> int:
    """The cores this process may use, given its affinity and its container's quota.

    Two threads of one core count once: they share the units that the engine keeps busy.
    """
    cores = _cores(os.sched_getaffinity(0))
    quota = cgroup.cpu_quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def _cores(cpus: Collection[int]) -> int:
    return len({_siblings(cpu) for cpu in cpus})


def _siblings(cpu: int) -> str:
    """The CPUs of the core that `cpu` is a thread of, as the kernel lists them."""
    try:
        return (SYSTEM / "cpu" / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text()
    except OSError:  # some sandboxes hide it
        return str(cpu)


@dataclass(frozen=True)
class Node:
    """A NUMA node: CPUs with memory of their own, as far as this process may use them."""

    number: int
    cpus: frozenset[int]
    cores: int


def usable_nodes() -> list[Node]:
    """The NUMA nodes that this process has CPUs of, those with the most cores first.

    Nodes that are memory alone are none of them.
    """
    allowed = os.sched_getaffinity(0)
    found = []
    for folder in (SYSTEM / "node").glob("node[0-9]*"):
        if cpus := _listed(folder / "cpulist") & allowed:
            number = int(folder.name.removeprefix("node"))
            found.append(Node(number, frozenset(cpus), _cores(cpus)))
    return sorted(found, key=lambda node: (-node.cores, node.number))


def _listed(file: Path) -> set[int]:
    """The numbers in a list such as 0-3,8-11."""
    ranges = (part.partition("-") for part in file.read_text().strip().split(",") if part)
    return {cpu for low, _, high in ranges for cpu in range(int(low), int(high or low) + 1)}


def nodes_for_a_clip(settings: Settings) -> list[Node]:
    """The nodes of which each could compute a clip alone; none if a clip is to use all cores.

    That is so if there is one node, with HUNYUAN_ONE_NODE=false, or with more HUNYUAN_THREADS than
    a node has cores. A container with a quota is not bound either: others on its machine may have
    one, too, and do not see which node it takes.
    """
    nodes = usable_nodes()
    quota = cgroup.cpu_quota()
    is_limited = quota is not None and quota < sum(node.cores for node in nodes)
    if not settings.one_node or len(nodes) < 2 or is_limited:
        return []
    return [node for node in nodes if node.cores >= (settings.threads or 1)]


def engine_threads(settings: Settings) -> int:
    """The threads of the engine: HUNYUAN_THREADS, or one for each core it may use."""
    if settings.threads is not None:
        return settings.threads
    nodes = nodes_for_a_clip(settings)
    return nodes[0].cores if nodes else usable_cores()


def environment_of_child() -> dict[str, str]:
    """For a child process that computes with the engine's code."""
    return {"GOMP_SPINCOUNT": SPINS} | os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def memory_bytes() -> int:
    """The memory of this machine, or the limit of its container."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(physical, cgroup.memory_limit() or physical)


def available_memory_bytes() -> int:
    """How much memory this process may still take before the machine or container runs out."""
    found = [memory_bytes()]
    with contextlib.suppress(OSError):  # not Linux
        lines = Path("/proc/meminfo").read_text().splitlines()
        facts = {name: value for name, _, value in (line.partition(":") for line in lines)}
        found.append(int(facts["MemAvailable"].removesuffix("kB")) * 1024)
    if (left := cgroup.available_memory()) is not None:
        found.append(left)
    return max(0, min(found))


def cpp_compiler() -> str | None:
    """The path of the C++ compiler: CXX, or the first of the usual ones that is installed."""
    names = (os.environ.get("CXX"), "g++", "c++", "clang++")
    return next((path for name in names if name and (path := shutil.which(name))), None)
