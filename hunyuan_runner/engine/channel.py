"""The parent's end of the pipe to the engine's child, which may hang in the middle of a message."""

from __future__ import annotations

import queue
import threading
from multiprocessing.connection import Connection

from hunyuan_runner.engine.messages import Generate, Halt, Report


class Closed(Exception):
    """The other end of the pipe is closed: the child has ended."""


class Channel:
    """Sends and receives without ever waiting for the child: threads of its own do.

    They end when the child does. One that cannot be killed, as it waits for a dead disk, keeps
    them, which ends no later than this process.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._outbox: queue.SimpleQueue[Generate | Halt | None] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[Report | Closed] = queue.SimpleQueue()
        self._wanted = threading.Semaphore(0)
        self._is_reading = False
        for work in (self._write, self._read):
            threading.Thread(target=work, name="engine-channel", daemon=True).start()

    def send(self, message: Generate | Halt) -> None:
        self._outbox.put(message)

    def receive(self, timeout: float) -> Report | None:
        """The next report, or None after `timeout` seconds without one. Raises Closed.

        What is not asked for stays with the child, which cannot run ahead of its parent.
        """
        if not self._is_reading:
            self._is_reading = True
            self._wanted.release()
        try:
            report = self._inbox.get(timeout=timeout)
        except queue.Empty:
            return None
        self._is_reading = False
        if isinstance(report, Closed):
            raise report
        return report

    def close(self) -> None:
        """Once the child has ended: let the threads end, with which the pipe is closed."""
        self._outbox.put(None)
        self._wanted.release()

    def _write(self) -> None:
        while (message := self._outbox.get()) is not None:
            try:
                self._connection.send(message)
            except OSError:  # as receive() finds out
                return

    def _read(self) -> None:
        while True:
            self._wanted.acquire()
            try:
                self._inbox.put(self._connection.recv())
            except (EOFError, OSError):
                self._inbox.put(Closed())
                return
