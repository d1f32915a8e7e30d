"""The bodies of requests: read whole, and checked before anything parses them.

Parsing happens on the event loop, while every other request waits. pydantic explains every fault of
a body, at 30 µs each, and python-multipart reads forms in Python. So whatever is larger than any
valid request is refused first.
"""

from __future__ import annotations

import asyncio
import json
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers, UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope

from hunyuan_runner.api.errors import ApiError

# The longest prompts, labels and URL, with every character written as \ud83d\ude00, make 240 kB.
MAX_BODY_BYTES = 1 << 18
MAX_VALUES = 256  # a valid request has about 40 at most
MAX_COMMAS = 20_000  # prompts, labels and URL have fewer characters; JSON with more is not parsed
BODY_TIMEOUT_SECONDS = 20

MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"
# Two prompts with 4 bytes per character, or 12 if escaped; not the longest labels as well.
MAX_FORM_BYTES = {MULTIPART: 1 << 16, URLENCODED: 1 << 17}
BODILESS = ("GET", "HEAD", "OPTIONS")  # no route with these methods reads a body
IMAGE_FIELDS = {MULTIPART: b'name="input_reference', "application/json": b'"input_reference"'}
NO_IMAGES = "is not supported: these models make videos from text only; leave it out"


def media_type_of(headers: Headers) -> str:
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def with_body_read(scope: Scope, receive: Receive) -> Receive:
    """Read the whole body, and return a `receive` that replays it. Raises ApiError."""
    headers = Headers(scope=scope)
    declared = headers.get("Content-Length", "0")
    if scope["method"] in BODILESS or (declared == "0" and "Transfer-Encoding" not in headers):
        return receive
    media_type = media_type_of(headers)
    # The server accepts only digits here.
    if int(declared) > MAX_BODY_BYTES and media_type not in IMAGE_FIELDS:
        raise _too_large(media_type)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            body = await _read_body(receive, media_type)
    except TimeoutError:
        raise ApiError(
            408,
            "timeout",
            f"The body did not arrive within {BODY_TIMEOUT_SECONDS} seconds; send it again.",
        ) from None

    if body and "json" in media_type:
        _check_json(body)
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return unread.pop() if unread else await receive()

    return replay


async def _read_body(receive: Receive, media_type: str) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _too_large(media_type, body)
        if not message.get("more_body", False):
            return bytes(body)


def _too_large(
    media_type: str, begun: bytes | bytearray = b"", limit: int = MAX_BODY_BYTES
) -> ApiError:
    if media_type in IMAGE_FIELDS and IMAGE_FIELDS[media_type] in begun:
        message = f"input_reference {NO_IMAGES}"
        return ApiError(422, "invalid_value", message, param="input_reference")
    return ApiError(413, "body_too_large", f"The body is too large; send at most {limit} bytes.")


def _check_json(body: bytes) -> None:
    """Raises ApiError if the body is not JSON, or holds more values than any valid request."""
    if body.count(b",") > MAX_COMMAS:
        raise overfull("values")
    try:
        parsed = json.loads(body)
    except json.JSONDecodeError as error:
        raise _malformed(
            f"The body is not valid JSON: {error.msg} at character {error.pos}."
        ) from None
    except UnicodeDecodeError:
        raise _malformed("The body is not in UTF-8; encode its JSON as UTF-8.") from None
    except RecursionError:
        raise _malformed(
            "The body nests lists or objects too deeply; no field takes that."
        ) from None
    except ValueError:  # JSON allows any number of digits, Python does not
        raise _malformed("The body has a number with too many digits; shorten it.") from None
    _require_few_values(parsed)


def _malformed(message: str) -> ApiError:
    return ApiError(400, "malformed_json", message)


def _require_few_values(body: object) -> None:
    """Raises ApiError if there are too many values; it names their field if they have one."""
    left = MAX_VALUES
    unseen: list[tuple[str | None, object]] = [(None, body)]
    while unseen:
        field, value = unseen.pop()
        if not isinstance(value, dict | list):
            continue
        left -= len(value)
        if left < 0:
            raise overfull("values", field)
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        unseen.extend((field or str(name), each) for name, each in pairs)


def overfull(things: str, param: str | None = None) -> ApiError:
    """The refusal of a request with more values, fields or parameters than any valid one has."""
    place = param or "The request"
    message = f"{place} has too many {things}; send at most {MAX_VALUES}"
    return ApiError(422, "invalid_value", message, param=param)


async def read_form(request: Request) -> list[tuple[str, str]]:
    """The names and values of a form; for an uploaded file, the file's name. Raises ApiError."""
    media_type = media_type_of(request.headers)
    body = await request.body()
    if len(body) > MAX_FORM_BYTES[media_type]:
        raise _too_large(media_type, body, MAX_FORM_BYTES[media_type])
    if media_type == URLENCODED:
        return _urlencoded(body)
    async with request.form(max_files=MAX_VALUES, max_fields=MAX_VALUES) as form:
        return [
            (name, (value.filename or "") if isinstance(value, UploadFile) else value)
            for name, value in form.multi_items()
        ]


def _urlencoded(body: bytes) -> list[tuple[str, str]]:
    """The names and values, as python-multipart reads them, but not byte by byte in Python."""
    if body.count(b"&") >= MAX_VALUES:
        raise overfull("fields")
    if body.count(b"%") > MAX_FORM_BYTES[URLENCODED] // len("%41"):
        raise ApiError(400, "malformed", "The form has a % that starts no escape; write it as %25.")
    try:
        pairs = [pair.partition(b"=") for pair in body.split(b"&") if pair]
        return [(_unescaped(name), _unescaped(value)) for name, _, value in pairs]
    except UnicodeDecodeError:
        raise ApiError(400, "malformed", "The form is not in UTF-8; encode it as UTF-8.") from None


def _unescaped(text: bytes) -> str:
    return unquote_to_bytes(text.replace(b"+", b" ")).decode()
