"""Where a server can listen, on real sockets."""

from __future__ import annotations

import os
import socket

import pytest

from hunyuan_runner.machine.listening import CannotListen, address_of, http_url, require_free


@pytest.fixture(params=["127.0.0.1", "::1"])
def host(request: pytest.FixtureRequest) -> str:
    try:
        with socket.create_server((request.param, 0), family=_family(request.param)):
            return str(request.param)
    except OSError:
        pytest.skip(f"this machine has no {request.param}")


def test_a_port_in_use_is_refused_with_the_program_that_uses_it(host: str) -> None:
    with socket.create_server((host, 0), family=_family(host)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotListen, match=rf"port {port} is in use.*Choose another"):
            require_free(host, port)
        with pytest.raises(CannotListen, match=f"process {os.getpid()} "):
            require_free(host, port)
    require_free(host, port)


def test_a_port_is_free_again_as_soon_as_its_server_is_gone(host: str) -> None:
    with socket.create_server((host, 0), family=_family(host)) as other:
        address = other.getsockname()[:2]
        with socket.create_connection(address) as client, other.accept()[0] as answering:
            answering.close()  # first, so that the connection lingers at this end
            client.recv(1)
    require_free(*address)


@pytest.mark.parametrize("port", [-1, 0, 65_536, 99_999])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(CannotListen, match="from 1 to 65535"):
        require_free("127.0.0.1", port)


def test_another_machines_address_is_refused() -> None:
    with pytest.raises(CannotListen, match=r"203\.0\.113\.7 is not an address of this machine"):
        require_free("203.0.113.7", 3000)


def test_a_name_stands_for_its_address() -> None:
    assert address_of("localhost") in ("127.0.0.1", "::1")
    assert address_of("0:0::1") == "::1"


@pytest.mark.parametrize("name", ["nowhere.invalid", "a" * 300, "", "http://127.0.0.1"])
def test_a_name_without_an_address_is_refused(name: str) -> None:
    with pytest.raises(CannotListen, match="no host is named"):
        address_of(name)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("::", "http://[::1]:80"),
    ],
)
def test_the_url_is_one_that_clients_take(host: str, url: str) -> None:
    assert http_url(host, 80) == url


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
