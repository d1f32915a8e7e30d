"""A finished clip's files over HTTP: whole, in part, and only if changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from hunyuan_runner.manifest import Manifest
from hunyuan_runner.media import probe
from tests.conftest import finish, submit


@pytest.fixture(scope="module")
def video(client: httpx.Client, clip: dict[str, Any]) -> httpx.Response:
    return client.get(clip["video_url"])


def test_the_whole_video_comes_with_its_length_and_name(
    clip: dict[str, Any], video: httpx.Response
) -> None:
    assert video.status_code == 200
    assert video.headers["Accept-Ranges"] == "bytes"
    assert video.headers["Content-Length"] == str(len(video.content))
    assert f'filename="{clip["job_id"]}.mp4"' in video.headers["Content-Disposition"]


def test_a_clip_at_the_rate_of_films_is_exact(client: httpx.Client, tmp_path: Path) -> None:
    job = finish(client, submit(client, fps=23.976))
    (tmp_path / "film.mp4").write_bytes(client.get(job["video_url"]).content)
    info = probe(tmp_path / "film.mp4")
    assert (info.num_frames, info.fps) == (5, 24000 / 1001)
    written = Manifest.model_validate_json(info.tags["manifest"])
    published = client.get(f"/api/jobs/{job['job_id']}/manifest").json()
    assert written.params.fps == published["params"]["fps"] == job["params"]["fps"] == 23.976


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        pytest.param("bytes=0-99", 0, 100, id="the beginning"),
        pytest.param("bytes=100-", 100, None, id="from a byte on"),
        pytest.param("bytes=-50", -50, None, id="the last bytes"),
        pytest.param("bytes=5-5", 5, 6, id="one byte"),
        pytest.param("bytes=10-999999999", 10, None, id="an end after the end"),
        pytest.param("bytes=-999999999", 0, None, id="more last bytes than there are"),
    ],
)
def test_a_range_is_answered_with_that_part(
    client: httpx.Client, video: httpx.Response, header: str, start: int, end: int | None
) -> None:
    part = client.get(video.url, headers={"Range": header})
    expected = video.content[start:end]
    first = video.content.index(expected) if start < 0 else start
    assert part.status_code == 206
    assert part.content == expected
    assert part.headers["Content-Length"] == str(len(expected))
    last = first + len(expected) - 1
    assert part.headers["Content-Range"] == f"bytes {first}-{last}/{len(video.content)}"


@pytest.mark.parametrize("header", ["bytes=999999999-", "bytes=-0"])
def test_a_range_after_the_end_is_416(
    client: httpx.Client, video: httpx.Response, header: str
) -> None:
    answer = client.get(video.url, headers={"Range": header})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(video.content)}"
    assert answer.json()["error"]["code"] == "range_not_satisfiable"


@pytest.mark.parametrize(
    "header",
    [
        "bytes=9-3",
        "bytes=-",
        "bytes=a-b",
        "bytes=0-1,5-6",
        "lines=0-9",
        "bytes=" + "9" * 5000 + "-",
        "bytes=٣-٤".encode().decode("latin-1"),
    ],
    ids=["backwards", "empty", "letters", "two parts", "another unit", "huge", "other digits"],
)
def test_a_range_we_do_not_serve_is_answered_with_the_whole(
    client: httpx.Client, video: httpx.Response, header: str
) -> None:
    answer = client.get(video.url, headers=[(b"Range", header.encode("latin-1"))])
    assert answer.status_code == 200
    assert answer.content == video.content


def test_if_range_gives_the_part_only_of_the_same_version(
    client: httpx.Client, video: httpx.Response
) -> None:
    same = {"Range": "bytes=0-9", "If-Range": video.headers["ETag"]}
    other = {"Range": "bytes=0-9", "If-Range": '"another"'}
    assert client.get(video.url, headers=same).status_code == 206
    assert client.get(video.url, headers=other).status_code == 200


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
def test_a_client_that_has_the_video_gets_304(
    client: httpx.Client, video: httpx.Response, form: str
) -> None:
    known = {"If-None-Match": form.format(video.headers["ETag"])}
    answer = client.get(video.url, headers=known)
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["ETag"] == video.headers["ETag"]


def test_head_answers_what_get_would_without_the_body(
    client: httpx.Client, video: httpx.Response
) -> None:
    answer = client.head(video.url)
    assert (answer.status_code, answer.content) == (200, b"")
    for name in ("Content-Length", "Content-Type", "ETag", "Accept-Ranges"):
        assert answer.headers[name] == video.headers[name]
    part = client.head(video.url, headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.headers["Content-Length"]) == (206, "10")


def test_the_thumbnail_is_a_jpeg(client: httpx.Client, clip: dict[str, Any]) -> None:
    answer = client.get(clip["thumbnail_url"])
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.content.startswith(b"\xff\xd8")


def test_the_preview_of_a_finished_clip_is_an_animation(
    client: httpx.Client, clip: dict[str, Any]
) -> None:
    answer = client.get(clip["preview_url"])
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.content[8:12] == b"WEBP"


def test_files_of_an_unfinished_job_say_its_state(
    client: httpx.Client, running_job: dict[str, Any]
) -> None:
    job_id = running_job["job_id"]
    for path in (f"/api/videos/{job_id}.mp4", f"/api/jobs/{job_id}/thumbnail"):
        answer = client.get(path)
        assert answer.status_code == 409
        assert "in_progress" in answer.json()["error"]["message"]


def test_a_job_without_a_preview_says_so(client: httpx.Client, running_job: dict[str, Any]) -> None:
    waiting = client.post("/api/generate", json={"prompt": "A red circle"}).json()
    answer = client.get(f"/api/jobs/{waiting['job_id']}/preview")
    client.delete(f"/api/jobs/{waiting['job_id']}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "no_preview"
    assert "pending" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("asked", "made"), [((100, 90), (100, 90)), ((99, 65), (100, 66))], ids=["even", "odd"]
)
def test_a_file_has_the_size_its_job_says_with_even_sides(
    client: httpx.Client, tmp_path: Path, asked: tuple[int, int], made: tuple[int, int]
) -> None:
    """The pipeline alone refuses sizes that are not multiples of 16."""
    job = submit(client, num_frames=1, width=asked[0], height=asked[1])
    assert (job["params"]["width"], job["params"]["height"]) == made
    job = finish(client, job)
    video = tmp_path / "clip.mp4"
    video.write_bytes(client.get(job["video_url"]).content)
    info = probe(video)
    assert (info.width, info.height, info.pixel_format) == (*made, "yuv420p")
    manifest = client.get(f"/api/jobs/{job['job_id']}/manifest").json()
    assert (manifest["params"]["width"], manifest["params"]["height"]) == made


MEDIA = {
    "video": ("/api/videos/{}.mp4", "media-src 'self'"),
    "thumbnail": ("/api/jobs/{}/thumbnail", "img-src 'self'"),
    "animation": ("/api/jobs/{}/preview", "img-src 'self'"),
    "OpenAI's video": ("/v1/videos/{}/content", "media-src 'self'"),
    "OpenAI's spritesheet": ("/v1/videos/{}/content?variant=spritesheet", "img-src 'self'"),
    "BentoML's video": ("/generate/get?task_id={}", "media-src 'self'"),
}


@pytest.mark.parametrize(("path", "allowed"), MEDIA.values(), ids=MEDIA)
def test_a_browser_may_show_a_file_that_it_opens_by_itself(
    client: httpx.Client, clip: dict[str, Any], path: str, allowed: str
) -> None:
    whole = client.get(path.format(clip["job_id"]))
    part = client.get(whole.url, headers={"Range": "bytes=0-9"})
    unchanged = client.get(whole.url, headers={"If-None-Match": whole.headers["ETag"]})
    assert [answer.status_code for answer in (whole, part, unchanged)] == [200, 206, 304]
    for answer in (whole, part, unchanged):
        rules = answer.headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", allowed, "frame-ancestors 'none'"} <= set(rules)
        # Chromium shows no video in a sandbox.
        assert not any(rule.startswith(("sandbox", "script-src")) for rule in rules)
