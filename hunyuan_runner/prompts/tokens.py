"""The tokens that the text encoders read for a prompt.

This uses only `tokenizers`, not torch or transformers. Loading the Llama tokenizer of a real model
takes a second, during which the interpreter is blocked, and 100 MB.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from tokenizers import Encoding, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from hunyuan_runner.families.family import TextReader, most_tokens

FILES = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer.model", "added_tokens.json")
CONFIGS = ("tokenizer_config.json", "special_tokens_map.json")

# How CLIP splits text, for older packages, which have a vocabulary but no tokenizer.json.
CLIP_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
LONG_WORD = 32  # characters; anything longer is no word, or in a language without spaces
CLIP_BEGIN, CLIP_END = "<|startoftext|>", "<|endoftext|>"


class TokenizerUnusable(Exception):
    """A tokenizer that would not pass the prompt on to its text encoder correctly."""

    def __init__(self, part: str, problem: str) -> None:
        super().__init__(f"{part} {problem}")
        self.part = part
        self.problem = problem


def open_tokenizer(folder: Path) -> Tokenizer:
    """Open the tokenizer in this folder. Raises TokenizerUnusable."""
    try:
        if (folder / "tokenizer.json").is_file():
            return _untruncated(Tokenizer.from_file(str(folder / "tokenizer.json")))
        return _clip_of_an_older_package(folder)
    except Exception as error:  # the library raises nothing narrower
        raise TokenizerUnusable(folder.name, f"holds no tokenizer: {error}") from error


def require_usable(reader: TextReader, tokenizer: Tokenizer) -> None:
    """Raises TokenizerUnusable unless cropping the template leaves exactly the prompt, and the
    tokenizer distinguishes two words from the same words without a space."""
    prompt = "a cat walks"
    tokenizer = _untruncated(tokenizer)
    if reader.template is not None:
        _require_crop(reader, reader.template, tokenizer, prompt)
    if tokenizer.encode(prompt).ids == tokenizer.encode(prompt.replace(" ", "")).ids:
        raise TokenizerUnusable(reader.folder, "loses the spaces between words")


def _require_crop(reader: TextReader, template: str, tokenizer: Tokenizer, prompt: str) -> None:
    start = template.index("{}")
    tokens = tokenizer.encode(template.format(prompt))
    first = next((i for i, (_, end) in enumerate(tokens.offsets) if end > start), len(tokens))
    if first != reader.crop_start:
        raise TokenizerUnusable(
            reader.folder,
            f"makes {first} tokens of the text before the prompt, but {reader.crop_start} are "
            "cropped; the model was trained with another tokenizer",
        )
    if tokens.offsets[first][0] < start:
        raise TokenizerUnusable(reader.folder, "joins the prompt to the text before it")


def reading(model_dir: Path, reader: TextReader) -> Callable[[str], list[int]]:
    """What makes of a prompt the tokens, with its template, that the text encoder gets.

    Raises TokenizerUnusable.
    """
    tokenizer = open_tokenizer(model_dir / reader.folder)
    require_usable(reader, tokenizer)
    template, limit = reader.template or "{}", (reader.crop_start or 0) + reader.tokens

    def read(prompt: str) -> list[int]:
        ids: list[int] = tokenizer.encode(template.format(prompt), add_special_tokens=False).ids
        return ids[:limit]

    return read


def _untruncated(tokenizer: Tokenizer) -> Tokenizer:
    """Remove the padding and truncation that the file was saved with."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def encoding_digest(model_dir: Path, readers: Sequence[TextReader]) -> str:
    """A digest of all that decides how prompts become tokens: the files of the tokenizers, the
    template, and what is cropped. A cached encoding is valid only with the same digest."""
    made_of = [setting for reader in readers for setting in reader.settings]
    digest = hashlib.sha256(json.dumps(made_of).encode())
    for reader in readers:
        for name in (*FILES, *CONFIGS):
            path = model_dir / reader.folder / name
            if path.is_file():
                digest.update(f"{reader.folder}/{name}\0{path.stat().st_size}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def unread(model_dir: Path, readers: Sequence[TextReader], prompt: str) -> dict[str, str]:
    """The end of `prompt` that a text encoder does not read, by the encoder's name.

    Encoders that read the whole prompt are left out. Raises TokenizerUnusable.
    """
    found = {}
    for reader in readers:
        if most_tokens(prompt) < reader.enough_tokens:
            continue
        if reader.quoted is not None:
            found[reader.name] = _unread_bytes(reader, reader.quoted, prompt)
        else:
            template = reader.template or "{}"
            limit = (reader.crop_start or 0) + reader.tokens
            end = _unread(_opened(model_dir / reader.folder), template.format(prompt), limit)
            found[reader.name] = prompt[max(0, end - template.index("{}")) :]
    return {name: words for name, words in found.items() if words}


def quoted_text(pattern: re.Pattern[str], prompt: str) -> str | None:
    """What a ByT5 encoder reads for a prompt: its quoted texts, each once. None if it has none."""
    quotes = dict.fromkeys("".join(groups) for groups in pattern.findall(prompt))
    return "".join(f'Text "{text}". ' for text in quotes) or None


def _unread_bytes(reader: TextReader, pattern: re.Pattern[str], prompt: str) -> str:
    """The end of the quoted text that does not fit; the last token marks the end."""
    text = quoted_text(pattern, prompt) or ""
    unread = text.encode()[reader.tokens - 1 :].decode(errors="ignore")
    return unread.removesuffix('". ').strip()


def _opened(folder: Path) -> Tokenizer:
    changed = max((path.stat().st_mtime_ns for path in folder.glob("*")), default=0)
    return _opened_as_it_was(folder, changed)


@lru_cache(maxsize=4)
def _opened_as_it_was(folder: Path, _changed: int) -> Tokenizer:
    return open_tokenizer(folder)


def _unread(tokenizer: Tokenizer, text: str, limit: int) -> int:
    """Where the unread rest of `text` begins after `limit` tokens: at the start of a word."""
    added = tokenizer.num_special_tokens_to_add(is_pair=False)
    tokens: Encoding = tokenizer.encode(text, add_special_tokens=False)
    if len(tokens) + added <= limit:
        return len(text)
    unread: int = tokens.offsets[limit - added][0]
    word = re.split(r"\s", text[:unread])[-1] if text[unread].isalnum() else ""
    return unread - len(word) if len(word) < LONG_WORD else unread


def _clip_of_an_older_package(folder: Path) -> Tokenizer:
    vocabulary, merges = models.BPE.read_file(
        str(folder / "vocab.json"), str(folder / "merges.txt")
    )
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token=CLIP_END, end_of_word_suffix="</w>")
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    begin, end = ((token, vocabulary[token]) for token in (CLIP_BEGIN, CLIP_END))
    tokenizer.post_processor = processors.RobertaProcessing(end, begin, False, False)
    return tokenizer
