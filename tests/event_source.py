"""Reads server-sent events as browsers do."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Event:
    type: str
    id: str
    data: dict[str, Any]


class EventSource:
    """https://html.spec.whatwg.org/multipage/server-sent-events.html, for data that is JSON.

    Iterating yields events and reconnects when a connection ends, until the server answers with
    another status than 200. A second iteration goes on where the first one stopped.
    """

    def __init__(self, url: str, last_event_id: str = "", **headers: str) -> None:
        self.url = url
        self._headers = headers
        self.last_event_id = last_event_id
        self.retry_seconds = 3.0
        self.statuses: list[int] = []  # of every connection made

    def __iter__(self) -> Iterator[Event]:
        while True:
            yield from self.connection()
            if self.statuses[-1] != 200:
                return
            time.sleep(self.retry_seconds)

    def connection(self) -> Iterator[Event]:
        """The events of one connection, up to its clean end."""
        sent = {"Accept": "text/event-stream", "Cache-Control": "no-store"} | self._headers
        if self.last_event_id:
            sent["Last-Event-ID"] = self.last_event_id
        with httpx.stream("GET", self.url, headers=sent, timeout=60) as answer:
            self.statuses.append(answer.status_code)
            if answer.status_code == 200:
                assert answer.headers["Content-Type"].split(";")[0] == "text/event-stream"
                yield from self._parse(answer)

    def _parse(self, answer: httpx.Response) -> Iterator[Event]:
        name, last_event_id = "message", self.last_event_id
        data: list[str] = []
        for line in _lines(answer):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match field:
                case "" if line == "":
                    self.last_event_id = last_event_id
                    if data:
                        yield Event(name, last_event_id, json.loads("\n".join(data)))
                    name, data = "message", []
                case "event":
                    name = value
                case "data":
                    data.append(value)
                case "id" if "\0" not in value:
                    last_event_id = value
                case "retry" if re.fullmatch("[0-9]+", value):
                    self.retry_seconds = int(value) / 1000


def _lines(answer: httpx.Response) -> Iterator[str]:
    rest = b""
    for chunk in answer.iter_bytes():
        *lines, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            yield line.decode()
