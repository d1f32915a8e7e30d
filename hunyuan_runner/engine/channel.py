"""The parent's end of the pipe to the child process, which may hang in the middle of a message."""

from __future__ import annotations

import queue
import threading
from multiprocessing.connection import Connection

from hunyuan_runner.engine.messages import Generate, Halt, Report


class Closed(Exception):
    """The other end of the pipe is closed: the child has ended."""


class Channel:
    """Sends and receives in threads of its own, so that the caller never waits for the child.

    The threads end when the child does. If it cannot be killed, because it waits for a dead disk,
    they end with this process.
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

        A report is read only when it is asked for, so the child cannot run ahead of its parent.
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
        """Let the threads end, and close the pipe. Call it after the child has ended."""
        self._outbox.put(None)
        self._wanted.release()

    def _write(self) -> None:
        while (message := self._outbox.get()) is not None:
            try:
                self._connection.send(message)
            except OSError:  # receive() finds out as well
                return

    def _read(self) -> None:
        while True:
            self._wanted.acquire()
            try:
                self._inbox.put(self._connection.recv())
            except (EOFError, OSError):
                self._inbox.put(Closed())
                return
