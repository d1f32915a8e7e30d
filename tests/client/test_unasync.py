"""The blocking client is what `make client` writes from the asynchronous one."""

from __future__ import annotations

import pytest

from scripts.unasync import SOURCE, TARGET, blocking

FILES = sorted(path.name for path in SOURCE.glob("*.py"))


@pytest.mark.parametrize("name", FILES)
def test_the_blocking_client_is_up_to_date(name: str) -> None:
    assert (TARGET / name).read_text() == blocking(name), "run `make client`"


def test_there_is_nothing_else_in_the_blocking_client() -> None:
    assert sorted(path.name for path in TARGET.glob("*.py")) == FILES
