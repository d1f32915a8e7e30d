"""What the control groups of this process allow: of a container, or of a systemd service.

A limit may be set at any level above the process, and in version 1 each resource has a hierarchy of
its own. In a container the paths may be those of the host, of which it sees only the root.
See the kernel's documentation, admin-guide/cgroup-v2.rst and admin-guide/cgroup-v1/.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cpu_quota(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float | None:
    """The cores' worth of time that the process may take, or None if there is no limit."""
    found = []
    for level in _levels("cpu", root, membership):
        quota, _, period = _read(level / "cpu.max").partition(" ")  # version 2
        quota = quota or _read(level / "cpu.cfs_quota_us")
        period = period or _read(level / "cpu.cfs_period_us")
        if quota not in ("", "max", "-1"):
            found.append(int(quota) / int(period))
    return min(found, default=None)


def memory_limit(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int | None:
    """The bytes that the process and its neighbours may take, or None if there is no limit."""
    return min((limit for _, limit in _memory_limits(root, membership)), default=None)


def available_memory(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int | None:
    """The bytes that are left of the limit, or None if there is none. Cached files give way."""
    left = []
    for level, limit in _memory_limits(root, membership):
        used = _read(level / "memory.current") or _read(level / "memory.usage_in_bytes")
        lines = (line.split() for line in _read(level / "memory.stat").splitlines())
        facts = {name: int(value) for name, value in lines}
        # In version 1 the plain names are those of the level without the ones below it.
        cached = (
            facts.get(f"total_{name}", facts.get(name, 0))
            for name in ("active_file", "inactive_file")
        )
        left.append(limit - int(used) + sum(cached))
    return min(left, default=None)


def _memory_limits(root: Path, membership: Path) -> Iterator[tuple[Path, int]]:
    for level in _levels("memory", root, membership):
        limit = _read(level / "memory.max") or _read(level / "memory.limit_in_bytes")
        if limit not in ("", "max") and int(limit) < 1 << 60:  # version 1 has no word for none
            yield level, int(limit)


def _levels(controller: str, root: Path, membership: Path) -> Iterator[Path]:
    """The folders of the process's control groups, from its own up to the root."""
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        # Version 2 has one hierarchy; version 1 has one for each set of controllers, and a link.
        top = root / controller if controllers else root
        own = top / path.lstrip("/")
        while own != top:
            yield own
            own = own.parent
        yield top


def _read(file: Path) -> str:
    """What the file says; nothing if it is not there, as in other versions and outside Linux."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""
