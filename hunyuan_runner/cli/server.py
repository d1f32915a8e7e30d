"""What commands need that run or prepare a server: its extra packages and its settings."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hunyuan_runner import __version__
from hunyuan_runner.cli.connection import EXIT_REFUSED, complain

if TYPE_CHECKING:
    from hunyuan_runner.settings import Settings

# The packages of each extra that commands look for. The extras are all or nothing: pip installs
# the others with them.
PACKAGES = {"server": ("bentoml", "torch"), "media": ("imageio_ffmpeg", "numpy")}


def require_extra(extra: Literal["server", "media"]) -> None:
    """End the command with the pip command to run, unless the extra is installed."""
    missing = [package for package in PACKAGES[extra] if find_spec(package) is None]
    if missing:
        wheel = f"hunyuan_runner-{__version__}-py3-none-any.whl"
        complain(
            f"this command needs {' and '.join(missing)}. Install the extra packages: "
            f"pip install '{wheel}[{extra}]'"
        )
        raise typer.Exit(EXIT_REFUSED)


def settings_or_problems() -> tuple[Settings | None, Sequence[str]]:
    """The settings in the environment; or None, and what is wrong with each that is wrong."""
    from hunyuan_runner.settings import get_settings  # which needs a package of the server

    try:
        return get_settings(), ()
    except ValidationError as error:
        return None, [_problem(each) for each in error.errors()]


def _problem(error: ErrorDetails) -> str:
    message = error["msg"].removeprefix("Value error, ")
    return f"HUNYUAN_{str(error['loc'][0]).upper()}: {message}"


def server_settings() -> Settings:
    """The settings in the environment. Ends the command if one is wrong, naming each."""
    require_extra("server")
    settings, problems = settings_or_problems()
    for problem in problems:
        complain(problem)
    if settings is None:
        raise typer.Exit(EXIT_REFUSED)
    return settings
