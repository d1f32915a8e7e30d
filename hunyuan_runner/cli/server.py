"""What commands need that run or prepare a server: its extra packages and its settings."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import typer
from pydantic import ValidationError

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


def server_settings() -> Settings:
    """The settings in the environment. Ends the command if one is wrong, naming each."""
    require_extra("server")
    from hunyuan_runner.settings import get_settings  # which needs a package of that extra

    try:
        return get_settings()
    except ValidationError as error:
        for problem in error.errors():
            message = problem["msg"].removeprefix("Value error, ")
            complain(f"HUNYUAN_{str(problem['loc'][0]).upper()}: {message}")
        raise typer.Exit(EXIT_REFUSED) from error
