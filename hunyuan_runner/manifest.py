"""How a clip was made: everything that is needed to make it again.

The manifest is stored in the MP4 itself. It holds no times and no ids, so that rendering the same
clip twice on one machine gives the same file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.machine.host import cpu_name, package_versions
from hunyuan_runner.params import Decoder, GenerationParams
from hunyuan_runner.weights import DOWNLOAD_NOTE, file_sha256, weight_files
from hunyuan_runner.wire import Clip

TAG = "manifest"  # the key in the MP4's metadata


class ModelManifest(BaseModel):
    """The weights that a clip was made with."""

    model_config = ConfigDict(frozen=True)

    id: str
    repo: str | None = Field(description="Repository on the model hub; null if it is bundled.")
    revision: str | None = Field(description="The commit that was downloaded.")
    weights: dict[str, str] = Field(description="SHA-256 of each weight file, by its path.")


class Manifest(BaseModel):
    """Everything a clip depends on."""

    model_config = ConfigDict(frozen=True)

    manifest: Literal[1] = Field(1, description="The version of this format.")
    params: Clip
    model: ModelManifest
    decoder: str = Field("full", description="What made its pixels: full or fast.")
    precision: str = Field(description="The precision it was computed in.", examples=["fp32"])
    instructions: str | None = Field(
        None,
        description="The instruction set of the kernels that computed the transformer; null if it "
        "was not computed in int8.",
        examples=["avx2"],
    )
    attention: str | None = Field(
        None, description="The form of attention of these kernels.", examples=["int16"]
    )
    threads: int
    cpu: str = Field(description="The CPU of the worker that finished the clip.")
    continued: str | None = Field(
        None,
        description="If runners that do not compute the same bits worked on the clip, which steps "
        "each of them computed; null if one could have made this file alone.",
    )
    versions: dict[str, str]

    @classmethod
    def of(
        cls,
        params: GenerationParams,
        model_dir: Path,
        precision: str,
        threads: int,
        instructions: str | None = None,
        attention: str | None = None,
        decoder: Decoder = "full",
        fast_decoder: Path | None = None,
        continued: str | None = None,
    ) -> Self:
        """The manifest of a clip that this process's engine made. `fast_decoder` is the file with
        the weights of the fast decoder, if that made the pixels and is still there."""
        versions = {name: version for name, version in package_versions().items() if version}
        return cls(
            params=params,
            model=ModelManifest(
                id=params.model,
                repo=MODELS[params.model].repo,
                revision=_revision(model_dir),
                weights=_weights(model_dir) | _weights_of(fast_decoder),
            ),
            decoder=decoder,
            precision=precision,
            instructions=instructions,
            attention=attention,
            threads=threads,
            cpu=cpu_name(),
            continued=continued,
            versions=versions,
        )

    def differences(self, other: Manifest) -> Iterator[str]:
        """What differs in `other`, as text for people: `torch 2.13.0, not 2.12.0`."""
        if other.model.weights != self.model.weights:
            yield f"other weights of {self.model.id}"
        for name in ("precision", "instructions", "attention", "threads", "cpu"):
            here, there = getattr(other, name), getattr(self, name)
            # Null where the precision differs, and in manifests of earlier versions.
            if here != there and None not in (here, there):
                yield f"{name} {here}, not {there}"
        if other.continued != self.continued:
            yield f"{other._runners}, not {self._runners}"
        for package, version in self.versions.items():
            if other.versions.get(package) != version:
                yield f"{package} {other.versions.get(package, 'absent')}, not {version}"

    @property
    def _runners(self) -> str:
        return f"several runners ({self.continued})" if self.continued else "one runner"


class PublishedManifest(Manifest):
    """A manifest with the size and SHA-256 of the clip's MP4."""

    video_sha256: str
    video_bytes: int

    @classmethod
    def about(cls, manifest: Manifest, video: Path) -> Self:
        return cls(
            **dict(manifest),
            video_sha256=file_sha256(video),
            video_bytes=video.stat().st_size,
        )


def _revision(model_dir: Path) -> str | None:
    """The commit that was noted when the model was downloaded."""
    note = model_dir / DOWNLOAD_NOTE
    return json.loads(note.read_text())["commit"] if note.exists() else None


def _weights(model_dir: Path) -> dict[str, str]:
    digests = {}
    folders = (folder for folder in sorted(model_dir.iterdir()) if folder.is_dir())
    for path in (path for folder in folders for path in weight_files(folder)):
        stat = path.stat()
        digests[f"{path.relative_to(model_dir)}"] = _sha256(path, stat.st_size, stat.st_mtime_ns)
    return digests


def _weights_of(fast_decoder: Path | None) -> dict[str, str]:
    if fast_decoder is None:
        return {}
    stat = fast_decoder.stat()
    digest = _sha256(fast_decoder, stat.st_size, stat.st_mtime_ns)
    return {f"{fast_decoder.relative_to(fast_decoder.parents[1])}": digest}


@cache
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    """Hash a file once and again only when it changes: 26 GB take half a minute."""
    return file_sha256(path)
