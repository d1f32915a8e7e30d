"""What a computation takes on a machine that others disturb: its operations at their fastest."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar

from torch.utils._python_dispatch import TorchDispatchMode

Made = TypeVar("Made")


class Fastest:
    """A computation that is run again and again, always with the same operations of torch.

    A neighbour on the same cores, which comes and goes within seconds, makes operations slower,
    never faster. So the sum of the fastest that each operation was in any run comes close to what
    an undisturbed machine takes, once each has met a quiet moment.
    """

    def __init__(self) -> None:
        self._fastest: list[float] | None = None

    def run(self, work: Callable[[], Made]) -> Made:
        """Work once more. Raises ValueError if it has another number of operations this time."""
        with _Clock() as clock:
            made = work()
            clock.ends.append(time.perf_counter())
        taken = [end - start for start, end in pairwise(clock.ends)]
        before = self._fastest or taken
        self._fastest = [min(pair) for pair in zip(before, taken, strict=True)]
        return made

    @property
    def seconds(self) -> float:
        """The sum. 0 before the first run."""
        return sum(self._fastest or ())


class _Clock(TorchDispatchMode):
    """Notes when each operation ended. What is none, as our kernels, counts with the next."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ends = [time.perf_counter()]

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = operation(*args, **(kwargs or {}))
        self.ends.append(time.perf_counter())
        return made
