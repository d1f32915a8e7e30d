"""Serves the files of a clip, whole or in part, without holding a whole file in memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from hunyuan_runner.api.errors import ApiError
from hunyuan_runner.jobs.job import Job
from hunyuan_runner.settings import Downloads
from hunyuan_runner.storage.keys import ClipFile
from hunyuan_runner.storage.protocol import Storage

# By the first part of the media type. A browser that opens a file directly wraps it in a page of
# its own, and our policy applies to that page: it may load the file and style itself, nothing else.
# (With `sandbox`, Chromium would not load a video.)
POLICIES = {
    kind: f"default-src 'none'; {source} 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    for kind, source in (("video", "media-src"), ("image", "img-src"))
}

REDIRECT_LIFETIME = timedelta(minutes=5)  # a download that began goes on after it

ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def file_response(
    request: Request, storage: Storage, job: Job, file: ClipFile, downloads: Downloads = "proxy"
) -> Response:
    """A file of a job, or the requested range of it, or where in the bucket it is.

    Raises ObjectNotFound or ApiError (416).
    """
    key, name = file.key(job.id), file.name(job.id)
    if downloads == "redirect" and (url := storage.signed_url(key, REDIRECT_LIFETIME)):
        return RedirectResponse(url, 307, {"Cache-Control": "no-store"})
    size = storage.size(key)
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",  # validate a kept file each time: jobs can be deleted
        "Content-Disposition": f'inline; filename="{name}"',
        # Also on a 304, whose headers replace those that the browser kept.
        "Content-Security-Policy": policy_for(file.media_type),
        "ETag": f'"{name}"',
    }
    if _holds(request.headers.get("If-None-Match", ""), headers["ETag"]):
        return Response(status_code=304, headers=headers)

    status, start, end = 200, 0, size
    if (wanted := _wanted_range(request.headers, headers["ETag"], size)) is not None:
        status, (start, end) = 206, wanted
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    return StreamingResponse(storage.stream(key, start, end), status, headers, file.media_type)


def policy_for(media_type: str) -> str:
    """The Content-Security-Policy for a file of this type."""
    return POLICIES[media_type.partition("/")[0]]


def _wanted_range(headers: Mapping[str, str], etag: str, size: int) -> tuple[int, int] | None:
    """The requested bytes as [start, end), or None for the whole file.

    As RFC 9110 allows, a Range is ignored if it is malformed, has several parts, or is meant for
    another version of the file (If-Range). Raises ApiError with 416 if it starts after the end.
    """
    match = ONE_RANGE.fullmatch(headers.get("Range", "").replace(" ", ""))
    if match is None or headers.get("If-Range", etag) != etag:
        return None
    first, last = match.groups()
    if first:
        if last and int(last) < int(first):
            return None
        start, end = int(first), min(int(last) + 1, size) if last else size
    elif last:
        start, end = max(size - int(last), 0), size
    else:
        return None
    if start >= end:
        raise ApiError(
            416,
            "range_not_satisfiable",
            f"The file ends at byte {size}; ask for a range that starts before.",
            param="Range",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end


def _holds(if_none_match: str, etag: str) -> bool:
    """Whether the client has this version of the file already."""
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in known or known == ["*"]
