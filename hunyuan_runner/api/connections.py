"""Limits on connections: how many, and how long a request or the reading of its answer may take.

uvicorn's protocol for httptools has no such limits. A request that is refused here never reaches
the rest of the service, but its answer has the same shape.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from hunyuan_runner.api.bodies import MAX_BODY_BYTES
from hunyuan_runner.api.errors import RETRY_AFTER_SECONDS, ApiError, error_response
from hunyuan_runner.api.front import SECURITY_HEADERS
from hunyuan_runner.api.routes.metrics import REQUESTS
from hunyuan_runner.network import is_public, literal_address
from hunyuan_runner.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

READ_BYTES = 1 << 15  # at most, from one connection before the others have their turn
# Of a request: a body sent in chunks of 1 byte takes 6 times its size.
MAX_WIRE_BYTES = 8 * MAX_BODY_BYTES
MAX_PIPELINED = 64  # requests sent before earlier ones were answered
# A refused client may still be sending; if we closed at once, it would not see the answer.
LINGER_SECONDS = 5
MAX_TURNED_AWAY = 16  # refused connections that get an answer at the same time
MIN_PER_ADDRESS = 8  # a browser opens six
IPV6_NETWORK_BYTES = 8  # the network prefix that one household usually has

NOT_HTTP = ApiError(400, "malformed", "This is not an HTTP/1.1 request; send plain HTTP/1.1 here.")
TOO_SLOW = ApiError(
    408, "timeout", "The head of the request did not arrive in time; send it again."
)
FULL = ApiError(
    503,
    "too_many_connections",
    "All connections are in use; try again in a moment.",
    headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
)

log = logging.getLogger(__name__)


def bounded(settings: Settings, app: ASGIApp) -> Callable[..., asyncio.Protocol]:
    """The factory of the protocol for each connection to `app`, all with common limits."""
    return partial(Connection, _Room(settings), settings, app)


class _Room:
    """The open connections, and which of them wait for their client."""

    def __init__(self, settings: Settings) -> None:
        self._most = settings.connection_limit
        self._most_of_one = settings.max_connections_per_address
        self._crowds: dict[Connection, str] = {}
        self._sizes: Counter[str] = Counter()
        self._waiting: dict[Connection, None] = {}  # the longest waiting first
        self._turned_away: set[Connection] = set()
        # All connections read into this, one after the other.
        self.buffer = memoryview(bytearray(READ_BYTES))

    def enter(self, connection: Connection, address: str) -> bool:
        """Admit a connection. If there is no room, it replaces one that waits for its client, so
        that idle connections keep nobody out. False if every connection is being served."""
        crowd = _crowd(address)
        if self._sizes[crowd] >= self._most_from(address):
            rivals = (each for each in self._waiting if self._crowds[each] == crowd)
        elif len(self._crowds) >= self._most:
            rivals = (each for each in self._waiting)
        else:
            return self._take_in(connection, crowd)
        if (rival := next(rivals, None)) is None:
            return False
        self.leave(rival)
        rival.give_way()
        return self._take_in(connection, crowd)

    def leave(self, connection: Connection) -> None:
        """Forget a connection. May be called more than once."""
        self._turned_away.discard(connection)
        if (crowd := self._crowds.pop(connection, None)) is not None:
            self._waiting.pop(connection, None)
            self._sizes[crowd] -= 1
            if not self._sizes[crowd]:
                del self._sizes[crowd]

    def wait(self, connection: Connection) -> None:
        """The connection now waits for its client."""
        if connection in self._crowds:
            self._waiting[connection] = None

    def serve(self, connection: Connection) -> None:
        """The client now waits for an answer."""
        self._waiting.pop(connection, None)

    def turn_away(self, connection: Connection) -> bool:
        """Whether to answer a connection that is refused; in a flood, only a few are answered."""
        if len(self._turned_away) >= MAX_TURNED_AWAY:
            return False
        self._turned_away.add(connection)
        return True

    def _take_in(self, connection: Connection, crowd: str) -> bool:
        self._crowds[connection] = crowd
        self._sizes[crowd] += 1
        self._waiting[connection] = None
        return True

    def _most_from(self, address: str) -> int:
        """The limit for one address. Private addresses are usually proxies, which serve many."""
        if self._most_of_one is not None:
            return self._most_of_one
        literal = literal_address(address)
        of_internet = literal is not None and is_public(literal)
        return max(self._most // 4, MIN_PER_ADDRESS) if of_internet else self._most


class Connection(HttpToolsProtocol, asyncio.BufferedProtocol):
    """uvicorn's protocol with limits. A connection waits for its client until a whole request has
    arrived, and again after it was answered. One timer limits each wait."""

    def __init__(self, room: _Room, settings: Settings, app: ASGIApp, **given: Any) -> None:
        super().__init__(**given)
        # Not BentoML's outer layers: their limit on time sets a timer for each request, which stays
        # for a minute. So many of them make garbage collections hold up every answer.
        self.app = app
        self._room = room
        self._settings = settings
        self.ws_protocol_class = None  # offers to change to another protocol are declined
        self.timeout_keep_alive = settings.idle_seconds  # type: ignore[assignment]
        self._timer: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None
        self._in_head = self._in_body = False  # the part of a request that is being received
        self._begun = False  # a request began in the bytes just read
        self._taken = 0  # bytes of that request, except those of the read it began in
        self._upgrading = False
        self._deaf = False  # discard everything until the connection is closed

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # report everything that the client does not read
        if self._room.enter(self, self.client[0] if self.client else ""):
            self._limit(self._settings.head_seconds, self._give_up_head)
        elif self._room.turn_away(self):
            self._refuse(FULL)
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._room.leave(self)
        self._unlimit()
        self._unset_stall()
        super().connection_lost(exc)

    def give_way(self) -> None:
        """Close at once, so that another connection can take this place."""
        if (self._in_head or self._in_body) and not self._deaf:
            self._refuse(FULL)
        self.transport.abort()

    # What arrives

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._room.buffer

    def buffer_updated(self, size: int) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._begun = False
        try:
            self._feed(bytes(self._room.buffer[:size]))
            self._taken = 0 if self._begun else self._taken + size
            self._require_end_of_request()
        except ApiError as refusal:
            self._refuse(refusal)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, ApiError) else NOT_HTTP)
        else:
            if self._timer is None and not self._in_body and self._is_answered():
                self._limit(self._settings.head_seconds, self._give_up_head)

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                (end_of_head,) = offer.args
                data = self._head_without_offer() + data[end_of_head:]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            else:
                return

    def _head_without_offer(self) -> bytes:
        """The head without its Upgrade header: the parser stops after an offer to upgrade."""
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _require_end_of_request(self) -> None:
        """Raises ApiError if more bytes have arrived than a whole head or body may have."""
        if self._in_head and self._taken > self._settings.max_head_bytes:
            raise self._head_too_large()
        if self._in_body and self._taken > MAX_WIRE_BYTES:
            if not self.cycle.response_complete:
                raise ApiError(
                    413,
                    "body_too_large",
                    "The body is sent in too many small chunks; send larger ones.",
                )
            self._deaf = True

    def on_message_begin(self) -> None:
        self._begun = self._in_head = True
        self._upgrading = False
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > (most := self._settings.max_url_bytes):
            raise ApiError(414, "url_too_long", f"The URL is too long; send at most {most} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= (most := self._settings.max_headers):
            raise ApiError(
                431, "head_too_large", f"The request has too many headers; send at most {most}."
            )
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._settings.max_head_bytes:
            raise self._head_too_large()
        self._in_head, self._in_body = False, True
        self._unlimit()
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._upgrading = True
        elif len(self.pipeline) < MAX_PIPELINED:
            super().on_headers_complete()
        else:
            raise ApiError(
                429,
                "too_many_requests",
                "Too many requests at once; wait for answers before sending more.",
            )

    def on_message_complete(self) -> None:
        self._in_body = False
        if self._upgrading:
            return
        super().on_message_complete()
        if not self.cycle.response_complete:
            self._room.serve(self)
        else:  # answered before its body had arrived
            self._limit(self._settings.idle_seconds, self.transport.close)

    def _head_too_large(self) -> ApiError:
        most = self._settings.max_head_bytes
        return ApiError(
            431, "head_too_large", f"The request's head is too large; send at most {most} bytes."
        )

    # What is answered

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()  # until the waiting requests are answered
        if self.transport.is_closing() or not self._is_answered():
            return
        self._room.wait(self)
        if self._in_body or self._in_head:
            self._unset_keepalive_if_required()
        if self._in_body:
            self._limit(LINGER_SECONDS, self.transport.close)
        elif self._in_head:
            self._limit(self._settings.head_seconds, self._give_up_head)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(self._settings.stalled_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._unset_stall()
        super().resume_writing()

    def _is_answered(self) -> bool:
        return self._running is None or (self._running.response_complete and not self.pipeline)

    def _refuse(self, refusal: ApiError) -> None:
        """Refuse the request that is being received and close. If an earlier request is still being
        answered, close after that answer instead."""
        self._deaf = True
        self._unlimit()
        self.pipeline.clear()
        running = self._running
        if running is not None and not running.response_complete:
            if running.response_started or not running.more_body:
                running.keep_alive = False
                return
            running.disconnected = True
            running.message_event.set()
        self.transport.write(self._refusal(refusal))
        self.flow.resume_reading()
        self._limit(LINGER_SECONDS, self.transport.abort)

    def _refusal(self, refusal: ApiError) -> bytes:
        url = getattr(self, "url", b"").decode("ascii", "replace")
        response = error_response(refusal, url.partition("?")[0])
        request_id = secrets.token_hex(8)
        headers = SECURITY_HEADERS | {"Connection": "close", "X-Request-Id": request_id}
        headers["Date"] = formatdate(usegmt=True)
        response.headers.update(headers)
        lines = [name + b": " + value for name, value in response.raw_headers]
        REQUESTS.labels("none", "other", refusal.status).inc()
        address = self.client[0] if self.client else "?"
        ids = {"request_id": request_id}
        log.info("refused %s: %d %s", address, refusal.status, refusal.message, extra=ids)
        head = STATUS_LINE[refusal.status] + b"\r\n".join([*lines, b"", b""])
        return head + bytes(response.body)

    # Time

    def _give_up_head(self) -> None:
        if self._in_head:
            self._refuse(TOO_SLOW)
        else:
            self.transport.close()

    def _limit(self, seconds: float, act: Callable[[], None]) -> None:
        """Call `act` after so many seconds, instead of what the timer was set to before."""
        self._unlimit()
        self._timer = self.loop.call_later(seconds, act)

    def _unlimit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _unset_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


def _crowd(address: str) -> str:
    """What counts as one address: for IPv6, the network of one household."""
    literal = literal_address(address)
    if isinstance(literal, IPv6Address) and literal.ipv4_mapped is None:
        return literal.packed[:IPV6_NETWORK_BYTES].hex()
    return address
