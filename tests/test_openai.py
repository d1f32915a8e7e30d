"""The `openai` package against the running service: OpenAI's Videos API."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types import Video
from PIL import Image

from hunyuan_runner.media import probe
from tests.conftest import LONG, Service, finish, submit

# OpenAI closes its own servers; the format and the SDK live on.
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")

SMALL: dict[str, Any] = {"size": "64x64", "seconds": "0.3"}  # 5 frames


@pytest.fixture(scope="module")
def videos(service: Service) -> Iterator[openai.resources.Videos]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
        yield client.videos


@pytest.fixture(scope="module")
def video(videos: openai.resources.Videos) -> Video:
    """A completed video."""
    return videos.create_and_poll(prompt="A red circle", model="sora-2", **SMALL)


def test_a_video_is_created_polled_and_downloaded(
    videos: openai.resources.Videos, video: Video, tmp_path: Path
) -> None:
    assert (video.status, video.progress, video.error) == ("completed", 100, None)
    assert (video.model, video.prompt) == ("demo", "A red circle")
    assert (video.size, video.seconds) == ("64x64", "0.333")
    assert video.completed_at is not None
    assert video.created_at <= video.completed_at
    file = tmp_path / "video.mp4"
    videos.download_content(video.id).write_to_file(file)
    shown = probe(file)
    assert (shown.width, shown.height, shown.num_frames) == (64, 64, 5)


def test_an_odd_size_is_answered_as_it_is_made(videos: openai.resources.Videos) -> None:
    video = videos.create(prompt="A red circle", size="97x65", seconds="0.1")  # type: ignore[arg-type]
    assert str(video.size) == "98x66"


def test_a_still_and_a_sheet_of_frames_come_with_it(
    videos: openai.resources.Videos, video: Video
) -> None:
    still = Image.open(io.BytesIO(videos.download_content(video.id, variant="thumbnail").content))
    assert (still.format, still.size) == ("JPEG", (64, 64))
    sheet = Image.open(io.BytesIO(videos.download_content(video.id, variant="spritesheet").content))
    assert (sheet.format, sheet.size) == ("JPEG", (4 * 64, 2 * 64))


def test_a_remix_keeps_everything_but_the_prompt(
    client: httpx.Client, videos: openai.resources.Videos, video: Video
) -> None:
    remix = videos.poll(videos.remix(video.id, prompt="A blue circle").id)
    assert (remix.status, remix.prompt) == ("completed", "A blue circle")
    assert remix.remixed_from_video_id == video.id
    params, original = (
        client.get(f"/api/status/{job}").json()["params"] for job in (remix.id, video.id)
    )
    assert params == original | {"prompt": "A blue circle"}


def test_pages_are_walked_in_both_directions(
    client: httpx.Client, videos: openai.resources.Videos
) -> None:
    made = [finish(client, submit(client))["job_id"] for _ in range(3)]
    newest = [video.id for video, _ in zip(videos.list(limit=2), range(3), strict=False)]
    assert newest == made[::-1]
    oldest = [video.id for video in videos.list(limit=2, order="asc")]
    assert oldest[-3:] == made
    assert videos.list(limit=1, after=made[1]).data[0].id == made[0]


def test_a_deleted_video_is_gone(client: httpx.Client, videos: openai.resources.Videos) -> None:
    job_id = finish(client, submit(client))["job_id"]
    assert videos.delete(job_id).deleted
    with pytest.raises(openai.NotFoundError):
        videos.retrieve(job_id)


def test_a_canceled_job_is_a_failed_video(
    client: httpx.Client, videos: openai.resources.Videos
) -> None:
    job_id = submit(client, **LONG)["job_id"]
    client.post(f"/api/jobs/{job_id}/cancel")
    video = videos.poll(job_id)
    assert video.status == "failed"
    assert video.error is not None
    assert video.error.code == "canceled"
    with pytest.raises(openai.ConflictError):
        videos.download_content(job_id)


def test_the_server_says_when_to_look_again(
    videos: openai.resources.Videos, running_job: dict[str, Any]
) -> None:
    answer = videos.with_raw_response.retrieve(running_job["job_id"])
    assert answer.parse().status == "in_progress"
    assert 500 <= int(answer.headers["openai-poll-after-ms"]) <= 10_000


@pytest.mark.parametrize("variant", ["video", "thumbnail", "spritesheet"])
def test_there_is_nothing_to_download_before_the_end(
    videos: openai.resources.Videos, running_job: dict[str, Any], variant: Any
) -> None:
    with pytest.raises(openai.ConflictError, match="not completed"):
        videos.download_content(running_job["job_id"], variant=variant)
    with pytest.raises(openai.ConflictError, match="cancel it"):
        videos.delete(running_job["job_id"])


@pytest.mark.parametrize(
    ("fields", "param", "told"),
    [
        ({"prompt": " "}, "prompt", "at least 1 character"),
        ({"size": "1792x1024"}, "size", "WIDTHxHEIGHT, each from 64 to 1280"),
        ({"size": "large"}, "size", "WIDTHxHEIGHT"),
        ({"seconds": "0"}, "seconds", "greater than 0"),
        ({"seconds": "nan"}, "seconds", "finite"),
        ({"seconds": "18"}, "seconds", "at most 17"),
        ({"model": "gpt-9"}, "model", "no such model; installed: demo"),
        ({"input_reference": b"\x89PNG"}, "input_reference", "not supported"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(
    client: httpx.Client,
    videos: openai.resources.Videos,
    fields: dict[str, Any],
    param: str,
    told: str,
) -> None:
    before = client.get("/api/jobs").json()
    with pytest.raises(openai.UnprocessableEntityError, match=told) as refusal:
        videos.create(**({"prompt": "A red circle"} | fields))
    assert refusal.value.param == param
    assert client.get("/api/jobs").json() == before


@pytest.mark.parametrize("seconds", ["0.3", 0.3], ids=["a string", "a number"])
def test_json_is_taken_too_and_unknown_fields_are_ignored(
    client: httpx.Client, seconds: object
) -> None:
    body = {"prompt": "A red circle", "size": "64x64", "seconds": seconds, "quality": "high"}
    answer = client.post("/v1/videos", json=body)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["seconds"]) == ("queued", "0.333")
    finish(client, client.get(f"/api/status/{answer.json()['id']}").json())


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"\xff", 400), (b"[" * 100_000, 400), (b"[]", 422), (b"", 422)],
    ids=["cut off", "not UTF-8", "deeply nested", "a list", "empty"],
)
def test_a_body_that_is_no_request_is_refused(
    client: httpx.Client, body: bytes, status: int
) -> None:
    headers = {"Content-Type": "application/json"}
    assert client.post("/v1/videos", content=body, headers=headers).status_code == status


def test_a_form_of_another_page_is_refused(client: httpx.Client, service: Service) -> None:
    def post(origin: str) -> httpx.Response:
        headers = {"Origin": origin}
        return client.post("/v1/videos", data={"prompt": "A red circle"} | SMALL, headers=headers)

    assert post("https://elsewhere.example").status_code == 403
    assert post("null").status_code == 403
    own = post(service.url)
    assert own.status_code == 200
    finish(client, client.get(f"/api/status/{own.json()['id']}").json())


def test_length_is_rounded_to_what_the_model_can_make(client: httpx.Client) -> None:
    answer = client.post("/v1/videos", json={"prompt": "A red circle", "seconds": 4})
    job = client.get(f"/api/status/{answer.json()['id']}").json()
    client.post(f"/api/jobs/{job['job_id']}/cancel")
    assert (job["params"]["num_frames"], job["params"]["fps"]) == (61, 15)
