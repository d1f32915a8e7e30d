"""Who may import whom: the plan of the house, and the rules that the code keeps.

A room is a folder or a single file of `hunyuan_runner/`. Every import counts, also one inside a
function or under TYPE_CHECKING: a reader has to follow it all the same.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = "hunyuan_runner"

# From the top floor down: each room, and the rooms below it that it may import.
ROOMS = {
    "__main__": "cli",
    "service": "studio api jobs engine machine storage tracing logs settings params",
    "studio": "api models jobs prompts quoting manifest machine storage settings catalogue wire"
    " params",
    "api": "jobs downloads prompts quoting manifest machine storage tracing logs settings"
    " api_keys catalogue wire params network",
    "cli": "client models jobs downloads quoting manifest machine storage settings api_keys"
    " catalogue wire params media families",
    "client": "manifest wire params network",
    "models": "engine prompts weights catalogue families",
    "downloads": "settings weights catalogue",
    "jobs": "engine quoting manifest machine storage tracing logs settings catalogue wire params"
    " media frame_file network",
    "engine": "prompts quoting machine logs settings weights catalogue params families",
    "prompts": "wire params catalogue families",
    "quoting": "machine settings catalogue wire params families",
    "manifest": "machine weights catalogue wire params",
    "machine": "settings",
    "storage": "settings",
    "tracing": "settings",
    "logs": "settings",
    "settings": "api_keys",
    "api_keys": "",
    "weights": "families",
    "wire": "params catalogue schedule",
    "params": "catalogue families schedule",
    "catalogue": "families schedule",
    "families": "",
    "schedule": "",
    "media": "frame_file",
    "frame_file": "",
    "network": "",
}

# The rooms that may use a library. One that is not listed may be used anywhere.
LIBRARIES = {
    "bentoml": "service",
    "fastapi": "api studio",
    "jinja2": "studio",
    "starlette": "api studio service",
    "uvicorn": "api service",
    "sqlalchemy": "jobs",
    "torch": "engine",
    "diffusers": "engine",
    "transformers": "engine",
    "safetensors": "engine models",
    "tokenizers": "prompts",
    "obstore": "storage",
    "opentelemetry": "tracing",
    "typer": "cli",
    "rich": "cli",
}


@cache
def imports() -> dict[str, set[str]]:
    """The modules of the package, and what each imports by its full name."""
    folder = ROOT / PACKAGE
    files = {module_of(file.relative_to(ROOT)): file for file in folder.rglob("*.py")}
    return {
        module: {
            name if name in files else name.rpartition(".")[0]
            for node in ast.walk(ast.parse(file.read_text()))
            for name in names_in(node)
        }
        for module, file in files.items()
    }


def module_of(file: Path) -> str:
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def names_in(node: ast.AST) -> Iterator[str]:
    """What a statement imports: `a.b.c` for `from a.b import c`, whatever c is."""
    match node:
        case ast.Import(names=names):
            yield from (f"{name.name}." for name in names)
        case ast.ImportFrom(module=str(module), names=names):
            yield from (f"{module}.{name.name}" for name in names)


def room_of(module: str) -> str:
    """The folder or file of the package that a module is in; PACKAGE for its __init__."""
    return module.split(".")[1] if "." in module else module


def test_a_room_imports_only_those_that_the_table_allows() -> None:
    for module, names in imports().items():
        room = room_of(module)
        for name in names & imports().keys() - {PACKAGE}:
            assert room_of(name) in {room, *ROOMS[room].split()}, f"{module} imports {name}"


def test_the_table_names_every_room_above_those_it_imports() -> None:
    order = list(ROOMS)
    assert set(order) == {room_of(module) for module in imports()} - {PACKAGE}
    for room, imported in ROOMS.items():
        for each in imported.split():
            assert order.index(room) < order.index(each), f"{room} imports upwards"


def test_the_architecture_page_lists_the_rooms_in_the_order_of_the_table() -> None:
    _, tree = (ROOT / "ARCHITECTURE.md").read_text().split("\nhunyuan_runner/\n")
    listed = re.findall(r"^  (\w+)[./]", tree.partition("\ndemo_model/")[0], re.MULTILINE)
    assert ["__main__", *listed] == [*ROOMS, "bundled"]  # which holds no code


def test_no_file_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_imported_only_in_its_rooms(library: str) -> None:
    used = {module for module, names in imports().items() if library in map(top_of, names)}
    assert used
    assert {room_of(module) for module in used} <= set(LIBRARIES[library].split())


def top_of(name: str) -> str:
    return name.partition(".")[0]
