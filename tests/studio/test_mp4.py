"""The page's reader of MP4s, run by Node on files that ffmpeg wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from hunyuan_runner.media import publish
from tests.conftest import ROOT, find_program

READER = ROOT / "hunyuan_runner" / "studio" / "static" / "mp4.js"
PROGRAM = Path(__file__).with_name("read_manifests.mjs")
MANIFEST = json.dumps({"manifest": 1, "prompt": 'Kätzchen 猫 "{}" \\ \n' * 20}, ensure_ascii=False)
GIGABYTE = 10**9
NOT_MP4 = "This is not an MP4 file."
DAMAGED = "This MP4 is damaged or incomplete, so its settings cannot be read."
FOREIGN = "This MP4 has no settings. It was made by another program, or one removed them."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's reader, under a name by which Node knows that it is a module."""
    folder = tmp_path_factory.mktemp("mp4")
    shutil.copy(READER, folder / "mp4.mjs")
    return folder


@pytest.fixture(scope="module")
def video(folder: Path) -> Path:
    """A clip as the service publishes it."""
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    return publish(frames, 24, {"manifest": MANIFEST}, folder).video


def node(folder: Path, *arguments: object) -> Any:
    command = [find_program("node", "nodejs"), PROGRAM, folder / "mp4.mjs", *arguments]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def read(folder: Path, file: object) -> dict[str, Any]:
    (found,) = node(folder, "read", file)
    return dict(found)


def remuxed(video: Path, name: str, *options: str) -> Path:
    target = video.with_name(name)
    command = [get_ffmpeg_exe(), "-v", "error", "-i", video, "-c", "copy", *options, target]
    subprocess.run(command, check=True)
    return target


def test_the_manifest_of_a_clip_is_read(folder: Path, video: Path) -> None:
    assert read(folder, video)["manifest"] == MANIFEST


@pytest.mark.parametrize("index", ["first", "last"])
def test_of_a_file_of_gigabytes_a_few_kilobytes_are_read(
    folder: Path, video: Path, index: str
) -> None:
    flags = "use_metadata_tags" if index == "last" else "use_metadata_tags+faststart"
    file = remuxed(video, f"{index}.mp4", "-movflags", flags)
    content = file.read_bytes()
    assert (content.index(b"moov") > content.index(b"mdat")) == (index == "last")
    start = content.index(b"mdat") - 4
    size = int.from_bytes(content[start : start + 4], "big")
    head = b"\0\0\0\1mdat" + (size + 8 + 5 * GIGABYTE).to_bytes(8, "big")
    file.write_bytes(content[:start] + head + content[start + 8 :])
    found = read(folder, f"{file}+{5 * GIGABYTE}+{start + size + 8}")
    assert found["manifest"] == MANIFEST
    assert found["read"] < len(MANIFEST.encode()) + 1000


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (("-map_metadata", "-1"), "stripped.mp4"),
        ((), "plain.mp4"),
        (("-movflags", "use_metadata_tags", "-map_metadata", "-1"), "empty.mp4"),
        (("-metadata", "manifest=", "-movflags", "use_metadata_tags"), "blank.mp4"),
    ],
)
def test_a_file_of_another_program_is_named_so(
    folder: Path, video: Path, options: tuple[str, ...], name: str
) -> None:
    assert read(folder, remuxed(video, name, *options))["refusal"] == FOREIGN


@pytest.mark.parametrize(
    "content",
    [b"", b"MP4", b"<html>not a film</html>", b"\x1a\x45\xdf\xa3 a WebM", bytes(4096)],
    ids=["empty", "short", "html", "webm", "zeros"],
)
def test_a_file_that_is_no_mp4_is_named_so(folder: Path, content: bytes) -> None:
    (folder / "other").write_bytes(content)
    assert read(folder, folder / "other")["refusal"] == NOT_MP4


def box(kind: bytes, content: bytes = b"") -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


KEYS = box(b"keys", bytes(7) + b"\1" + box(b"mdta", b"manifest"))


def film(ilst: bytes, keys: bytes = KEYS) -> bytes:
    meta = box(b"meta", bytes(4) + keys + ilst)
    return box(b"ftyp", b"isom") + box(b"moov", box(b"udta", meta))


@pytest.mark.parametrize(
    "content",
    [
        box(b"ftyp", b"isom"),
        box(b"ftyp", b"isom") + box(b"free") * 5000 + box(b"moov"),
        box(b"ftyp", b"isom") + (2**31).to_bytes(4, "big") + b"moov",
        box(b"ftyp", b"isom") + b"\0\0\0\1moov" + b"\xff" * 8,
        film(b"", box(b"keys", bytes(2**20))),
        film(box(b"ilst", box(b"\0\0\0\1", box(b"data", bytes(2**20))))),
        film(box(b"ilst", box(b"\0\0\0\1", box(b"data")))),
        film(box(b"ilst", box(b"\0\0\0\1", box(b"data", bytes(8) + b"\xff\xfe")))),
        film(box(b"ilst"), box(b"keys", bytes(8) + b"\0\0\0\0mdta")),
    ],
    ids=[
        "no index",
        "too many boxes",
        "cut off",
        "absurd length",
        "too many names",
        "too large a value",
        "no value",
        "no text",
        "a name without a length",
    ],
)
def test_a_hostile_file_is_refused_after_little_reading(folder: Path, content: bytes) -> None:
    (folder / "hostile.mp4").write_bytes(content)
    found = read(folder, folder / "hostile.mp4")
    assert found["refusal"] == DAMAGED
    assert found["read"] < 20_000


def test_a_file_that_is_cut_or_changed_anywhere_is_read_or_refused_in_words(
    folder: Path, video: Path
) -> None:
    assert node(folder, "damage", video) == sorted([DAMAGED, FOREIGN, NOT_MP4])
