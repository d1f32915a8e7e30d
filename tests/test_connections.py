"""Connections to the running service: none costs more than it may, and none keeps others out."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from bench.service import front_process
from hunyuan_runner.api.connections import MAX_PIPELINED, MAX_WIRE_BYTES, _Room
from hunyuan_runner.settings import Settings
from tests.conftest import Service, StartService, find_program

PER_ADDRESS, IN_ALL = 12, 24
HEAD_SECONDS = IDLE_SECONDS = STALLED_SECONDS = 3
PATIENCE = 60  # seconds; for what takes three on an idle machine
DEFAULTS = Settings()

GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /api/estimate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LARGE = b"A:" + b"b" * 40_000
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b'{"prompt": "A cat"}'
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY)
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
LARGE_FILE = b"/static/docs/swagger-ui/swagger-ui-bundle.js"
WEBSOCKET = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"


@pytest.fixture(scope="module")
def front(start_service: StartService) -> Iterator[Service]:
    """A front alone, with little room and little patience."""
    service = start_service(
        HUNYUAN_LOCAL_RUNNER="false",
        HUNYUAN_PING_SECONDS="0.5",
        HUNYUAN_MAX_CONNECTIONS=f"{IN_ALL}",
        HUNYUAN_MAX_CONNECTIONS_PER_ADDRESS=f"{PER_ADDRESS}",
        HUNYUAN_HEAD_SECONDS=f"{HEAD_SECONDS}",
        HUNYUAN_IDLE_SECONDS=f"{IDLE_SECONDS}",
        HUNYUAN_STALLED_SECONDS=f"{STALLED_SECONDS}",
    )
    yield service
    service.terminate()
    # No request was left that nobody waits for any more.
    assert "Task cancelled" not in service.log.read_text()


@pytest.fixture(scope="module")
def process(front: Service) -> psutil.Process:
    return front_process(httpx.URL(front.url).port or 0)


class Socket:
    """A connection of which every byte is ours."""

    def __init__(self, service: Service, receive_buffer: int | None = None) -> None:
        url = httpx.URL(service.url)
        self._socket = socket.socket()
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(PATIENCE)
        self._socket.connect((url.host, url.port))
        self._unread = b""

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def port(self) -> int:
        """On this side."""
        return int(self._socket.getsockname()[1])

    def send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # it may be refused before all is sent
            self._socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        while b"\r\n\r\n" not in self._unread:
            self._read()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = int(headers.get("content-length", 0))
        while len(self._unread) < length:
            self._read()
        body, self._unread = self._unread[:length], self._unread[length:]
        return int(status.split()[1]), headers, body

    def code(self) -> tuple[int, str]:
        """Of the error that is answered next, before the connection is closed."""
        status, headers, body = self.answer()
        assert headers["connection"] == "close"
        return status, json.loads(body)["error"]["code"]

    def rest(self) -> bytes:
        """What comes until the other side closes the connection."""
        with contextlib.suppress(ConnectionError):
            while True:
                self._read()
        return self._unread

    def read_a_little(self) -> bytes:
        return self._socket.recv(1000)

    def _read(self) -> None:
        received = self._socket.recv(1 << 16)
        if not received:
            raise ConnectionError("closed")
        self._unread += received


def estimate(connection: Socket) -> Any:
    status, _, body = connection.answer()
    assert status == 200, body
    return json.loads(body)["params"]["prompt"]


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        pytest.param(GET + b"A: b\r\n" * 100 + b"\r\n", (431, "head_too_large"), id="headers"),
        pytest.param(
            GET + b"A:" + b"b" * 40_000 + b"\r\n\r\n", (431, "head_too_large"), id="large"
        ),
        pytest.param(
            GET + b"A:" + b"b" * 9_000_000, (431, "head_too_large"), id="a head on its way"
        ),
        pytest.param(
            GET + b"".join(b"A%d: %s\r\n" % (n, b"b" * 4000) for n in range(99)),
            (431, "head_too_large"),
            id="large headers",
        ),
        pytest.param(b"GET /" + b"a" * 9000, (414, "url_too_long"), id="a long URL"),
        pytest.param(b"GET /?" + b"a=b&" * 99_999, (414, "url_too_long"), id="a long query"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400, "malformed"), id="TLS"),
        pytest.param(b"GARBAGE\r\n\r\n", (400, "malformed"), id="garbage"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, "malformed"), id="HTTP/2"),
        pytest.param(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", (400, "malformed"), id="a tunnel"),
        pytest.param(CHUNKED + b"zz\r\n", (400, "malformed"), id="a chunk without a size"),
        pytest.param(
            CHUNKED + b"1\r\n{\r\n0\r\n" + b"A: b\r\n" * 999, (431, "head_too_large"), id="trailers"
        ),
        pytest.param(
            CHUNKED + b"1\r\n{\r\n0\r\nA:" + b"b" * 2 * MAX_WIRE_BYTES,
            (413, "body_too_large"),
            id="a long trailer",
        ),
        pytest.param(
            CHUNKED + b"1;" + b"a" * 2 * MAX_WIRE_BYTES, (413, "body_too_large"), id="an extension"
        ),
    ],
)
def test_what_is_out_of_bounds_is_refused_in_our_shape(
    front: Service, process: psutil.Process, request_: bytes, refusal: tuple[int, str]
) -> None:
    memory = process.memory_info().rss
    with Socket(front) as connection:
        connection.send(request_)
        assert connection.code() == refusal
    assert process.memory_info().rss - memory < 30e6


def test_a_head_within_the_bounds_is_served(front: Service) -> None:
    most = DEFAULTS.max_head_bytes
    with Socket(front) as connection:
        for size in (most - 100, most - 100):
            connection.send(GET + b"A: " + b"b" * size + b"\r\n\r\n")
            assert connection.answer()[0] == 200
        # Of which the next one comes with the end of a large body.
        connection.send(POST + b"Content-Length: 200000\r\n\r\n" + b" " * 200_000 + GET)
        time.sleep(0.2)
        connection.send(b"A: " + b"b" * (most - 100) + b"\r\n\r\n")
        assert [connection.answer()[0] for _ in range(2)] == [400, 200]


def test_a_head_that_takes_too_long_is_given_up(front: Service) -> None:
    with Socket(front) as connection:
        connection.send(GET)
        connection.send(b"A: b\r\n")
        assert connection.code() == (408, "timeout")


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n", GET + b"\r\n", GET + b"\r\n\r\n"])
def test_a_connection_on_which_nothing_comes_is_closed(front: Service, sent: bytes) -> None:
    with Socket(front) as connection:
        connection.send(sent)
        assert connection.rest().count(b"HTTP/1.1") == sent.count(b"GET")


def test_a_silent_event_stream_is_not_idle(front: Service) -> None:
    with Socket(front) as connection:
        connection.send(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        end = time.monotonic() + 2 * IDLE_SECONDS
        while time.monotonic() < end:
            assert connection.read_a_little()


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(GET, id="half a head"),
        pytest.param(POST + LENGTH + b"{", id="half a body"),
    ],
)
def test_clients_that_send_nothing_more_keep_nobody_out(
    front: Service, process: psutil.Process, begun: bytes
) -> None:
    files = process.num_fds()
    with contextlib.ExitStack() as crowd:
        stream = crowd.enter_context(Socket(front))
        stream.send(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in stream.read_a_little()
        for _ in range(10 * IN_ALL):
            crowd.enter_context(Socket(front)).send(begun)
        for _ in range(3):
            assert httpx.get(f"{front.url}/livez", timeout=PATIENCE).status_code == 200
        assert process.num_fds() < files + 2 * IN_ALL
        assert stream.read_a_little()  # who is served stays


def test_when_all_connections_are_served_the_next_is_asked_to_try_again(front: Service) -> None:
    with contextlib.ExitStack() as crowd:
        for _ in range(PER_ADDRESS):
            stream = crowd.enter_context(Socket(front))
            stream.send(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in stream.read_a_little()
        late = crowd.enter_context(Socket(front))
        status, headers, body = late.answer()
        assert (status, headers["retry-after"]) == (503, "5")
        assert json.loads(body)["error"]["code"] == "too_many_connections"
    _wait_for_room(front)


def _wait_for_room(front: Service) -> None:
    deadline = time.monotonic() + PATIENCE
    while httpx.get(f"{front.url}/livez").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_front_without_file_descriptors_serves_who_is_there_and_recovers(
    front: Service, process: psutil.Process
) -> None:
    def is_alive(connection: Socket) -> bool:
        connection.send(GET + b"\r\n")
        return connection.answer()[0] == 200

    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as crowd:
        kept = crowd.enter_context(Socket(front))
        assert is_alive(kept)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (process.num_fds() + 2, hard))
        try:
            for _ in range(PER_ADDRESS - 2):
                crowd.enter_context(Socket(front))
            assert is_alive(kept)
        finally:
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (soft, hard))
    with Socket(front) as new:
        assert is_alive(new)


def test_a_client_that_takes_no_answer_is_cut_off(front: Service, process: psutil.Process) -> None:
    def is_connected(port: int) -> bool:
        return any(
            each.raddr and each.raddr.port == port for each in process.net_connections("tcp")
        )

    with Socket(front, receive_buffer=4096) as connection:
        for _ in range(20):  # of what fills the buffers of any system
            connection.send(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % LARGE_FILE)
        while is_connected(connection.port):
            time.sleep(0.2)
        answers = connection.rest().count(b"HTTP/1.1 200")
    assert 0 < answers < 20


def test_requests_sent_ahead_are_answered_in_order_but_not_without_end(front: Service) -> None:
    requests = [b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % n for n in range(20)]
    with Socket(front) as connection:
        connection.send(b"".join(requests) + GET + b"\r\n")
        assert [connection.answer()[0] for _ in range(21)] == [404] * 20 + [200]
    with Socket(front) as connection:
        connection.send((GET + b"\r\n") * 20 * MAX_PIPELINED)
        assert connection.rest().count(b"HTTP/1.1 200") <= MAX_PIPELINED


@pytest.mark.parametrize("offer", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
@pytest.mark.parametrize(
    "body",
    [LENGTH + BODY, b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)],
    ids=["length", "chunked"],
)
def test_an_offer_of_another_protocol_is_declined_and_the_body_read(
    front: Service, offer: bytes, body: bytes
) -> None:
    with Socket(front) as connection:
        connection.send(POST + offer + body + POST + body)
        assert [estimate(connection) for _ in range(2)] == ["A cat"] * 2
        connection.send(POST + offer + body[:-5])
        time.sleep(0.1)
        connection.send(body[-5:] + GET + offer + b"\r\n")
        assert estimate(connection) == "A cat"
        assert connection.answer()[0] == 200


def test_curl_http2_keeps_its_body(front: Service) -> None:
    curl = find_program("curl")
    if "HTTP2" not in subprocess.check_output([curl, "--version"], text=True):
        pytest.skip("this curl has no HTTP/2")
    command = [curl, "-sS", "--http2", "--json", BODY.decode(), f"{front.url}/api/estimate"]
    answer = json.loads(subprocess.check_output(command))
    assert answer["params"]["prompt"] == "A cat"


def test_who_waits_for_100_continue_gets_it(front: Service) -> None:
    with Socket(front) as connection:
        connection.send(POST + b"Expect: 100-continue\r\n" + LENGTH)
        assert connection.answer()[0] == 100
        connection.send(BODY)
        assert estimate(connection) == "A cat"


def test_http_1_0_is_answered_and_closed(front: Service) -> None:
    with Socket(front) as connection:
        connection.send(b"GET /livez HTTP/1.0\r\n\r\n")
        assert connection.answer()[1]["connection"] == "close"
        assert connection.rest() == b""


def test_a_body_that_comes_after_its_answer_spoils_nothing(front: Service) -> None:
    foreign = b"POST /api/estimate HTTP/1.1\r\nHost: example.com\r\n"
    with Socket(front) as connection:
        connection.send(foreign + LENGTH)
        assert connection.answer()[0] == 403
        connection.send(BODY + GET + b"\r\n")
        assert connection.answer()[0] == 200
    with Socket(front) as connection:
        connection.send(foreign + b"Content-Length: 99999999\r\n\r\n")
        assert connection.answer()[0] == 403
        assert connection.rest() == b""  # it is not waited for without end


def test_a_client_that_disconnects_amid_its_body_leaves_no_trace(front: Service) -> None:
    """The fixture looks whether it did, as the service stops."""
    with Socket(front) as connection:
        connection.send(POST + LENGTH + BODY[:5])
        time.sleep(0.2)


class _Client:
    """Stands in for a connection."""

    def __init__(self) -> None:
        self.gone = False

    def give_way(self) -> None:
        self.gone = True


def room(**settings: Any) -> Any:
    return _Room(Settings(**settings))


def enter(room: Any, address: str) -> _Client:
    client = _Client()
    assert room.enter(client, address)
    return client


def is_served(room: Any, address: str) -> bool:
    """Whether there is room for a client that does not keep us waiting."""
    client = _Client()
    entered = bool(room.enter(client, address))
    room.serve(client)
    return entered


@pytest.mark.parametrize(
    ("addresses", "most"),
    [
        pytest.param([f"8.8.8.{n}" for n in range(200)], 100, id="many addresses"),
        pytest.param(["8.8.8.8"] * 200, 25, id="one on the internet"),
        pytest.param([f"2001:4860:4860::{n:x}" for n in range(200)], 25, id="one IPv6 network"),
        pytest.param(["::ffff:8.8.8.8"] * 200, 25, id="IPv4 in IPv6"),
        pytest.param(["10.0.0.2"] * 200, 100, id="a proxy on a private network"),
        pytest.param(["127.0.0.1"] * 200, 100, id="a proxy on this machine"),
        pytest.param([""] * 200, 100, id="a socket without an address"),
    ],
)
def test_one_address_cannot_take_all_connections(addresses: list[str], most: int) -> None:
    full = room(max_connections=100)
    assert sum(is_served(full, address) for address in addresses) == most


def test_who_waited_longest_gives_way_to_a_new_connection() -> None:
    full = room(max_connections=3)
    first, second, third = (enter(full, f"10.0.0.{n}") for n in range(3))
    full.serve(first)
    assert enter(full, "10.0.1.4")
    assert [each.gone for each in (first, second, third)] == [False, True, False]
    full.wait(first)  # its answer is sent
    assert enter(full, "10.0.1.5")
    assert enter(full, "10.0.1.6")
    assert [each.gone for each in (first, third)] == [False, True]


def test_an_address_with_too_many_connections_gives_up_its_own() -> None:
    full = room(max_connections=100, max_connections_per_address=2)
    other, first, second = enter(full, "10.0.0.1"), enter(full, "10.0.0.2"), enter(full, "10.0.0.2")
    assert enter(full, "10.0.0.2")
    assert (other.gone, first.gone, second.gone) == (False, True, False)


def test_the_number_of_connections_leaves_descriptors_for_all_else() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        for files in (256, 512, 1024):
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
            limit = Settings().connection_limit
            assert files / 4 < limit < files / 2
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert Settings(max_connections=7).connection_limit == 7


def test_requests_leave_nothing_behind(front: Service, process: psutil.Process) -> None:
    with httpx.Client(base_url=front.url) as client:
        for _ in range(500):
            client.get("/livez")
        before = process.memory_info().rss
        for _ in range(8000):
            client.get("/livez")
    assert process.memory_info().rss - before < 3_000_000  # a timer for each takes 6 MB
