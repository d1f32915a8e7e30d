"""Warns of what a model would leave out of a prompt, before the clip is queued."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.families.family import TextReader, most_tokens
from hunyuan_runner.params import GenerationParams
from hunyuan_runner.prompts.reader import Reader
from hunyuan_runner.prompts.words import KnownWords
from hunyuan_runner.wire import ClipWarning

QUOTED_WORDS, QUOTED_LETTERS = (
    8,
    30,
)  # how many unknown words a warning quotes, and how much of each
QUOTED_BEGINNING, QUOTED_END = 120, 60  # characters of the part that is cut off


class PromptCheck:
    """Checks prompts against the model that would read them. Thread-safe."""

    def __init__(self) -> None:
        self._reader = Reader()

    def warnings(self, params: GenerationParams, model_dir: Path) -> list[ClipWarning]:
        """Warnings for the parts of the clip's prompts that the model in this folder leaves out."""
        family = MODELS[params.model].family
        readers = {reader.name: reader for reader in family.readers}
        enough_tokens = min((reader.enough_tokens for reader in family.readers), default=math.inf)
        prompts = {"prompt": params.prompt}
        if negative := family.negative_prompt(params):
            prompts["negative_prompt"] = negative
        known = KnownWords.of(model_dir)
        found: list[ClipWarning] = []
        for field, prompt in prompts.items():
            if known is not None:
                found += _unknown(field, prompt, params.model, known)
            tokens = known.tokens(prompt) if known is not None else most_tokens(prompt)
            if tokens >= enough_tokens:
                unread = self._reader.unread(model_dir, prompt)
                found += (_cut(field, readers[name], words) for name, words in unread.items())
        return found

    def close(self) -> None:
        self._reader.close()


def _unknown(field: str, prompt: str, model: str, known: KnownWords) -> Iterator[ClipWarning]:
    if unknown := known.unknown(prompt):
        yield ClipWarning(
            code="unknown_words",
            message=f"{field}: the model {model} ignores words that it does not know: "
            f"{_quoted(unknown)}. It knows {known}.",
        )
    kind, foreign = known.out_of_place(prompt)
    if foreign:
        yield ClipWarning(
            code="unknown_words",
            message=f"{field}: the model {model} cannot draw {_quoted(foreign)} together with "
            f"“{kind}”, and may ignore it. Ask for one thing at a time.",
        )


def _cut(field: str, reader: TextReader, words: str) -> ClipWarning:
    words = " ".join(words.split())
    if len(words) > QUOTED_BEGINNING + QUOTED_END:
        beginning, end = words[:QUOTED_BEGINNING], words[-QUOTED_END:]
        whole = beginning.rpartition(" ")[0] or beginning, end.partition(" ")[2] or end
        words = " … ".join(whole)
    return ClipWarning(
        code="prompt_cut",
        message=f"{field} is longer than {reader}, so “{words}” is cut off; shorten it.",
    )


def _quoted(words: Sequence[str]) -> str:
    """The words as in: “dog”, “zebra” and 3 more."""
    quoted = [f"“{word[:QUOTED_LETTERS]}{'…' * (len(word) > QUOTED_LETTERS)}”" for word in words]
    more = len(quoted) - QUOTED_WORDS
    return ", ".join(quoted[:QUOTED_WORDS]) + (f" and {more} more" if more > 0 else "")
