"""A child process that reads prompts as the text encoders do, and reports what they would cut off.

Loading a real model's tokenizer blocks the interpreter for a second and takes 100 MB. In the
service's own process, no other request would be answered during that second.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from hunyuan_runner.catalogue import family_in
from hunyuan_runner.families.configuration import UnknownModel

IDLE_SECONDS = 600  # without a prompt, the process ends; the next prompt starts another
ANSWER_SECONDS = 30  # to wait for an answer
NICENESS = 5

logger = logging.getLogger(__name__)


class Reader:
    """The parent's side of the process, which starts with the first prompt. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def unread(self, model_dir: Path, prompt: str) -> dict[str, str]:
        """What tokens.unread() finds; nothing if the model has no usable tokenizers."""
        with self._lock:
            for _ in range(2):  # the process may just have ended because it was idle
                try:
                    return self._ask(model_dir, prompt)
                except (EOFError, OSError) as error:
                    self._end()
                    reason = error
            logger.warning("the length of prompts is not checked: %s", repr(reason))
            return {}

    def close(self) -> None:
        with self._lock:
            self._end()

    def _ask(self, model_dir: Path, prompt: str) -> dict[str, str]:
        if self._connection is None:
            self._start()
        assert self._connection is not None
        self._connection.send((model_dir, prompt))
        if not self._connection.poll(ANSWER_SECONDS):
            raise TimeoutError(f"no answer within {ANSWER_SECONDS} s")
        answer: dict[str, str] = self._connection.recv()
        return answer

    def _start(self) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hunyuan_runner.prompts.reader", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # prompts do not belong in a log
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                start_new_session=True,  # the parent handles a terminal's Ctrl-C
            )

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._connection = None


def main(descriptor: str) -> None:
    """Answer prompts until the parent closes the pipe, or is silent for IDLE_SECONDS."""
    from hunyuan_runner.prompts.tokens import TokenizerUnusable, unread

    # The engine refuses to render with such a model or tokenizer, and says why.
    unusable = (TokenizerUnusable, UnknownModel, OSError, ValueError)

    os.nice(NICENESS)
    connection = Connection(int(descriptor))
    while connection.poll(IDLE_SECONDS):
        try:
            model_dir, prompt = connection.recv()
        except EOFError:
            return
        try:
            answer = unread(model_dir, family_in(model_dir).readers, prompt)
        except unusable:
            answer = {}
        connection.send(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
