"""Both Python clients, which the same tests use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from hunyuan_runner.client import HunyuanClient, patience
from tests.blocking import async_client
from tests.conftest import Service

# Makes a blocking client, or an asynchronous one that can be used like it.
Clients = Callable[..., AbstractContextManager[Any]]
View = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session", params=[HunyuanClient, async_client], ids=["blocking", "async"])
def clients(request: pytest.FixtureRequest) -> Clients:
    made: Clients = request.param
    return made


@pytest.fixture(scope="session")
def hunyuan(clients: Clients, service: Service) -> Iterator[Any]:
    with clients(service.url) as client:
        yield client


@pytest.fixture(scope="session")
def view(service: Service, clip: dict[str, Any]) -> View:
    """The service's JSON of a job, with some fields changed."""
    return lambda **fields: clip | fields


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)


hasty = pytest.mark.usefixtures("_hasty")
