"""Prose that users read avoids a few words that made it hard to read: "behind" for "after" etc."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from docs.tables import openapi
from hunyuan_runner.cli import commands
from tests.conftest import ROOT

AVOIDED = re.compile(r"\b(?:told|tells|shall|whoever|behind(?! a proxy))\b", re.IGNORECASE)
PAGES = ("*.md", "docs/*.md", "demo_model/*.md")


def prose() -> Iterator[tuple[str, str]]:
    """Every page, the help of every command, and the OpenAPI document."""
    for page in sorted({page for pattern in PAGES for page in ROOT.glob(pattern)}):
        yield str(page.relative_to(ROOT)), page.read_text()
    yield from help_of(typer.main.get_command(commands), "hunyuan")
    yield "openapi.json", json.dumps(openapi(), ensure_ascii=False)


def help_of(command: Any, name: str) -> Iterator[tuple[str, str]]:
    yield f"{name} --help", command.get_help(command.context_class(command))
    for each in getattr(command, "commands", {}).values():
        yield from help_of(each, f"{name} {each.name}")


PROSE = list(prose())


@pytest.mark.parametrize(("place", "text"), PROSE, ids=[place for place, _ in PROSE])
def test_prose_avoids_words_that_made_it_hard_to_read(place: str, text: str) -> None:
    assert AVOIDED.findall(text) == [], place
