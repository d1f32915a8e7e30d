"""Reads server-sent events from the bytes of a stream."""

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
    id: str  # a reconnect sends it as Last-Event-ID to continue after this event


class EventDecoder:
    """Decodes one stream, over as many connections as it takes."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_seconds = 1.0
        self.reconnect()

    def reconnect(self) -> None:
        """Drop the event that the last connection did not complete."""
        self._rest = b""
        self._name, self._id = "", self.last_id
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """The events that these bytes complete."""
        *lines, self._rest = LINE_END.split(self._rest + chunk)
        for line in lines:
            if line.startswith(b":"):  # a comment, such as a ping
                continue
            if line:
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
