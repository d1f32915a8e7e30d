"""Imported by Python at the start of a LockstepEngine's child."""

import os
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

GATE = Path(os.environ["LOCKSTEP_GATE"])
ENDS = ("Finished", "Halted", "Failed")

send = Connection.send


def send_and_wait(connection: Connection, report: Any) -> None:
    send(connection, report)
    if type(report.event).__name__ not in ENDS:
        GATE.read_bytes()  # waits until the parent opens its end, and then until it closes it


Connection.send = send_and_wait  # type: ignore[method-assign, assignment]
