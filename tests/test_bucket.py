"""Storage in a real bucket, and one that fails."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from hunyuan_runner.storage import bucket
from hunyuan_runner.storage.bucket import Bucket
from hunyuan_runner.storage.protocol import STREAM_CHUNK_BYTES, ObjectNotFound, StorageFailed
from tests.s3 import Proxy, Server

PART_BYTES = 5 << 20  # of an upload in parts


@pytest.fixture
def proxy(s3: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """In front of the server, for a Bucket that is opened now."""
    with Proxy(s3.endpoint) as proxy:
        for name, value in s3.environment(proxy.endpoint).items():
            monkeypatch.setenv(name, value)
        yield proxy


@pytest.fixture
def opened(s3: Server, proxy: Proxy, request: pytest.FixtureRequest) -> Bucket:
    return Bucket.open(f"{s3.url}/{request.node.name}")


def uses(store: Bucket) -> list[Callable[[], object]]:
    return [
        lambda: store.put("a/b", b"clip"),
        lambda: store.get("a/b"),
        lambda: store.size("a/b"),
        lambda: b"".join(store.stream("a/b", 0, 4)),
        lambda: store.delete("a/b"),
        lambda: store.delete_prefix("a"),
        lambda: store.folders_older_than("a", timedelta()),
    ]


def test_a_large_file_is_uploaded_in_parts_and_read_in_ranges(
    opened: Bucket, proxy: Proxy, tmp_path: Path
) -> None:
    data = os.urandom(3 * PART_BYTES + 7)
    file = tmp_path / "video.mp4"
    file.write_bytes(data)
    opened.put("jobs/1/video.mp4", file)
    parts = [path for method, path in proxy.requests if "partNumber=" in path]
    assert len(parts) == 4
    assert opened.size("jobs/1/video.mp4") == len(data)
    middle = slice(PART_BYTES - 3, PART_BYTES + STREAM_CHUNK_BYTES + 3)
    proxy.requests.clear()
    assert b"".join(opened.stream("jobs/1/video.mp4", middle.start, middle.stop)) == data[middle]
    assert len(proxy.requests) == 2  # a chunk each


def test_an_upload_that_stops_half_way_leaves_the_object_as_it_was(
    opened: Bucket,
    proxy: Proxy,
    s3: Server,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened.put("jobs/1/video.mp4", b"old")
    monkeypatch.setattr(bucket, "RETRY", {"max_retries": 0})
    impatient = Bucket.open(f"{s3.url}/{request.node.name}")
    proxy.refused = "partNumber=3"
    with pytest.raises(StorageFailed, match="503"):
        impatient.put("jobs/1/video.mp4", os.urandom(4 * PART_BYTES))
    assert opened.get("jobs/1/video.mp4") == b"old"


def test_a_folder_of_more_objects_than_one_page_of_a_list_is_deleted(opened: Bucket) -> None:
    with ThreadPoolExecutor(10) as threads:
        list(threads.map(lambda number: opened.put(f"jobs/1/{number}", b""), range(1010)))
    opened.put("jobs/10/a", b"stays")
    opened.delete_prefix("jobs/1")
    assert opened.folders_older_than("jobs", timedelta()) == {"10"}


def test_folders_are_as_old_as_their_newest_object(opened: Bucket) -> None:
    for key in ("jobs/1/a", "jobs/1/b", "jobs/2/a"):
        opened.put(key, b"")
    assert opened.folders_older_than("jobs", timedelta(hours=1)) == set()
    assert opened.folders_older_than("jobs", timedelta(hours=-1)) == {"1", "2"}


def test_a_bucket_that_answers_503_for_a_moment_is_asked_again(
    opened: Bucket, proxy: Proxy
) -> None:
    opened.put("a/b", b"clip")
    for use in uses(opened):
        proxy.failures = 2
        use()
        assert proxy.failures == 0
    with pytest.raises(ObjectNotFound):
        opened.get("a/b")


def test_a_bucket_that_answers_slowly_is_waited_for(opened: Bucket, proxy: Proxy) -> None:
    proxy.pause = 0.5
    opened.put("a/b", b"clip")
    assert opened.get("a/b") == b"clip"


def test_a_bucket_that_goes_on_answering_503_fails(
    proxy: Proxy, s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "RETRY", {"retry_timeout": timedelta(seconds=0.1)})
    store = Bucket.open(s3.url)
    proxy.failing = True
    for use in uses(store):
        with pytest.raises(StorageFailed, match="503"):
            use()


def test_a_bucket_that_does_not_answer_is_not_waited_for_for_ever(
    proxy: Proxy, s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "RETRY", {"retry_timeout": timedelta(seconds=0.1)})
    monkeypatch.setenv("AWS_TIMEOUT", "0.3s")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        store = Bucket.open(s3.url)
        for use in uses(store)[:2]:
            with pytest.raises(StorageFailed, match=r"The bucket failed: .*sending request"):
                use()


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", "SignatureDoesNotMatch"),
        ("AWS_ACCESS_KEY_ID", "nobody", "InvalidAccessKeyId"),
    ],
    ids=["wrong secret", "unknown key"],
)
def test_wrong_credentials_are_named_and_never_shown(
    proxy: Proxy, s3: Server, monkeypatch: pytest.MonkeyPatch, name: str, value: str, code: str
) -> None:
    monkeypatch.setenv(name, value)
    store = Bucket.open(s3.url)
    for use in uses(store):
        with pytest.raises(StorageFailed, match="refuses access") as raised:
            use()
        assert "AWS_SECRET_ACCESS_KEY" in str(raised.value)
        assert value not in str(raised.value)
    with pytest.raises(StorageFailed, match=code):
        store.get("a/b")


def test_a_service_without_credentials_says_so(
    proxy: Proxy, s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(bucket, "RETRY", {"max_retries": 0})
    monkeypatch.setenv("AWS_TIMEOUT", "0.3s")
    with pytest.raises(StorageFailed, match=r"No credentials .* AWS_ACCESS_KEY_ID"):
        Bucket.open(s3.url).get("a/b")


def test_nothing_is_missing_from_a_bucket_that_does_not_exist(proxy: Proxy) -> None:
    store = Bucket.open("s3://elsewhere/service")
    for use in (lambda: store.put("a/b", b""), lambda: store.get("a/b")):
        with pytest.raises(StorageFailed, match="does not exist"):
            use()


def test_readers_see_whole_objects_while_others_write_them(opened: Bucket) -> None:
    clips = [bytes([number]) * (PART_BYTES + 1) for number in range(4)]
    opened.put("jobs/1/video.mp4", clips[0])
    with ThreadPoolExecutor(4) as threads:
        puts = [threads.submit(opened.put, "jobs/1/video.mp4", clip) for clip in clips]
        seen = {opened.get("jobs/1/video.mp4")}
        while not all(put.done() for put in puts):
            seen.add(opened.get("jobs/1/video.mp4"))
    assert seen <= set(clips)
