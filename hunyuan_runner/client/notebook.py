"""How a job is shown in a notebook: a line, and its clip to play."""

from __future__ import annotations

import base64
import time
from contextlib import suppress
from html import escape

import httpx

from hunyuan_runner.client import calls
from hunyuan_runner.client.address import SCHEMES, Address, followed, without_password
from hunyuan_runner.client.calls import Request
from hunyuan_runner.client.views import Job

INLINE_BYTES = 8 * 2**20  # a larger clip would bloat the notebook's file
FETCH_SECONDS = 10.0


def html(job: Job, address: Address, headers: httpx.Headers) -> str:
    """The job's clip or draft, inside the HTML if it is small, else as a link.

    Blocks while it fetches the file; a job that has neither needs no request.
    """
    line = f"<p>{escape(f'{job.job_id}: {job.status}. {job.params.prompt}')}</p>"
    if job.video_url is not None:
        return _player(calls.video(job.job_id), job.video_url, address, headers) + line
    if job.draft_url is not None:
        return _player(calls.draft(job.job_id), job.draft_url, address, headers) + line
    return line


def _player(file: Request, link: str, address: Address, headers: httpx.Headers) -> str:
    content = _fetch(file, address, headers)
    if content is not None:
        source = f"data:video/mp4;base64,{base64.b64encode(content).decode()}"
        return f'<video controls loop style="max-width: 100%" src="{source}"></video>'
    url = without_password(followed(link, str(address.url)))
    if httpx.URL(url).scheme not in SCHEMES:  # as javascript: would be
        return ""
    return f'<a href="{escape(url)}">{escape(url)}</a>'


def _fetch(file: Request, address: Address, headers: httpx.Headers) -> bytes | None:
    """The file. None if it is large or slow, or if the service does not answer."""
    deadline = time.monotonic() + FETCH_SECONDS
    content = bytearray()
    with (
        suppress(httpx.HTTPError),
        httpx.Client(**address.options, headers=headers, timeout=FETCH_SECONDS) as http,
        http.stream(**file.options) as response,
    ):
        for chunk in response.raise_for_status().iter_bytes():
            content += chunk
            if len(content) > INLINE_BYTES or time.monotonic() > deadline:
                return None
        return bytes(content)
    return None
