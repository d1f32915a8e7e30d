"""Makes files of frames with ffmpeg: the MP4, a thumbnail, a looping preview and a spritesheet."""

from __future__ import annotations

import math
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray

from hunyuan_runner.frame_file import FrameFile

SMALL_SIDE = 320  # pixels of the longer side of the animation and of a frame in the spritesheet
FIT = (
    f"scale=w='min({SMALL_SIDE},iw)':h='min({SMALL_SIDE},ih)':force_original_aspect_ratio=decrease"
)
ANIMATION_FPS = 12
SHEET_COLUMNS, SHEET_ROWS = 4, 4
ENCODER_THREADS = 4  # x264's output depends on it, so it must be the same on every host

# The models' licence requires this mark. It is given in words and as IPTC's term for such pictures.
AI_MARK = {
    "comment": "AI-generated",
    "digital_source_type": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
}


# After this time ffmpeg counts as hung. Encoding normally takes a second for 5 million pixels.
PATIENCE_SECONDS = 600
PATIENCE_PIXELS_PER_SECOND = 50_000

Frames = NDArray[np.uint8] | FrameFile


class MediaError(Exception):
    """ffmpeg failed. The message says how it ended and quotes the last lines of its log.

    `disk_full` says whether the disk had no space left.
    """

    def __init__(self, path: Path, ending: str, log: str) -> None:
        lines = log.strip().splitlines()[-5:]
        super().__init__(f"ffmpeg {ending} on {path.name}: " + "\n".join(lines or ["no message"]))
        self.disk_full = "No space left on device" in log or "Disk quota exceeded" in log


class FfmpegUnusable(Exception):
    """ffmpeg is missing, does not run, or cannot encode H.264."""


@dataclass(frozen=True)
class Clip:
    """The files of one clip: MP4, JPEG, animated WebP, and a JPEG of frames in a grid."""

    video: Path
    thumbnail: Path
    animation: Path
    spritesheet: Path


@dataclass(frozen=True)
class VideoInfo:
    """What ffmpeg finds in a video file. `duration` is in seconds, `fps` the mean rate."""

    width: int
    height: int
    num_frames: int
    fps: float
    duration: float
    codec: str
    pixel_format: str
    tags: Mapping[str, str]


def frame_rate(fps: float) -> Fraction:
    """The exact rate that `fps` stands for, such as 24000/1001 for 23.976."""
    exact = Fraction(str(fps)).limit_denominator(1001)
    if exact.denominator == 1:
        return exact
    ntsc = Fraction(math.ceil(fps) * 1000, 1001)
    digits = len(str(fps).partition(".")[2])
    return ntsc if digits > 1 and round(float(ntsc), digits) == fps else exact


