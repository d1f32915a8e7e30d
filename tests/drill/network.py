"""Machines of a drill: network namespaces with addresses of their own, joined by a bridge.

They are only reachable from each other and from this machine. Needs root, and Debian's iproute2.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

PREFIX = "hyd"  # of the names of namespaces and interfaces
BRIDGE = f"{PREFIX}0"
SUBNET = "10.77.0"
HERE = f"{SUBNET}.1"  # this machine's own address


@dataclass(frozen=True)
class Machine:
    """A namespace with one address."""

    name: str
    address: str

    def command(self, *command: str) -> list[str]:
        """The command, as it runs on this machine."""
        return ["nsenter", f"--net=/run/netns/{PREFIX}-{self.name}", "--", *command]

    def cut_off(self) -> None:
        """Lose every packet from and to it from now on, as if its cable were pulled."""
        _ip("link", "set", f"{PREFIX}{self.name}", "nomaster")

    def reconnect(self) -> None:
        _ip("link", "set", f"{PREFIX}{self.name}", "master", BRIDGE)


@contextmanager
def machines(*names: str) -> Iterator[dict[str, Machine]]:
    """Machines of these names while the block runs. A name has at most ten letters."""
    remove(names)
    try:
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{HERE}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        yield {name: _add(name, number) for number, name in enumerate(names, 2)}
    finally:
        remove(names)


def remove(names: tuple[str, ...]) -> None:
    """Remove what an earlier drill that was killed has left."""
    for name in names:
        with suppress(subprocess.CalledProcessError):
            _ip("netns", "del", f"{PREFIX}-{name}")
    with suppress(subprocess.CalledProcessError):
        _ip("link", "del", BRIDGE)


def _add(name: str, number: int) -> Machine:
    space, outside, address = f"{PREFIX}-{name}", f"{PREFIX}{name}", f"{SUBNET}.{number}"
    _ip("netns", "add", space)
    _ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", space)
    _ip("link", "set", outside, "master", BRIDGE, "up")
    _ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
    _ip("-n", space, "link", "set", "eth0", "up")
    _ip("-n", space, "link", "set", "lo", "up")
    return Machine(name, address)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
