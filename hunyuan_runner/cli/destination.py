"""Where a clip is saved. An existing file is kept unless --force is given."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import typer

from hunyuan_runner.client import Job

SLUG_LENGTH = 40


@dataclass(frozen=True)
class Destination:
    """The file given by -o, or the folder for a file named after the prompt."""

    output: Path | None
    force: bool

    @classmethod
    def checked(cls, output: Path | None, force: bool, *, with_draft: bool = False) -> Self:
        """Check, before anything is rendered, that the clip can be saved. Raises BadParameter."""
        destination = cls(output, force)
        folder = destination._folder
        if not folder.is_dir():
            raise typer.BadParameter(
                f"there is no folder {folder}; create it or choose another", param_hint="'-o'"
            )
        try:
            tempfile.TemporaryFile(dir=folder).close()
            if destination._file is not None:
                destination.require_free(destination._file)
                if with_draft:
                    destination.require_free(drafted(destination._file))
        except FileExistsError as error:
            raise typer.BadParameter(str(error), param_hint="'-o'") from error
        except OSError as error:
            problem = f"cannot write to the folder {folder}: {error.strerror}"
            raise typer.BadParameter(problem, param_hint="'-o'") from error
        return destination

    @property
    def _file(self) -> Path | None:
        if self.output is None or os.path.isdir(self.output):  # noqa: PTH112 (which never raises)
            return None
        return self.output

    @property
    def _folder(self) -> Path:
        return self._file.parent if self._file else self.output or Path()

    def path(self, job: Job) -> Path:
        """The file for the job's video."""
        return self._file or self._folder / f"{_slug(job.params.prompt)}-{job.job_id[-8:]}.mp4"

    def draft_path(self, job: Job) -> Path:
        """The file for its draft, if only the draft is downloaded: -o names the draft then."""
        return self._file or drafted(self.path(job))

    def require_free(self, path: Path) -> None:
        """Raises FileExistsError if `path` exists and must not be overwritten."""
        try:
            path.lstat()
        except FileNotFoundError:
            return
        if path.exists() and not path.is_file():
            raise FileExistsError(f"{path} is not a file")
        if not self.force:
            raise FileExistsError(f"{path} already exists; use --force to overwrite it")

    @property
    def options(self) -> str:
        """These options as they are typed on a command line."""
        given = [] if self.output is None else ["-o", str(self.output)]
        return shlex.join([*given, *(["--force"] if self.force else [])])


def drafted(path: Path) -> Path:
    """Where the draft of a clip is saved: cat-draft.mp4 for cat.mp4."""
    return path.with_stem(f"{path.stem}-draft")


def _slug(prompt: str) -> str:
    """The first words of a prompt, made safe for a file name."""
    encoding = sys.getfilesystemencoding()
    name = prompt.lower().encode(encoding, "ignore").decode(encoding)
    return re.sub(r"\W+", "-", name)[:SLUG_LENGTH].strip("-") or "clip"
