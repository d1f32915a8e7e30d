"""Checks whether a server can listen on an address before it is started."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address

MAX_PORT = 65_535


class CannotListen(Exception):
    """The server could not listen on this address and port."""


def address_of(host: str) -> str:
    """The IP address of a host name. Raises CannotListen."""
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        *_, where = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise CannotListen(f"no host is named {host!r}. {_OTHER_HOST}") from error
    return str(where[0])


def require_free(host: str, port: int) -> None:
    """Raises CannotListen unless a server can listen on this port of this IP address now."""
    if not 1 <= port <= MAX_PORT:
        raise CannotListen(f"there is no port {port}. Choose one from 1 to {MAX_PORT}.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()
    except OSError as error:
        raise CannotListen(_explain(error, host, port)) from error


def http_url(host: str, port: int) -> str:
    """The URL at which a client on this machine reaches a server that listens there."""
    address = ip_address(host)
    if address.is_unspecified:  # one cannot connect to "every address"
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


_OTHER_HOST = "Give an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them."


def _explain(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"port {port} is in use{_user_of(port)}. Choose another port, or stop that process."
            )
        case errno.EACCES:
            return f"port {port} needs privileges that you do not have. Choose a port above 1023."
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            return f"{host} is not an address of this machine. {_OTHER_HOST}"
    return (
        f"cannot listen on port {port} of {host}: {error.strerror}. Choose another address or port."
    )


def _user_of(port: int) -> str:
    """Names the process that listens there, if this one may know."""
    import psutil  # only here: importing it takes a while

    try:
        for connection in psutil.net_connections("tcp"):
            at = connection.laddr
            if connection.status == psutil.CONN_LISTEN and at.port == port and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:  # on some systems only root may ask
        pass
    return ""
