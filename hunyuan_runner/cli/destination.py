"""Where a clip goes on this machine. What is there already stays, unless --force is given."""

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
    """The file of -o, or the folder for a file that is named after the prompt."""

    output: Path | None
    force: bool

    @classmethod
    def checked(cls, output: Path | None, force: bool, *, with_draft: bool = False) -> Self:
        """Raises BadParameter where the clip could not be written, before anything is rendered."""
        destination = cls(output, force)
        folder = destination._folder
        if not folder.is_dir():
            raise typer.BadParameter(f"there is no folder {folder}", param_hint="'-o'")
        try:
            tempfile.TemporaryFile(dir=folder).close()
            if destination._file is not None:
                destination.require_free(destination._file)
                if with_draft:
                    destination.require_free(drafted(destination._file))
        except FileExistsError as error:
            raise typer.BadParameter(str(error), param_hint="'-o'") from error
        except OSError as error:
            problem = f"nothing can be written to the folder {folder}: {error.strerror}"
            raise typer.BadParameter(problem, param_hint="'-o'") from error
        return destination

    @property
    def _file(self) -> Path | None:
        if self.output is None or os.path.isdir(self.output):  # noqa: PTH112 (which raises nothing)
            return None
        return self.output

    @property
    def _folder(self) -> Path:
        return self._file.parent if self._file else self.output or Path()

    def path(self, job: Job) -> Path:
        """The file of the job's video."""
        return self._file or self._folder / f"{_slug(job.params.prompt)}-{job.job_id[-8:]}.mp4"

    def draft_path(self, job: Job) -> Path:
        """The file of its draft: that of -o, as somebody asks for nothing else."""
        return self._file or drafted(self.path(job))

    def require_free(self, path: Path) -> None:
        """Raises FileExistsError where something is there that is not to be overwritten."""
        try:
            path.lstat()
        except FileNotFoundError:
            return
        if path.exists() and not path.is_file():
            raise FileExistsError(f"{path} is not a file")
        if not self.force:
            raise FileExistsError(f"{path} exists already; --force overwrites it")

    @property
    def options(self) -> str:
        """As they are typed, to go on later."""
        given = [] if self.output is None else ["-o", str(self.output)]
        return shlex.join([*given, *(["--force"] if self.force else [])])


def drafted(path: Path) -> Path:
    """Where the draft of a clip goes that goes to `path`: cat.mp4's is cat-draft.mp4."""
    return path.with_stem(f"{path.stem}-draft")


def _slug(prompt: str) -> str:
    """The first words of a prompt, as they can be in a file's name."""
    encoding = sys.getfilesystemencoding()
    name = prompt.lower().encode(encoding, "ignore").decode(encoding)
    return re.sub(r"\W+", "-", name)[:SLUG_LENGTH].strip("-") or "clip"
