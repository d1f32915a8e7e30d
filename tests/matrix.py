"""What tests/test_models.py proves of each model: the table in docs/models.md is made of this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar, cast

from hunyuan_runner.catalogue import MODELS

# The columns, and what the page says of each.
CHECKS: Mapping[str, str] = {
    "found": "`hunyuan models list` finds its folder in `HUNYUAN_MODELS_DIR`, under the layout and "
    "file names of its repository, and every setting of its configurations is known",
    "verified": "`hunyuan models verify` passes it, and names each file of weights in which one "
    "byte was changed",
    "loaded": "every component is loaded, no weight is missing or left over",
    "rendered": "the engine's process renders a clip with all stages, previews and tiles",
    "resumed": "the engine is killed with SIGKILL after a step; the resumed clip is bit for bit "
    "that of an undisturbed run, and so is one that went on after a draft",
    "int8": "its int8 form is written, found intact and loaded alone; it renders the bits of the "
    "int8 that is made while loading, resumed or not, at 30 dB or more of the fp32 clip",
    "memory": "the engine's process peaks at no more than the quote for these sizes",
}

# Measured at full size with random weights by bench.full_model; the page has the figures.
FULL_SIZE: Mapping[tuple[str, str], str] = {
    (model, check): "full-model.md"
    for model in ("hunyuanvideo", "fasthunyuan", "hunyuanvideo15-4step")
    for check in ("loaded", "rendered", "int8")
}

PROVEN: set[tuple[str, str]] = set()  # checks and models, by tests that passed in this process

Test = TypeVar("Test", bound=Callable[..., None])


def proves(check: str) -> Callable[[Test], Test]:
    """A test, with a parameter `model`, that proves a check if it passes."""
    assert check in CHECKS

    def decorate(test: Test) -> Test:
        @wraps(test)
        def run(**arguments: Any) -> None:
            test(**arguments)
            PROVEN.add((check, arguments["model"].id))

        return cast(Test, run)

    return decorate


def where(check: str, model: str) -> str:
    """Where a check of a model is proven, as the table says it."""
    place = "itself" if MODELS[model].repo is None else "double"
    page = FULL_SIZE.get((model, check))
    return f"{place}, [full size]({page})" if page else place
