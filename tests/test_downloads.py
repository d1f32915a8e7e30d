"""Videos in a bucket: sent through the front, or by a redirect to the bucket."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from hunyuan_runner.client import HunyuanClient
from hunyuan_runner.storage.bucket import Bucket
from tests.conftest import Service, StartService, finish, submit
from tests.s3 import Server
from tests.test_auth import KEYS, entry

# OpenAI closes its own servers; the format and the SDK live on.
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")

ANA = {"Authorization": f"Bearer {KEYS['ana']}"}
BO = {"Authorization": f"Bearer {KEYS['bo']}"}


@pytest.fixture(scope="module")
def proxying(start_service: StartService, s3: Server) -> Service:
    """With a bucket, as the settings are by default."""
    keys = ",".join(entry(name, KEYS[name]) for name in ("ana", "bo"))
    return start_service(HUNYUAN_STORAGE_URL=s3.url, HUNYUAN_API_KEYS=keys, **s3.environment())


@pytest.fixture(scope="module")
def redirecting(start_service: StartService, s3: Server, proxying: Service) -> Service:
    """A second front of the same service, which redirects."""
    keys = ",".join(entry(name, KEYS[name]) for name in ("ana", "bo"))
    return start_service(
        HUNYUAN_STORAGE_URL=s3.url,
        HUNYUAN_API_KEYS=keys,
        HUNYUAN_DATA_DIR=str(proxying.data_dir),
        HUNYUAN_LOCAL_RUNNER="false",
        HUNYUAN_DOWNLOADS="redirect",
        **s3.environment(),
    )


@pytest.fixture(scope="module")
def job(proxying: Service) -> dict[str, Any]:
    with httpx.Client(base_url=proxying.url, headers=ANA, timeout=30) as ana:
        return finish(ana, submit(ana))


@pytest.fixture(scope="module")
def video(proxying: Service, job: dict[str, Any]) -> bytes:
    return httpx.get(proxying.url + job["video_url"], headers=ANA).raise_for_status().content


@pytest.fixture(params=["proxying", "redirecting"])
def ana(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    service: Service = request.getfixturevalue(request.param)
    options: dict[str, Any] = {"headers": ANA, "follow_redirects": True, "timeout": 30}
    with httpx.Client(base_url=service.url, **options) as client:
        yield client


def test_a_video_has_its_type_and_its_name_both_ways(
    ana: httpx.Client, job: dict[str, Any], video: bytes
) -> None:
    answer = ana.get(job["video_url"])
    assert (answer.status_code, answer.content) == (200, video)
    assert answer.headers["Content-Type"] == "video/mp4"
    name = re.search('filename="(.*)"', answer.headers["Content-Disposition"])
    assert name is not None
    assert name[1] == f"{job['job_id']}.mp4"


@pytest.mark.parametrize(
    ("range_", "part"),
    [("bytes=0-9", slice(0, 10)), ("bytes=100-", slice(100, None)), ("bytes=-7", slice(-7, None))],
)
def test_a_range_of_a_video_is_got_both_ways(
    ana: httpx.Client, job: dict[str, Any], video: bytes, range_: str, part: slice
) -> None:
    answer = ana.get(job["video_url"], headers={"Range": range_})
    assert (answer.status_code, answer.content) == (206, video[part])
    assert answer.headers["Content-Range"].endswith(f"/{len(video)}")
    beyond = ana.get(job["video_url"], headers={"Range": f"bytes={len(video)}-"})
    assert beyond.status_code == 416


def test_only_those_who_may_see_a_job_are_redirected(
    redirecting: Service, job: dict[str, Any]
) -> None:
    url = redirecting.url + job["video_url"]
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers=BO).status_code == 404
    answer = httpx.get(url, headers=ANA)
    assert answer.status_code == 307
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_redirect_needs_no_key_and_is_valid_for_five_minutes(
    redirecting: Service, s3: Server, job: dict[str, Any], video: bytes
) -> None:
    location = httpx.get(redirecting.url + job["video_url"], headers=ANA).headers["Location"]
    assert location.startswith(f"{s3.endpoint}/{s3.bucket}/")
    assert httpx.URL(location).params["X-Amz-Expires"] == "300"
    assert httpx.get(location).content == video
    assert httpx.get(location.replace("video.mp4", "manifest.json")).status_code == 403


def test_a_redirect_that_has_expired_is_refused_by_the_bucket(s3_bucket: Bucket) -> None:
    s3_bucket.put("jobs/1/video.mp4", b"clip")
    url = s3_bucket.signed_url("jobs/1/video.mp4", timedelta(seconds=1))
    assert url is not None
    deadline = time.monotonic() + 30
    while httpx.get(url).status_code != 403:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_clients_download_from_a_service_that_redirects(
    redirecting: Service, job: dict[str, Any], video: bytes, tmp_path: Path
) -> None:
    with HunyuanClient(redirecting.url, api_key=KEYS["ana"]) as client:
        path = client.job(job["job_id"]).download(tmp_path / "clip.mp4")
    assert path.read_bytes() == video
    with openai.OpenAI(base_url=f"{redirecting.url}/v1", api_key=KEYS["ana"]) as sdk:
        assert sdk.videos.download_content(job["job_id"]).read() == video


def test_the_check_of_a_service_that_redirects_finds_no_fault(
    redirecting: Service, proxying: Service
) -> None:
    command = [sys.executable, "-m", "hunyuan_runner", "check", redirecting.url, "--wait"]
    checked = subprocess.run(
        [*command, "--api-key", KEYS["ana"]], capture_output=True, text=True, timeout=120
    )
    assert checked.returncode == 0, checked.stdout


def test_small_files_and_bentomls_route_are_never_redirected(
    redirecting: Service, job: dict[str, Any], video: bytes
) -> None:
    with httpx.Client(base_url=redirecting.url, headers=ANA) as ana:
        for path in ("thumbnail", "preview", "manifest"):
            assert ana.get(f"/api/jobs/{job['job_id']}/{path}").status_code == 200
        answer = ana.get("/generate/get", params={"task_id": job["job_id"]})
        assert (answer.status_code, answer.content) == (200, video)


def test_the_page_may_play_videos_from_the_bucket_and_from_nowhere_else(
    redirecting: Service, proxying: Service, s3: Server
) -> None:
    policies = {}
    for service in (proxying, redirecting):
        page = httpx.get(service.url, headers=ANA | {"Accept": "text/html"})
        policy = page.headers["Content-Security-Policy"]
        policies[service.url] = next(p for p in policy.split("; ") if p.startswith("media-src"))
    assert policies[proxying.url] == "media-src 'self'"
    assert policies[redirecting.url] == f"media-src 'self' {s3.endpoint}"
