"""Tables that never cut what people copy: ids, states and numbers are always whole.

On a narrow terminal a listing first leaves out columns, then breaks its rows. For a program it has
every column, and each row is one line, however long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from rich.cells import cell_len
from rich.containers import Lines
from rich.text import Text

GAP = "  "
LEAST_TEXT = 20  # columns that a text at the end of a row gets at least
Cell = str | Text
Fit = Literal["whole", "cut", "wrapped"]  # what is done with a text that is too long


class Listing:
    """Rows below headers. `text` says what is done with a last column that is too long."""

    def __init__(
        self,
        *headers: str,
        text: Fit = "whole",
        dispensable: Sequence[str] = (),  # headers of columns that may be left out, in this order
    ) -> None:
        self._headers = [Text(header, "bold") for header in headers]
        self._text = text
        self._dispensable = dispensable
        self._rows: list[list[Text]] = []

    def add(self, *cells: Cell) -> None:
        self._rows.append([Text(cell) if isinstance(cell, str) else cell for cell in cells])

    def lines(self, width: int | None) -> Iterator[Text]:
        """The lines at a width in columns; None: as wide as needed."""
        columns = self._columns(width)
        headers = [self._headers[column] for column in columns]
        rows = [[row[column] for column in columns] for row in self._rows]
        sizes = [
            max(cell.cell_len for cell in column) for column in zip(headers, *rows, strict=True)
        ]
        room = None if width is None else width - sum(size + len(GAP) for size in sizes[:-1])
        if room is None or room >= self._least(sizes[-1]):
            for row in (headers, *rows):
                yield from self._row(row, sizes, room)
        else:
            yield headers[0]
            for row in rows:
                yield from _broken(row, headers, width or 0, self._text)

    def _columns(self, width: int | None) -> list[int]:
        """The numbers of the columns that fit into the width."""
        names = [header.plain for header in self._headers]
        columns = list(range(len(names)))
        sizes = [
            max(cell.cell_len for cell in column)
            for column in zip(self._headers, *self._rows, strict=True)
        ]
        for name in self._dispensable if width is not None else ():
            taken = sum(sizes[column] + len(GAP) for column in columns[:-1])
            if taken + self._least(sizes[-1]) > (width or 0):
                columns.remove(names.index(name))
        return columns

    def _least(self, size: int) -> int:
        """The width that the last cell needs at least."""
        return size if self._text == "whole" else min(size, LEAST_TEXT)

    def _row(self, row: Sequence[Text], sizes: Sequence[int], room: int | None) -> Iterator[Text]:
        start = Text()
        for cell, size in zip(row[:-1], sizes[:-1], strict=True):
            start.append_text(cell).append(" " * (size - cell.cell_len) + GAP)
        first, *more = _fitted(row[-1], room, self._text)
        yield _trimmed(start + first)
        for line in more:
            yield Text(" " * start.cell_len) + line


class Facts:
    """Names and values, side by side."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, Text]] = []

    def add(self, name: str, value: Cell) -> None:
        self._rows.append((name, Text(value) if isinstance(value, str) else value))

    def lines(self, width: int | None) -> Iterator[Text]:
        indent = max((len(name) for name, _ in self._rows), default=0) + len(GAP)
        for name, value in self._rows:
            first, *more = _fitted(value, width and width - indent, "wrapped")
            yield _trimmed(Text.assemble((name.ljust(indent), "dim"), first))
            for line in more:
                yield Text(" " * indent) + line


def _broken(row: Sequence[Text], headers: Sequence[Text], width: int, text: Fit) -> Iterator[Text]:
    """A row that is too long, over several lines, its numbers with their headers."""
    line = Text()
    for number, (cell, header) in enumerate(zip(row, headers, strict=True)):
        if not cell:
            continue
        if cell.plain.replace(".", "").isdigit():
            cell = Text.assemble((f"{header.plain} ", "dim"), cell)
        least = cell.cell_len
        if number == len(row) - 1 and text != "whole":
            least = min(least, LEAST_TEXT)
        if line and line.cell_len + len(GAP) + least > width:
            yield line
            line = Text()
        line = line + Text(GAP if line or number else "") + cell
    if text == "whole" or line.cell_len <= width:
        yield line
        return
    start = len(line.plain) - len(row[-1].plain)
    first, *more = _fitted(row[-1], width - start, text)
    yield line[:start] + first
    for another in more:
        yield Text(" " * start) + another


def _fitted(text: Text, room: int | None, how: Fit) -> list[Text]:
    """The lines of a text in `room` columns. A longer word stays whole."""
    paragraphs = list(text.split(allow_blank=True)) or [text]
    if room is None or how == "whole":
        return paragraphs
    if how == "wrapped":
        return [_trimmed(line) for paragraph in paragraphs for line in _wrapped(paragraph, room)]
    short = text.copy()
    short.truncate(max(room, 1), overflow="ellipsis")
    return [short]


def _wrapped(paragraph: Text, room: int) -> Lines:
    """Break at blanks. (Rich would also break words, such as a URL to copy.)"""
    breaks: list[int] = []
    taken = 0
    for word in re.finditer(r"\S+\s*", paragraph.plain):
        if taken and taken + cell_len(word[0].rstrip()) > room:
            breaks.append(word.start())
            taken = 0
        taken += cell_len(word[0])
    return paragraph.divide(breaks)


def _trimmed(line: Text) -> Text:
    line.rstrip()
    return line
