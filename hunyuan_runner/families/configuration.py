"""Refuses models whose configuration says something that the engine does not compute.

A model of another kind may have the same classes, as the image-to-video models do. An engine that
passed over a setting would render such a model wrongly, without an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INDEX = "model_index.json"
TRANSFORMER, QUANTIZED_TRANSFORMER = "transformer", "transformer_int8"  # folders of a model
OUR_OWN = ("quantized",)  # settings that this project adds

Configuration = Mapping[str, Any]


class UnknownModel(Exception):
    """A model that this version cannot compute; `problems` says why, by file."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{file} {problem}" for file, problem in problems.items()))
        self.problems = problems


@dataclass(frozen=True)
class Component:
    """What the configuration of a component must say.

    `kinds` are the classes, or model types, that the engine takes it for. `settings` lists every
    setting that the engine knows, with the values that it computes: None stands for any. An absent
    setting has the first of its values, unless it is in `named`. None instead of `settings` leaves
    them to the library that has the component.
    """

    kinds: Sequence[str]
    settings: Mapping[str, Sequence[object] | None] | None = None
    named: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Agreement:
    """A setting of one component that follows from a setting of another, each a pair of both."""

    setting: tuple[str, str]
    source: tuple[str, str]
    factor: int = 1
    more: int = 0


def unknown_in(
    model_dir: Path, components: Mapping[str, Component], agreements: Sequence[Agreement]
) -> dict[str, str]:
    """What is unknown or contradictory in the configurations of a model, by file.

    Files that are missing or are not JSON are left out: other checks find them.
    """
    index = _read(model_dir / INDEX) or {}
    found = {}
    for name, kind in index.items():
        if isinstance(kind, list) and None not in kind and name not in components:
            found[INDEX] = f"has the component {name}, which is unknown to this version"
    configurations = {}
    for name, component in components.items():
        if (path := configuration_file(model_dir, name)) is None:
            continue
        if (configuration := _read(path)) is None:
            continue
        configurations[name] = configuration
        for problem in _unknown_settings(configuration, component):
            found.setdefault(str(path.relative_to(model_dir)), problem)
    for file, problem in _disagreements(model_dir, configurations, agreements):
        found.setdefault(file, problem)
    return found


def configuration_file(model_dir: Path, component: str) -> Path | None:
    """The file with the configuration of a component, if there is one. That of a transformer which
    is there in int8 only is in the folder of that."""
    folder = model_dir / component
    if component == TRANSFORMER and not folder.exists():
        folder = model_dir / QUANTIZED_TRANSFORMER
    names = ("config.json", "scheduler_config.json", "guider_config.json")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _read(path: Path) -> Configuration | None:
    try:
        configuration = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return configuration if isinstance(configuration, dict) else None


def _unknown_settings(configuration: Configuration, component: Component) -> Iterator[str]:
    kind = configuration.get("_class_name", configuration.get("model_type"))
    if kind not in component.kinds:
        yield f"is for {kind}, not {' or '.join(component.kinds)}"
    settings = component.settings
    if settings is None:
        return
    for name in sorted(component.named - configuration.keys()):
        yield f"lacks {name}"
    for name, value in configuration.items():
        if name.startswith("_") or name in OUR_OWN:
            continue
        if name not in settings:
            yield f"has {name} = {_shown(value)}, a setting that is unknown to this version"
        elif (values := settings[name]) is not None and value not in values:
            known = " or ".join(map(_shown, values))
            yield f"has {name} = {_shown(value)}, but this version computes only {known}"


def _disagreements(
    model_dir: Path, configurations: Mapping[str, Configuration], agreements: Sequence[Agreement]
) -> Iterator[tuple[str, str]]:
    for agreement in agreements:
        (component, name), (source, source_name) = agreement.setting, agreement.source
        if component not in configurations or source not in configurations:
            continue
        value, base = configurations[component].get(name), configurations[source].get(source_name)
        if not isinstance(base, int) or value == base * agreement.factor + agreement.more:
            continue
        expected = base * agreement.factor + agreement.more
        path = configuration_file(model_dir, component)
        assert path is not None
        yield (
            str(path.relative_to(model_dir)),
            f"has {name} = {_shown(value)}, but with {source_name} = {base} of the {source} it "
            f"must be {expected}",
        )


def _shown(value: object) -> str:
    return json.dumps(value)
