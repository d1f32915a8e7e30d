"""`make client`: write the blocking client from the asynchronous one.

The rules fit this source, as httpcore's own script fits its source. A test fails if the two folders
do not match.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).parent.parent / "hunyuan_runner" / "client"
SOURCE, TARGET = CLIENT / "_async", CLIENT / "_sync"
HEADER = "# Written by `make client` from _async/{name}: edit that file.\n"

RULES = {
    # Only the asynchronous client awaits what a callback returns.
    r"shown = (.+)\n +if isawaitable\(shown\):\n +await shown": r"\1",
    r"from inspect import isawaitable\n": "",
    r"\bAsyncGenerator\[(\w+), None\]": r"Generator[\1, None, None]",
    r"\b(async|await) ": "",
    r"\bAsync(?=[A-Z])": "",
    r"\b__a(enter|exit)__\b": r"__\1__",
    r"\ba(close|closing|read|iter_bytes)\b": r"\1",
    r"\basynccontextmanager\b": "contextmanager",
    r"\basyncio\b": "time",
    r"\b_async\b": "_sync",
}


def blocking(name: str) -> str:
    """The blocking twin of a file of _async/."""
    text = (SOURCE / name).read_text()
    for pattern, replacement in RULES.items():
        text = re.sub(pattern, replacement, text)
    for step in (["check", "--select=I,F401", "--fix"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *step, "--quiet", f"--stdin-filename={TARGET / name}"]
        text = subprocess.run(
            [*ruff, "-"], input=text, capture_output=True, text=True, check=True
        ).stdout
    return HEADER.format(name=name) + text


def main() -> None:
    TARGET.mkdir(exist_ok=True)
    for source in SOURCE.glob("*.py"):
        (TARGET / source.name).write_text(blocking(source.name))


if __name__ == "__main__":
    main()
