"""What media.py writes, looked at with real decoders."""

from __future__ import annotations

import math
import os
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray
from PIL import Image
from PIL.WebPImagePlugin import WebPImageFile

from hunyuan_runner import media
from hunyuan_runner.frame_file import FrameFile
from hunyuan_runner.media import ANIMATION_FPS, MediaError, frame_rate, probe, publish

HOSTILE = "a=b; #c \\n 'q' \"z\"\nsecond line\r\n\\ %d [STREAM] ; = # \\=\n\n\U0001f408 café 猫 \\"


def moving_square(num_frames: int, width: int, height: int) -> NDArray[np.uint8]:
    """A white square walking right over a gradient, so that no two frames are alike."""
    frames = np.zeros((num_frames, height, width, 3), np.uint8)
    frames[..., 2] = np.linspace(0, 255, width)
    for index, frame in enumerate(frames):
        frame[8:24, index : index + 16] = 255
    return frames


def decode(path: Path) -> NDArray[np.uint8]:
    """Every frame of `path` in RGB."""
    info = probe(path)
    command = [get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, info.height, info.width, 3)


def pixels_of(picture: Path) -> NDArray[np.uint8]:
    """A picture's RGB pixels, as (height, width, 3)."""
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB"))


def streams_of(video: Path) -> str:
    """What ffmpeg says of the file."""
    return subprocess.run([get_ffmpeg_exe(), "-i", video], capture_output=True, text=True).stderr


@pytest.mark.parametrize("num_frames", [1, 5, 33])
@pytest.mark.parametrize(("width", "height"), [(192, 128), (100, 74), (98, 66), (64, 334)])
def test_the_mp4_has_exactly_the_size_and_frames_asked_for(
    tmp_path: Path, width: int, height: int, num_frames: int
) -> None:
    frames = moving_square(num_frames, width, height)
    video = publish(frames, 15, {}, tmp_path).video
    info = probe(video)
    assert (info.width, info.height, info.num_frames) == (width, height, num_frames)
    assert (info.codec, info.pixel_format) == ("h264", "yuv420p")
    assert "h264 (High) (avc1" in streams_of(video)  # what browsers and QuickTime play


