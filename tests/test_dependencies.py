"""What the package imports is what pyproject.toml declares and the lock files pin."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
DISTRIBUTIONS = packages_distributions()
ONLY_FOR_TYPES = {"_typeshed"}
# Several packages share this name; the first match counts.
NAMESPACE = "opentelemetry"
IN_NAMESPACE = {
    "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "opentelemetry": "opentelemetry-api",
}
# Other packages load these: transformers and diffusers, and SQLAlchemy.
NOT_IMPORTED_HERE = {"accelerate", "psycopg"}


def declared(*extras: str) -> set[str]:
    """The packages that an installation with these extras asks for."""
    lines = [*PROJECT["project"]["dependencies"], *(one for e in extras for one in EXTRAS[e])]
    names: set[str] = {canonicalize_name(Requirement(line).name) for line in lines}
    return names - {PROJECT["project"]["name"]}


def imported(statements: Iterator[ast.AST]) -> set[str]:
    """The full names of the modules that these import."""
    names: set[str] = set()
    for statement in statements:
        match statement:
            case ast.Import(names=aliases):
                names |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=str(module), names=aliases):
                names |= {module, *(f"{module}.{alias.name}" for alias in aliases)}
    return names


def at_the_top(file: Path) -> Iterator[ast.AST]:
    """The statements that run when the file is imported."""
    pending: list[ast.AST] = [ast.parse(file.read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        pending += ast.iter_child_nodes(node)


def loaded_with(*modules: str) -> set[str]:
    """The full names of all modules that are imported when these modules of ours are."""
    names: set[str] = set()
    pending = set(modules)
    while pending:
        name = pending.pop()
        names.add(name)
        base = ROOT / name.replace(".", "/")
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            if name.startswith("hunyuan_runner") and file.exists():
                pending |= imported(at_the_top(file)) - names
    return names


def packages_of(names: set[str]) -> set[str]:
    """The installed packages that hold these modules, but for ours and the standard library."""
    tops = {name.partition(".")[0] for name in names}
    tops -= {"hunyuan_runner", *sys.stdlib_module_names, *ONLY_FOR_TYPES, NAMESPACE}
    shared = {name for name in names if name.startswith(f"{NAMESPACE}.")}
    return {canonicalize_name(DISTRIBUTIONS[top][0]) for top in tops} | {
        next(package for start, package in IN_NAMESPACE.items() if name.startswith(start))
        for name in shared
    }


def test_everything_that_is_imported_is_declared_and_the_other_way_round() -> None:
    files = [*(ROOT / "hunyuan_runner").rglob("*.py"), ROOT / "service.py"]
    files.append(ROOT / "download_models.py")
    names = set[str]().union(*(imported(ast.walk(ast.parse(f.read_text()))) for f in files))
    assert packages_of(names) == declared(*EXTRAS) - NOT_IMPORTED_HERE


@pytest.mark.parametrize(
    ("modules", "extras"),
    [
        (("hunyuan_runner.client", "hunyuan_runner.cli", "hunyuan_runner.__main__"), ()),
        (("hunyuan_runner.media",), ("media",)),
    ],
    ids=["client and command", "media"],
)
def test_what_works_without_the_server_imports_nothing_of_it(
    modules: tuple[str, ...], extras: tuple[str, ...]
) -> None:
    packages = packages_of(loaded_with(*modules))
    assert packages
    assert packages <= declared(*extras)


@pytest.mark.parametrize(
    ("file", "requirements"),
    [
        ("requirements.lock", [*PROJECT["project"]["dependencies"], *chain(*EXTRAS.values())]),
        ("requirements-dev.lock", PROJECT["dependency-groups"]["dev"]),
    ],
    ids=["requirements.lock", "requirements-dev.lock"],
)
def test_the_locks_pin_what_is_declared(file: str, requirements: list[str]) -> None:
    lines = (ROOT / file).read_text() + (ROOT / "requirements-torch.txt").read_text()
    pinned = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lines, re.MULTILINE))
    for requirement in map(Requirement, requirements):
        if requirement.name != PROJECT["project"]["name"]:
            version = pinned[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version, prereleases=True), requirement


@pytest.mark.parametrize("file", ["requirements.lock", "requirements-dev.lock"])
def test_the_locks_hash_every_package_and_name_no_host_and_no_cuda(file: str) -> None:
    text = (ROOT / file).read_text()
    assert "://" not in text
    assert not re.search(r"^(nvidia-cu|cuda|triton)", text, re.MULTILINE)
    for entry in re.split(r"\n(?=\w)", text):
        assert "--hash=sha256:" in entry


def test_the_versions_of_python_are_the_same_everywhere() -> None:
    versions = [
        classifier.rpartition(" ")[2]
        for classifier in PROJECT["project"]["classifiers"]
        if classifier.startswith("Programming Language :: Python :: 3")
    ]
    first, last = versions[0], versions[-1]
    assert PROJECT["project"]["requires-python"] == f">={first}"
    assert f"Python {first} to {last}" in (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    assert f"--python-version {first}" in makefile
    assert f"Python {first} or newer is needed" in makefile
