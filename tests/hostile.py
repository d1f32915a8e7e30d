"""Requests that try to cost the service as much as possible.

`make fuzz` sends them all, several at a time, and asks for /livez ten times a second meanwhile.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import multiprocessing
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import httpx

from hunyuan_runner.api.bodies import MAX_BODY_BYTES, MAX_FORM_BYTES, MULTIPART, URLENCODED
from tests.conftest import serve

AT_ONCE = 6
SECONDS_EACH = 0.5

JSON = "application/json"
JSON_PATHS = ("/api/generate", "/api/estimate", "/generate/submit", "/v1/videos")
FORM = f"{MULTIPART}; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n'
ID = "a" * 64


@dataclass(frozen=True)
class Request:
    """A request that must be refused."""

    name: str
    path: str
    media_type: str
    body: bytes


def requests() -> Iterator[Request]:
    for path in JSON_PATHS:
        for name, text in _json_bodies():
            yield Request(f"{name} at {path}", path, JSON, text.encode())
    for path in (f"/v1/videos/{ID}/remix", f"/api/jobs/{ID}/cancel"):
        name, text = next(_json_bodies())
        yield Request(f"{name} at {path}", path, JSON, text.encode())
    for name, body in _forms():
        yield Request(name, "/v1/videos", URLENCODED, body)
    for name, body in _multipart_forms():
        yield Request(name, "/v1/videos", FORM, body)


def _json_bodies() -> Iterator[tuple[str, str]]:
    size = MAX_BODY_BYTES
    many = size // 16
    yield "unknown fields", json.dumps({f"f{n}": n for n in range(many)})
    yield "labels", json.dumps({"prompt": "", "metadata": {f"f{n}": n for n in range(many)}})
    yield "long labels", json.dumps({"prompt": "", "metadata": {"m" * (size - 99): "a"}})
    yield "events", json.dumps({"prompt": "", "webhook_events": ["x"] * (size // 8)})
    yield "a long key", json.dumps({"k" * (size - 9): 1})
    yield "250 long keys", json.dumps({f"{n:03}{'k' * (size // 250 - 20)}": 1 for n in range(250)})
    yield "one key", "{" + ",".join(['"a":1'] * (size // 7)) + "}"
    yield "a long prompt", json.dumps({"prompt": "p" * (size - 20)})
    yield "a prompt of NULs", json.dumps({"prompt": "\0" * (size // 7)})
    yield "half characters", '{"prompt": "' + r"\ud83d" * (size // 7) + '"}'
    yield "a long model", json.dumps({"prompt": "", "model": "sora-" + "\n" * (size // 3)})
    yield "a long URL", json.dumps({"prompt": "", "webhook_url": "http://" + "a." * (size // 3)})
    yield "a long size", json.dumps({"prompt": "", "size": "1" * (size - 40)})
    yield "a long number", json.dumps({"prompt": "", "width": "1" * (size - 40)})
    yield "digits", '{"prompt": "", "seed": ' + "9" * (size - 50) + "}"
    yield "a long fraction", '{"prompt": "", "guidance_scale": 0.' + "1" * (size - 50) + "}"
    yield "a large exponent", '{"prompt": "", "guidance_scale": 1e' + "9" * (size - 50) + "}"
    yield "lists", "[" + ",".join(["[]"] * (size // 3 - 1)) + "]"
    yield "objects in a field", '{"a":[' + ",".join(["{}"] * (size // 3 - 4)) + "]}"
    yield "deep lists", "[" * size
    yield "deep objects", '{"a":' * (size // 5)
    yield "lists that are whole", '{"a":' + "[" * 400 + "]" * 400 + "}"
    yield "open strings", '"' + r"\"," * (size // 3 - 1)
    yield "strings", "[" + ",".join(['""'] * (size // 3 - 1)) + "]"
    yield "backslashes", '"' + "\\" * (size - 2) + '"'
    yield "spaces", " " * size
    yield "numbers", "[" + ",".join(["1e1"] * (size // 4 - 1)) + "]"


def _forms() -> Iterator[tuple[str, bytes]]:
    size = MAX_FORM_BYTES[URLENCODED]
    yield "a form of &", b"&" * size
    yield "a large form", b"&" * MAX_BODY_BYTES
    yield "fields", b"&".join(b"f%d=" % n for n in range(size // 8))
    yield "escapes", b"prompt=" + b"%41" * (size // 3 - 3)
    yield "escapes of nothing", b"prompt=" + b"%" * (size - 7)
    yield "escapes in between", b"prompt=" + b"\xc3\xa9%ff" * (size // 5 - 2)
    yield "no escapes", b"prompt=" + b"+" * (size - 7)


def _multipart_forms() -> Iterator[tuple[str, bytes]]:
    size = MAX_FORM_BYTES[MULTIPART] - 100
    end = b"\r\n--b--\r\n"
    yield "near boundaries", PART + b"\r\n--bx" * (size // 6) + end
    yield "line ends", PART + b"\r" * size + end
    yield "parts", (PART + b"\r\n") * (size // (len(PART) + 2)) + end
    yield "headers", b"--b\r\n" + b"a:b\r\n" * (size // 5)
    yield "a long header", b"--b\r\na:" + b"b" * size
    options = b"--b\r\nContent-Disposition: form-data; name=p;" + rb' a="\";' * 650 + b"\r\n\r\n"
    yield "options of a header", options * (size // len(options)) + end
    yield "a preamble", b"\r\n" * (size // 2)
    yield "an image", PART.replace(b"prompt", b"input_reference") + bytes(2 * MAX_BODY_BYTES) + end


def heads() -> Iterator[tuple[str, bytes]]:
    """Names and bytes of requests with a hostile head, or with none."""
    get = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
    post = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunked = post + b"Transfer-Encoding: chunked\r\n\r\n"
    yield "headers", get + b"a: b\r\n" * 1_000_000
    yield "a long header", get + b"a: " + b"b" * 20_000_000
    yield "a long URL", b"GET /" + b"a" * 20_000_000
    yield "parameters", b"GET /api/jobs?" + b"&".join(b"%x=" % n for n in range(1000)) + get[10:]
    yield "requests ahead", (get + b"\r\n") * 10_000
    yield "offers", (get + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n") * 10_000
    yield "small chunks", chunked + b"1\r\n \r\n" * MAX_BODY_BYTES + b"0\r\n\r\n"
    yield "a chunk's extension", chunked + b"1;" + b"a" * 20_000_000
    yield "trailers", chunked + b"1\r\n{\r\n0\r\n" + b"a: b\r\n" * 1_000_000
    yield (
        "a body that nobody asked for",
        get + b"Content-Length: 20000000\r\n\r\n" + bytes(20_000_000),
    )
    yield "noise", bytes(range(256)) * 10_000


def _send_raw(address: tuple[str, int], data: bytes) -> None:
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=1) as connection:
        connection.sendall(data)
        connection.recv(1 << 16)


def _send(client: httpx.Client, request: Request) -> None:
    headers = {"Content-Type": request.media_type}
    client.post(request.path, content=request.body, headers=headers)


def _ask_for_livez(address: tuple[str, int], caller: Connection) -> None:
    """Time /livez until the caller sends something, then send back the worst time in ms."""
    worst = 0.0
    connection = http.client.HTTPConnection(*address)
    while not caller.poll(0.1):
        start = time.perf_counter()
        connection.request("GET", "/livez")
        connection.getresponse().read()
        worst = max(worst, (time.perf_counter() - start) * 1000)
    caller.send(worst)


def _worst_beside(address: tuple[str, int], act: Callable[[], None]) -> float:
    """The worst time of /livez, in milliseconds, while `act` is repeated."""
    # In a process of its own, because a thread would wait for those that send.
    processes = multiprocessing.get_context("fork")
    ours, theirs = processes.Pipe()
    asking = processes.Process(target=_ask_for_livez, args=(address, theirs))
    asking.start()
    end = time.monotonic() + SECONDS_EACH

    def go_on() -> None:
        while time.monotonic() < end:
            act()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(go_on) for _ in range(AT_ONCE)]:
            done.result()
    ours.send(None)
    worst: float = ours.recv()
    asking.join()
    return worst


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, httpx.Client(timeout=60) as client:
        service = serve(Path(folder), "service:HunyuanVideo", {"HUNYUAN_LOCAL_RUNNER": "false"})
        client.base_url = service.url
        address = client.base_url.host, client.base_url.port or 0
        try:
            service.wait_until_ready()
            worst = {"nothing": _worst_beside(address, partial(time.sleep, 0.1))}
            for request in requests():
                worst[request.name] = _worst_beside(address, partial(_send, client, request))
            for name, data in heads():
                worst[name] = _worst_beside(address, partial(_send_raw, address, data))
            assert "Traceback" not in service.log.read_text()
        finally:
            service.terminate()
            service.kill()
    print(f"The slowest answers of /livez, with {AT_ONCE} such requests at once (ms):")
    for name in sorted(worst, key=lambda name: -worst[name])[:10]:
        print(f"  {worst[name]:5.0f}  {name}")
    print(f"  {worst['nothing']:5.0f}  without any")


if __name__ == "__main__":
    main()
