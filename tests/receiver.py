"""A receiver of webhooks on loopback."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from standardwebhooks import Webhook

from tests.stub_server import reply, serving


@dataclass(frozen=True)
class Post:
    """A request, and the status that it was answered with."""

    path: str
    headers: dict[str, str]
    body: bytes
    answered: int

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def type(self) -> str:
        return str(json.loads(self.body)["type"])

    def verified(self, secret: str) -> dict[str, Any]:
        """The body. Raises WebhookVerificationError if it was not signed with this secret."""
        return dict(Webhook(secret).verify(self.body, self.headers))


@dataclass(frozen=True)
class Receiver:
    url: str
    posts: list[Post] = field(default_factory=list)

    def accepted(self) -> list[Post]:
        return [post for post in self.posts if post.answered < 300]


@contextmanager
def receiving(
    *statuses: int,
    then: int = 200,
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    **headers: str,
) -> Iterator[Receiver]:
    """Run a receiver that answers with these statuses in turn, and then always with `then`."""
    left = list(statuses)
    posts: list[Post] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        status = left.pop(0) if left else then
        posts.append(Post(request.path, dict(request.headers), body, status))
        reply(request, b"thanks", status, **headers)

    with serving(answer, port, tls) as url:
        yield Receiver(url, posts)


def wait_until(condition: Callable[[], object]) -> None:
    """Poll until `condition` holds, or until the test's timeout."""
    while not condition():
        time.sleep(0.05)