@pytest.mark.parametrize("fps", [1, 7, 15, 24, 60])
def test_the_mp4_plays_at_the_rate_asked_for(tmp_path: Path, fps: int) -> None:
    info = probe(publish(moving_square(9, 96, 64), fps, {}, tmp_path).video)
    assert info.fps == pytest.approx(fps)
    assert info.duration == pytest.approx(9 / fps)


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        (23.976, "24000/1001"),
        (23.98, "24000/1001"),
        (29.97, "30000/1001"),
        (59.94, "60000/1001"),
        (14.985, "15000/1001"),
        (24.5, "49/2"),
        (59.9, "599/10"),
        (24, "24"),
    ],
)
def test_the_rates_of_television_are_exact(tmp_path: Path, fps: float, rate: str) -> None:
    assert frame_rate(fps) == Fraction(rate)
    clip = publish(moving_square(9, 96, 64), fps, {}, tmp_path)
    info = probe(clip.video)
    assert info.num_frames == 9
    assert info.fps == float(Fraction(rate))
    with Image.open(clip.animation) as animation:
        assert isinstance(animation, WebPImageFile)
        shown = animation.n_frames
    assert shown == -(-9 // math.ceil(Fraction(rate) / ANIMATION_FPS))


def test_frames_come_out_in_order_and_close_to_what_went_in(tmp_path: Path) -> None:
    frames = moving_square(33, 192, 128)
    difference = np.abs(decode(publish(frames, 15, {}, tmp_path).video).astype(int) - frames)
    assert difference.mean(axis=(1, 2, 3)).max() < 4


@pytest.mark.parametrize("size", [(192, 128), (102, 74)])
@pytest.mark.parametrize(
    "colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40)]
)
def test_colours_survive_in_every_file(
    tmp_path: Path, colour: tuple[int, int, int], size: tuple[int, int]
) -> None:
    width, height = size
    frames = np.broadcast_to(np.array(colour, np.uint8), (5, height, width, 3))
    clip = publish(frames, 15, {}, tmp_path)
    assert np.abs(decode(clip.video).astype(int) - colour).max() <= 4
    for picture in (clip.thumbnail, clip.animation):
        pixels = pixels_of(picture).astype(int)
        assert np.abs(pixels - colour).max() <= 4, picture


def test_a_player_is_told_the_colours_it_has_to_convert_from(tmp_path: Path) -> None:
    clip = publish(moving_square(5, 96, 64), 15, {}, tmp_path)
    assert "yuv420p(tv, bt709, progressive)" in streams_of(clip.video)


def test_the_index_comes_before_the_pictures(tmp_path: Path) -> None:
    content = publish(moving_square(5, 96, 64), 15, {}, tmp_path).video.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_there_is_a_keyframe_every_second(tmp_path: Path) -> None:
    clip = publish(moving_square(33, 96, 64), 8, {}, tmp_path)
    command = [get_ffmpeg_exe(), "-v", "error", "-skip_frame", "nokey", "-i", str(clip.video)]
    command += ["-fps_mode", "passthrough", "-f", "framecrc", "-"]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    keyframes = [line for line in listing.splitlines() if not line.startswith("#")]
    assert len(keyframes) >= 5


@pytest.mark.parametrize("value", ["a cat", HOSTILE, "猫" * 4000, "-y", "=", "\n"])
def test_tags_come_back_as_they_were_given(tmp_path: Path, value: str) -> None:
    clip = publish(moving_square(1, 96, 64), 15, {"title": "t", "prompt": value}, tmp_path)
    tags = probe(clip.video).tags
    assert tags["prompt"] == value
    assert tags["title"] == "t"


def test_a_nul_character_is_left_out_of_a_tag(tmp_path: Path) -> None:
    clip = publish(moving_square(1, 96, 64), 15, {"prompt": "a\0b"}, tmp_path)
    assert probe(clip.video).tags["prompt"] == "ab"


def test_every_mp4_says_that_it_is_generated_whatever_the_tags_say(tmp_path: Path) -> None:
    clip = publish(moving_square(1, 96, 64), 15, {"comment": "a photograph"}, tmp_path)
    tags = probe(clip.video).tags
    assert tags["comment"] == "AI-generated"
    assert tags["digital_source_type"].endswith("/trainedAlgorithmicMedia")


def test_the_same_frames_and_tags_make_the_same_bytes(tmp_path: Path) -> None:
    frames = moving_square(33, 192, 128)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        publish(frames, 15, {"prompt": "a cat"}, folder)
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_frames_are_read_from_a_file(tmp_path: Path) -> None:
    frames = moving_square(17, 96, 64)
    np.save(tmp_path / "frames.npy", frames)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    publish(frames, 15, {}, first)
    publish(FrameFile(tmp_path / "frames.npy", lambda: None), 15, {}, second)
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_the_thumbnail_is_the_middle_frame_at_full_size(tmp_path: Path) -> None:
    frames = moving_square(33, 194, 126)
    thumbnail = publish(frames, 15, {}, tmp_path).thumbnail
    with Image.open(thumbnail) as picture:
        assert (picture.format, picture.size) == ("JPEG", (194, 126))
    assert np.abs(pixels_of(thumbnail).astype(int) - frames[16]).mean() < 4


@pytest.mark.parametrize(
    ("size", "expected"),
    [((640, 480), (320, 240)), ((64, 640), (32, 320)), ((192, 128), (192, 128))],
)
def test_the_animation_is_small_and_loops(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    width, height = size
    clip = publish(moving_square(9, width, height), 24, {}, tmp_path)
    with WebPImageFile(clip.animation) as animation:
        assert (animation.size, animation.n_frames) == (expected, 5)
        assert animation.info["loop"] == 0
        for index in range(5):
            animation.seek(index)
            animation.load()
            assert animation.info["duration"] == pytest.approx(1000 / 12, abs=1), index


def test_a_clip_of_one_frame_has_all_its_files(tmp_path: Path) -> None:
    clip = publish(moving_square(1, 96, 64), 15, {}, tmp_path)
    assert probe(clip.video).num_frames == 1
    for picture in (clip.thumbnail, clip.animation):
        assert pixels_of(picture).shape == (64, 96, 3)


@pytest.mark.parametrize("name", ["%03d", "a:b", "-x", "two words", "ünï"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    clip = publish(moving_square(1, 96, 64), 15, {}, folder)
    assert all(path.parent == folder and path.stat().st_size for path in vars(clip).values())


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -9 $$", r"was killed \(SIGKILL\), most likely out of memory, on video.mp4: no mess"),
        ("kill -11 $$", "was ended by SIGSEGV on video.mp4"),
        ("echo 'no codec' >&2; exit 3", "failed with exit code 3 on video.mp4: no codec"),
        ("exec sleep 600", "did not end within 1 seconds on video.mp4"),
    ],
    ids=["killed", "crashed", "failed", "hung"],
)
def test_how_an_encoder_failed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    encoder = tmp_path / "ffmpeg"
    encoder.write_text(f"#!/bin/sh\n{script}\n")
    encoder.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(encoder))
    if "sleep" in script:
        monkeypatch.setattr(media, "PATIENCE_SECONDS", 0.6)
    with pytest.raises(MediaError, match=words):
        publish(moving_square(5, 64, 64), 15, {}, tmp_path)


def test_an_encoder_ends_with_what_feeds_it(tmp_path: Path) -> None:
    file = tmp_path / "frames.npy"
    np.save(file, moving_square(9, 96, 64))

    def refuse() -> None:
        raise KeyboardInterrupt

    before = psutil.Process().children()
    with pytest.raises(KeyboardInterrupt):
        publish(FrameFile(file, refuse), 15, {}, tmp_path)
    assert psutil.Process().children() == before


def test_a_file_of_frames_that_is_cut_short_is_an_error_and_no_crash(tmp_path: Path) -> None:
    file = tmp_path / "frames.npy"
    np.save(file, moving_square(9, 96, 64))
    frames = FrameFile(file, lambda: None)
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(OSError, match="Input/output error"):
        publish(frames, 15, {}, tmp_path)


def test_a_failure_tells_ffmpegs_own_words(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="No such file or directory"):
        publish(moving_square(33, 192, 128), 15, {}, tmp_path / "missing")


def test_what_is_not_a_video_cannot_be_probed(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no video in here")
    with pytest.raises(MediaError, match=r"notes\.mp4"):
        probe(tmp_path / "notes.mp4")
