"""The `openai` package against the running service: OpenAI's Videos API."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types import Video
from PIL import Image

from hunyuan_runner.api.video_request import VideoRequest
from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.media import probe
from hunyuan_runner.params import GenerationRequest
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
    assert (video.size, video.seconds) == ("64x64", "0.3")
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


def test_a_video_under_way_is_canceled_and_deleted(
    videos: openai.resources.Videos, running_job: dict[str, Any]
) -> None:
    assert videos.delete(running_job["job_id"]).deleted
    with pytest.raises(openai.NotFoundError):
        videos.retrieve(running_job["job_id"])


@pytest.mark.parametrize(
    ("fields", "param", "expected"),
    [
        ({"prompt": " "}, "prompt", "at least 1 character"),
        ({"size": "1792x1024"}, "size", "WIDTHxHEIGHT, each from 64 to 1280"),
        ({"size": "large"}, "size", "WIDTHxHEIGHT"),
        ({"seconds": "0"}, "seconds", "greater than 0"),
        ({"seconds": "nan"}, "seconds", "finite"),
        ({"seconds": "18"}, "seconds", "at most 17"),
        ({"model": "gpt-9"}, "model", "no such model; installed: demo"),
        ({"input_reference": b"\x89PNG"}, "input_reference", "not supported"),
        (
            {"extra_body": {"input_reference": {"image_url": "data:,"}}},
            "input_reference",
            "not supported",
        ),
        ({"extra_body": {"image": "data:,"}}, "image", "did you mean input_reference"),
        ({"extra_body": {"n": 2}}, "n", "must be 1; send a request for each video"),
        ({"extra_body": {"fps": "fast"}}, "fps", "valid number"),
        ({"extra_body": {"webhook_events": ["begun"]}}, "webhook_events.0", "'started'"),
        ({"extra_body": {"metadata": {"a": "b" * 600}}}, "metadata.a", "512"),
        ({"extra_body": {"num_inference_step": 4}}, "num_inference_step", "num_inference_steps?"),
        ({"extra_body": {"negative": "a dog"}}, "negative", "did you mean negative_prompt"),
        ({"extra_body": {"duration": 4}}, "duration", "did you mean seconds"),
        ({"seconds": "4", "extra_body": {"num_frames": 5}}, "seconds", "contradict"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(
    client: httpx.Client,
    videos: openai.resources.Videos,
    fields: dict[str, Any],
    param: str,
    expected: str,
) -> None:
    before = client.get("/api/jobs").json()
    with pytest.raises(openai.UnprocessableEntityError, match=expected) as refusal:
        videos.create(**({"prompt": "A red circle"} | fields))
    assert refusal.value.param == param
    assert client.get("/api/jobs").json() == before


# A value for every field that a clip may have, as JSON.
EVERY_FIELD: dict[str, Any] = {
    "prompt": "A red circle",
    "negative_prompt": "a square",
    "model": "demo",
    "preset": "high",
    "width": 64,
    "height": 96,
    "size": "64x96",
    "num_frames": 9,
    "seconds": 0.375,
    "fps": 23.976,
    "num_inference_steps": 9,
    "seed": 11,
    "guidance_scale": 2.5,
    "true_cfg_scale": 4.5,
    "flow_shift": 3.5,
    "step_cache": "off",
    "decoder": "full",
    "draft_steps": 3,
    "priority": -3,
    "metadata": {"order": "17", "a b": "[1]"},
    "webhook_url": "https://webhook.invalid/?a=1&b=2",
    "webhook_events": ["completed", "failed"],
}


@pytest.mark.parametrize("kind", ["the SDK", "JSON", "multipart", "urlencoded", "JSON in a form"])
def test_every_field_of_a_clip_is_heeded(
    client: httpx.Client, videos: openai.resources.Videos, kind: str
) -> None:
    assert EVERY_FIELD.keys() == GenerationRequest.model_fields.keys()
    flat = {name: value for name, value in EVERY_FIELD.items() if name != "metadata"}
    flat |= {f"metadata[{name}]": value for name, value in EVERY_FIELD["metadata"].items()}
    match kind:
        case "the SDK":
            extra = {name: EVERY_FIELD[name] for name in EVERY_FIELD if name != "prompt"}
            job_id = videos.create(prompt="A red circle", extra_body=extra).id
        case "JSON":
            job_id = client.post("/v1/videos", json=EVERY_FIELD).json()["id"]
        case "multipart":
            files = {"input_reference": ("", b"")}  # as a browser sends an empty field of files
            job_id = client.post("/v1/videos", data=flat, files=files).json()["id"]
        case "urlencoded":
            joined = {"webhook_events": "completed,failed"}
            job_id = client.post("/v1/videos", data=flat | joined).json()["id"]
        case _:
            written = {
                name: json.dumps(EVERY_FIELD[name]) for name in ("metadata", "webhook_events")
            }
            job_id = client.post("/v1/videos", data=EVERY_FIELD | written).json()["id"]
    job = client.get(f"/api/status/{job_id}").json()
    video = videos.retrieve(job_id)
    videos.delete(job_id)
    found = job | job["params"]
    same = found.keys() & EVERY_FIELD.keys() - {"webhook_url"}
    assert {name: found[name] for name in same} == {name: EVERY_FIELD[name] for name in same}
    assert EVERY_FIELD.keys() - same == {
        *("preset", "size", "seconds"),  # which are met by others
        *("webhook_url", "webhook_events"),  # of which a job shows less
    }
    assert job["webhook_url"] == "https://webhook.invalid/"
    assert (video.seconds, video.size) == ("0.375", "64x96")


@pytest.mark.parametrize("empty", [None, ""], ids=["null", "empty"])
@pytest.mark.parametrize("kind", ["SDK", "JSON", "urlencoded"])
def test_what_is_left_empty_is_as_if_left_out(
    client: httpx.Client, videos: openai.resources.Videos, kind: str, empty: str | None
) -> None:
    optional = VideoRequest.model_fields.keys() - {"prompt"}
    fields = dict.fromkeys(optional, empty) | {"steps": empty, "user": empty}
    match kind:
        case "SDK":
            job_id = videos.create(prompt="A red circle", extra_body=fields).id
        case "JSON":
            body = {"prompt": "A red circle"} | fields
            job_id = client.post("/v1/videos", json=body).json()["id"]
        case _:
            data = {"prompt": "A red circle"} | dict.fromkeys(fields, "")
            job_id = client.post("/v1/videos", data=data).json()["id"]
    params = client.get(f"/api/status/{job_id}").json()["params"]
    videos.delete(job_id)
    standard = MODELS["demo"].presets["standard"]
    assert params == params | {"prompt": "A red circle", "negative_prompt": None} | asdict(standard)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("4", "4"), ("4.0", "4"), (8, "8"), (2.3, "2.3"), ("0.25", "0.25"), (17, "17"), (None, "2.2")],
)
def test_seconds_come_back_as_asked(client: httpx.Client, asked: object, expected: str) -> None:
    video = client.post("/v1/videos", json={"prompt": "A red circle", "seconds": asked}).json()
    shown = client.get(f"/v1/videos/{video['id']}").json()["seconds"]
    client.delete(f"/v1/videos/{video['id']}")
    assert video["seconds"] == shown == expected


def test_an_image_too_large_to_read_is_said_not_to_be_supported(client: httpx.Client) -> None:
    image = "data:image/png;base64," + 2_000_000 * "A"
    body = {"prompt": "A red circle", "input_reference": {"image_url": image}}
    error = client.post("/v1/videos", json=body).json()["error"]
    assert (error["code"], error["param"]) == ("invalid_value", "input_reference")
    assert "not supported" in error["message"]


@pytest.mark.parametrize("fields", [{"seed": 5}, {"size": "64x96"}, {"steps": 3}])
def test_a_remix_changes_nothing_but_its_prompt(
    client: httpx.Client, clip: dict[str, Any], fields: dict[str, Any]
) -> None:
    body = {"prompt": "A blue circle", "model": "sora-2", "user": "ana"} | fields
    error = client.post(f"/v1/videos/{clip['job_id']}/remix", json=body).json()["error"]
    assert error["param"] == next(iter(fields))
    assert "cannot be changed in a remix" in error["message"]


def test_the_models_that_are_installed_are_listed(service: Service) -> None:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
        listed = client.models.list().data
        assert [model.id for model in listed] == ["demo"]
        assert listed[0].created > 1_600_000_000
        assert client.models.retrieve("demo") == listed[0]
        assert client.models.retrieve("sora-2-pro") == listed[0]  # as it would be rendered by
        for unknown in ("hunyuanvideo", "gpt-9"):
            with pytest.raises(openai.NotFoundError) as refusal:
                client.models.retrieve(unknown)
            assert (refusal.value.code, refusal.value.param) == ("unknown_model", "model")


@pytest.mark.parametrize("seconds", ["0.3", 0.3], ids=["a string", "a number"])
def test_json_is_taken_too_and_unknown_fields_are_ignored(
    client: httpx.Client, seconds: object
) -> None:
    body = {"prompt": "A red circle", "size": "64x64", "seconds": seconds, "quality": "high"}
    answer = client.post("/v1/videos", json=body)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["seconds"]) == ("queued", "0.3")
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
