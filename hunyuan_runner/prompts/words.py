"""The words that a model with a small vocabulary knows, such as the demo model.

The file `words.json` in its folder lists what it draws and, for each kind of scene, the words of
its training captions. Its tokenizer's vocabulary has all words that it knows.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

FILE = "words.json"
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")  # an apostrophe and what follows belong to the word


@dataclass(frozen=True)
class KnownWords:
    """The words that a model knows, and in which scenes."""

    vocabulary: frozenset[str]
    draws: Mapping[str, tuple[str, ...]]  # such as colours: red, green, …
    scenes: Mapping[str, frozenset[str]]  # by kind of scene: the words that have a meaning in it

    @classmethod
    def of(cls, model_dir: Path) -> Self | None:
        """Those of the model in this folder; None if its vocabulary is not limited."""
        path = model_dir / FILE
        return cls._read(path, path.stat().st_mtime_ns) if path.is_file() else None

    @classmethod
    @lru_cache(maxsize=4)
    def _read(cls, path: Path, _changed: int) -> Self:
        content = json.loads(path.read_text())
        tokenizer = json.loads((path.parent / "tokenizer" / "tokenizer.json").read_text())
        return cls(
            vocabulary=frozenset(tokenizer["model"]["vocab"]),
            draws={name: tuple(values) for name, values in content["draws"].items()},
            scenes={kind: frozenset(words) for kind, words in content["scenes"].items()},
        )

    def unknown(self, prompt: str) -> list[str]:
        """The words of the prompt that the model does not know, as they are written there."""
        return [word for word in _words(prompt) if _plain(word) not in self.vocabulary]

    def out_of_place(self, prompt: str) -> tuple[str, list[str]]:
        """The kind of scene that the prompt describes, and its words that belong to other kinds."""
        kinds = Counter(word for words in self.scenes.values() for word in words)
        words = [word for word in _words(prompt) if _plain(word) in kinds]

        def foreign(kind: str) -> list[str]:
            return [word for word in words if _plain(word) not in self.scenes[kind]]

        def unlikeness(kind: str) -> tuple[int, float]:
            own = self.scenes[kind].intersection(map(_plain, words))
            return len(foreign(kind)), -sum(
                1 / kinds[word] for word in own
            )  # cat counts more than blue

        kind = min(self.scenes, key=unlikeness)
        return kind, foreign(kind)

    def tokens(self, prompt: str) -> int:
        """The number of tokens in the prompt: one for each run of letters and digits."""
        return len(re.findall("[a-z0-9]+", unicodedata.normalize("NFKC", prompt).lower()))

    def __str__(self) -> str:
        return "; ".join(f"{name}: {', '.join(values)}" for name, values in self.draws.items())


def _words(prompt: str) -> list[str]:
    """The words of a prompt, each once, in order."""
    return list(dict.fromkeys(WORD.findall(unicodedata.normalize("NFKC", prompt))))


def _plain(word: str) -> str:
    return re.split("['’]", word.lower())[0]
