"""Finding jobs by words of their prompts.

Databases fold case differently, and some only ASCII. So a job's row has its prompt in the form in
which it is searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import normalize

import sqlalchemy as sa

from hunyuan_runner.jobs.database import jobs


def searchable(text: str) -> str:
    """The text without differences of case, or between the ways to encode the same letter."""
    folded = normalize("NFKC", normalize("NFKC", text).casefold())
    return folded.replace("\0", " ")  # which no text in Postgres may contain


def mentions(database: sa.Engine, search: str) -> Sequence[sa.ColumnElement[bool]]:
    """Whether a row of `hunyuan_jobs` has each word of `search` in its prompt, as a word or in one.

    No condition if there is no word.
    """
    # LIKE takes 7 s for 20,000 prompts of 4,000 equal letters; these take 0.3 s.
    place = sa.func.instr if database.dialect.name == "sqlite" else sa.func.strpos
    words = sorted(set(searchable(search).split()))
    return [place(jobs.c.search_text, word) > 0 for word in words]
