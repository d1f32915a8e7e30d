"""The words of a model that knows few of them, such as the demo model.

Its folder holds, in `words.json`, what it draws, and for each kind of scene the words that its
training captions used. All words that it knows are in its tokenizer's vocabulary.
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
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")  # what follows an apostrophe belongs to it


@dataclass(frozen=True)
class KnownWords:
    """What a model makes of words."""

    vocabulary: frozenset[str]
    draws: Mapping[str, tuple[str, ...]]  # such as colours: red, green, …
    scenes: Mapping[str, frozenset[str]]  # by kind: the words that mean something in it

    @classmethod
    def of(cls, model_dir: Path) -> Self | None:
        """Of the model in this folder; None if it is no model of few words."""
        path = model_dir / FILE
        return cls._read(path, path.stat().st_mtime_ns) if path.is_file() else None

    @classmethod
    @lru_cache(maxsize=4)
    def _read(cls, path: Path, _changed: int) -> Self:
        told = json.loads(path.read_text())
        tokenizer = json.loads((path.parent / "tokenizer" / "tokenizer.json").read_text())
        return cls(
            vocabulary=frozenset(tokenizer["model"]["vocab"]),
            draws={name: tuple(values) for name, values in told["draws"].items()},
            scenes={kind: frozenset(words) for kind, words in told["scenes"].items()},
        )

    def unknown(self, prompt: str) -> list[str]:
        """Words of the prompt that mean nothing to the model, as they stand there."""
        return [word for word in _words(prompt) if _plain(word) not in self.vocabulary]

    def out_of_place(self, prompt: str) -> tuple[str, list[str]]:
        """The kind of scene that the prompt is about, and the words in it that are of others."""
        kinds = Counter(word for words in self.scenes.values() for word in words)
        words = [word for word in _words(prompt) if _plain(word) in kinds]

        def foreign(kind: str) -> list[str]:
            return [word for word in words if _plain(word) not in self.scenes[kind]]

        def unlikeness(kind: str) -> tuple[int, float]:
            own = self.scenes[kind].intersection(map(_plain, words))
            return len(foreign(kind)), -sum(1 / kinds[word] for word in own)  # cat, more than blue

        kind = min(self.scenes, key=unlikeness)
        return kind, foreign(kind)

    def tokens(self, prompt: str) -> int:
        """How many of them the prompt is: one for each word, or piece of a foreign one."""
        return len(re.findall("[a-z0-9]+", unicodedata.normalize("NFKC", prompt).lower()))

    def __str__(self) -> str:
        return "; ".join(f"{name}: {', '.join(values)}" for name, values in self.draws.items())


def _words(prompt: str) -> list[str]:
    """Each once, in order."""
    return list(dict.fromkeys(WORD.findall(unicodedata.normalize("NFKC", prompt))))


def _plain(word: str) -> str:
    return re.split("['’]", word.lower())[0]
