"""Makes the asynchronous client usable like the blocking one, so that both pass the same tests."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from hunyuan_runner.client import AsyncHunyuanClient, AsyncJobHandle


@contextmanager
def async_client(*arguments: Any, **options: Any) -> Iterator[Any]:
    """An AsyncHunyuanClient. Its methods, and those of its handles, need no await."""
    with start_blocking_portal() as portal:
        client = AsyncHunyuanClient(*arguments, **options)
        try:
            yield _Blocking(client, portal)
        finally:
            portal.call(client.aclose)


class _Blocking:
    def __init__(
        self, wrapped: AsyncHunyuanClient | AsyncJobHandle, portal: BlockingPortal
    ) -> None:
        self._wrapped = wrapped
        self._portal = portal

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._wrapped, name)
        if not callable(attribute):
            return attribute

        def call(*arguments: Any, **options: Any) -> Any:
            outcome = attribute(*arguments, **options)
            if isinstance(outcome, AsyncGenerator):
                return self._iterate(outcome)
            if inspect.iscoroutine(outcome):
                outcome = self._portal.call(_awaited, outcome)
            return self._blocking(outcome)

        return call

    def _blocking(self, outcome: Any) -> Any:
        if isinstance(outcome, AsyncJobHandle):
            return _Blocking(outcome, self._portal)
        return outcome

    def _iterate(self, iterator: AsyncGenerator[Any, None]) -> Iterator[Any]:
        end = object()
        try:
            while (item := self._portal.call(_next, iterator, end)) is not end:
                yield self._blocking(item)
        finally:
            self._portal.call(iterator.aclose)


async def _awaited(coroutine: Any) -> Any:
    return await coroutine


async def _next(iterator: AsyncGenerator[Any, None], end: object) -> Any:
    return await anext(iterator, end)