def publish(frames: Frames, fps: float, tags: Mapping[str, str], folder: Path) -> Clip:
    """Write the clip's files into `folder`.

    `frames` is THWC, RGB, uint8, with an even height and width; one frame is read at a time. The
    MP4 carries `tags` and the mark that it is AI-generated.
    Raises MediaError if ffmpeg fails, or OSError if the frames cannot be read.
    """
    clip = Clip(
        video=folder / "video.mp4",
        thumbnail=folder / "thumbnail.jpg",
        animation=folder / "preview.webp",
        spritesheet=folder / "spritesheet.jpg",
    )
    length = len(frames)
    rate = frame_rate(fps)
    stride = math.ceil(rate / ANIMATION_FPS)
    _encode(frames, range(length), rate, [*_h264(rate), *_metadata(tags)], clip.video)
    _encode(frames, [length // 2], rate, _jpeg(), clip.thumbnail)
    _encode(frames, range(0, length, stride), rate / stride, _webp(), clip.animation)
    shown = _spread(length, SHEET_COLUMNS * SHEET_ROWS)
    _encode(frames, shown, rate, _sheet(len(shown)), clip.spritesheet)
    return clip


def ffmpeg_version() -> str:
    """The version of ffmpeg. Raises FfmpegUnusable."""
    try:
        done = subprocess.run([get_ffmpeg_exe(), "-version"], capture_output=True, check=True)
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        raise FfmpegUnusable(f"ffmpeg does not run: {error}") from error
    said = done.stdout.decode(errors="replace")
    if "--enable-libx264" not in said:
        raise FfmpegUnusable("this ffmpeg has no libx264")
    return " ".join(said.split()[:3])


def probe(path: Path) -> VideoInfo:
    """Decode the whole video and report what is in it. Raises MediaError if that fails."""
    listing, log = _read(path, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framecrc")
    # `#tb 0: 1/15`, `#dimensions 0: 192x128`; then for each frame, separated by commas,
    # stream, dts, pts, duration, size, checksum
    headers = dict(re.findall(r"^#(\w+) 0: (.+)$", listing, re.MULTILINE))
    durations = [int(line.split(",")[3]) for line in listing.splitlines() if line[0] != "#"]
    duration = sum(durations) * Fraction(headers["tb"])
    width, height = headers["dimensions"].split("x")
    stream = re.search(r"Video: (\w+).*?, (\w+)[(,]", log)
    assert stream, log
    return VideoInfo(
        width=int(width),
        height=int(height),
        num_frames=len(durations),
        fps=float(len(durations) / duration),
        duration=float(duration),
        codec=stream[1],
        pixel_format=stream[2],
        tags=read_tags(path),
    )


def read_tags(path: Path) -> dict[str, str]:
    """The file's metadata. Raises MediaError if it is not a video."""
    # Each line is `key=value`, with a backslash before special characters.
    text, _ = _read(path, "-c", "copy", "-f", "ffmetadata")
    pairs = re.findall(r"^((?:[^=\\\n]|\\.)+)=((?:[^\\\n]|\\[\s\S])*)$", text, re.MULTILINE)
    return {_unescape(key): _unescape(value) for key, value in pairs}


def frame_hashes(path: Path) -> list[str]:
    """The SHA-256 of each decoded frame, in hexadecimal. Raises MediaError if it is not a video."""
    listing, _ = _read(path, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framehash")
    return [line.split(",")[-1].strip() for line in listing.splitlines() if line[0] != "#"]


def _h264(rate: Fraction) -> list[str]:
    """4:2:0, as QuickTime, Safari and Firefox play nothing else, with the index at the start."""
    return [
        "-vf",
        "scale=out_color_matrix=bt709:out_range=limited:flags=accurate_rnd+full_chroma_inp+bitexact,"
        "format=yuv420p,setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709,setsar=1",
        *("-c:v", "libx264", "-crf", "17", "-threads", str(ENCODER_THREADS)),
        *("-g", str(round(rate))),  # a keyframe every second, to scrub by
        *("-movflags", "+faststart+use_metadata_tags"),
    ]


def _jpeg(filters: str = "") -> list[str]:
    jfif = "scale=out_color_matrix=bt601:out_range=full,format=yuv444p"
    return ["-vf", filters + jfif, "-q:v", "2", "-update", "1"]


def _sheet(count: int) -> list[str]:
    """A grid of `count` frames, filled row by row."""
    columns = min(count, SHEET_COLUMNS)
    return _jpeg(f"{FIT},tile={columns}x{-(-count // columns)},")


def _spread(length: int, count: int) -> list[int]:
    """At most `count` indices, spread evenly over a clip of `length` frames."""
    count = min(length, count)
    return [round(index * (length - 1) / max(count - 1, 1)) for index in range(count)]


def _webp() -> list[str]:
    looped = ["-c:v", "libwebp_anim", "-quality", "75", "-f", "webp", "-loop", "0"]
    return ["-vf", f"{FIT},format=bgra", *looped]


def _metadata(tags: Mapping[str, str]) -> list[str]:
    """One argument per tag. ffmpeg takes it unchanged; only NUL cannot be part of an argument."""
    marked = {**tags, **AI_MARK}
    pairs = [f"{key}={value}".replace("\0", "") for key, value in marked.items()]
    return [argument for pair in pairs for argument in ("-metadata", pair)]


def _encode(
    frames: Frames, shown: Iterable[int], rate: Fraction, options: Sequence[str], target: Path
) -> None:
    """Stream the frames at the indices `shown` through ffmpeg into `target`.

    Equal frames give equal bytes.
    """
    length, height, width, channels = frames.shape
    assert channels == 3
    pixels = length * height * width
    size = f"{width}x{height}"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-framerate", f"{rate}"]
    exact = ["-fflags", "+bitexact", "-flags:v", "+bitexact"]
    command = [get_ffmpeg_exe(), "-loglevel", "error", "-y", *raw, "-i", "-", *options, *exact]
    with (
        tempfile.TemporaryFile() as log,  # a pipe could fill up while frames are written
        subprocess.Popen([*command, f"file:{target}"], stdin=subprocess.PIPE, stderr=log) as ffmpeg,
    ):
        with _kept_in_time(ffmpeg, pixels, target):
            assert ffmpeg.stdin
            # If the pipe breaks, ffmpeg has failed, and its log says why.
            with suppress(BrokenPipeError), ffmpeg.stdin:
                for index in shown:
                    ffmpeg.stdin.write(np.ascontiguousarray(frames[index]).data)
            ffmpeg.wait()
        if ffmpeg.returncode:
            log.seek(0)
            raise MediaError(target, _ending(ffmpeg), log.read().decode(errors="replace"))


@contextmanager
def _kept_in_time(ffmpeg: subprocess.Popen[bytes], pixels: int, target: Path) -> Iterator[None]:
    """Kill ffmpeg if it hangs or if reading its frames fails."""
    seconds = PATIENCE_SECONDS + pixels / PATIENCE_PIXELS_PER_SECOND
    timer = threading.Timer(seconds, ffmpeg.kill)
    timer.start()
    try:
        yield
        if not timer.is_alive():
            raise MediaError(target, f"did not end within {seconds:.0f} seconds", "")
    except BaseException:
        ffmpeg.kill()
        raise
    finally:
        timer.cancel()


def _ending(process: subprocess.Popen[bytes] | subprocess.CompletedProcess[bytes]) -> str:
    if process.returncode == -signal.SIGKILL:
        return "was killed (SIGKILL), most likely out of memory,"
    if process.returncode < 0:
        return f"was ended by {signal.Signals(-process.returncode).name}"
    return f"failed with exit code {process.returncode}"


def _read(path: Path, *options: str) -> tuple[str, str]:
    """ffmpeg's stdout and stderr when it reads the file with these output options."""
    command = [get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-i", f"file:{path}", *options, "-"]
    done = subprocess.run(command, capture_output=True)
    stdout, stderr = done.stdout.decode(), done.stderr.decode(errors="replace")
    if done.returncode:
        raise MediaError(path, _ending(done), stderr)
    return stdout, stderr


def _unescape(text: str) -> str:
    return re.sub(r"\\([\s\S])", r"\1", text)
