"""The machine this process runs on, and the versions of its packages."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from hunyuan_runner import __version__

if TYPE_CHECKING:
    from hunyuan_runner.settings import Settings  # which the client does not have

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
    return _cpu_fact("model name") or platform.processor() or platform.machine()


def cpu_flags() -> frozenset[str]:
    """Instruction set extensions, named as in /proc/cpuinfo; empty if this is not Linux."""
    return frozenset(_cpu_fact("flags").split())


def _cpu_fact(name: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def usable_cores() -> int:
    """The cores this process may use, given its affinity and its container's quota."""
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except OSError:
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, int(quota) // int(period)))


def engine_threads(settings: Settings) -> int:
    """The threads of the engine: HUNYUAN_THREADS, or one for each core it may use."""
    return settings.threads or usable_cores()


def memory_bytes() -> int:
    """The memory of this machine, or the limit of its container."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return physical
    return physical if limit == "max" else min(physical, int(limit))


def available_memory_bytes() -> int:
    """How much memory this process may still take before the machine or container runs out."""
    found = [memory_bytes()]
    with contextlib.suppress(OSError):  # not Linux
        lines = Path("/proc/meminfo").read_text().splitlines()
        facts = {name: value for name, _, value in (line.partition(":") for line in lines)}
        found.append(int(facts["MemAvailable"].removesuffix("kB")) * 1024)
    with contextlib.suppress(OSError, ValueError):  # no container, or one without a limit
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        found.append(limit - _unreclaimable_bytes())
    return max(0, min(found))


def _unreclaimable_bytes() -> int:
    """The memory that this container uses, without cached files."""
    lines = Path("/sys/fs/cgroup/memory.stat").read_text().splitlines()
    facts = {name: int(value) for name, value in (line.split() for line in lines)}
    used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    return used - facts["active_file"] - facts["inactive_file"]


def cpp_compiler() -> str | None:
    """The path of the C++ compiler: CXX, or the first of the usual ones that is installed."""
    names = (os.environ.get("CXX"), "g++", "c++", "clang++")
    return next((path for name in names if name and (path := shutil.which(name))), None)
