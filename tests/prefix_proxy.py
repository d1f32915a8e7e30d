"""A reverse proxy on loopback that serves a service below a path, as nginx and Traefik can."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import httpx

from tests.stub_server import reply, serving

PER_CONNECTION = {"connection", "content-length", "transfer-encoding"}


@contextmanager
def proxied(service: str, prefix: str, *, port: int = 0, says_so: bool = True) -> Iterator[str]:
    """Pass requests on to `service` without the prefix, and yield the URL of the prefix.

    With `says_so`, X-Forwarded-Prefix names the prefix. Other paths are answered with 404.
    """
    more = {"X-Forwarded-Prefix": prefix} if says_so else {}

    def pass_on(request: BaseHTTPRequestHandler) -> None:
        if not request.path.startswith(f"{prefix}/"):
            return reply(request, b"not here", 404)
        kept = {k: v for k, v in request.headers.items() if k.lower() not in PER_CONNECTION}
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        with upstream.stream(
            request.command,
            service + request.path.removeprefix(prefix),
            headers=kept | more,
            content=body,
        ) as answer:
            request.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name not in PER_CONNECTION:
                    request.send_header(name, value)
            request.send_header("Connection", "close")  # its end marks the end of the body
            request.end_headers()
            for chunk in answer.iter_raw():
                request.wfile.write(chunk)

    with httpx.Client(timeout=60) as upstream, serving(pass_on, port) as url:
        yield url + prefix
