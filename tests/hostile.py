"""Requests that are made to cost much: `make fuzz` sends them all, and times /livez beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from hunyuan_runner.api.bodies import MAX_BODY_BYTES, MAX_FORM_BYTES, MULTIPART, URLENCODED

JSON = "application/json"
JSON_PATHS = ("/api/generate", "/api/estimate", "/generate/submit", "/v1/videos")
FORM = f"{MULTIPART}; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n'
ID = "a" * 64


@dataclass(frozen=True)
class Request:
    """One that cannot be served."""

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
