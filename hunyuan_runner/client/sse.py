"""Server-sent events, taken out of the bytes as these come in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# A CR at the end may be the first half of a CRLF. (`str.splitlines` would split inside JSON.)
LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


@dataclass(frozen=True)
class ServerSentEvent:
    name: str
    data: str
    id: str  # that a reconnect sends as Last-Event-ID to go on behind this event


class EventDecoder:
    """Of one stream, whose later connections go on where the earlier ones broke."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_seconds = 1.0
        self.reconnect()

    def reconnect(self) -> None:
        """Drop what the last connection broke off in."""
        self._rest = b""
        self._name, self._id = "", self.last_id
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent | None]:
        """The events that this completes; None for a comment, which tells of life at least."""
        *lines, self._rest = LINE_END.split(self._rest + chunk)
        for line in lines:
            if line.startswith(b":"):
                yield None
            elif line:
                self._take(*line.decode(errors="replace").partition(":")[::2])
            else:
                self.last_id = self._id
                if self._data:
                    yield ServerSentEvent(self._name, "\n".join(self._data), self._id)
                self._name, self._data = "", []

    def _take(self, field: str, value: str) -> None:
        value = value.removeprefix(" ")
        match field:
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case "id":
                self._id = value
            case "retry" if value.isdecimal():
                self.retry_seconds = int(value) / 1000
