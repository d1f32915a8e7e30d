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
        GATE.read_bytes()  # opens it after the parent has, and ends where the parent closes it


Connection.send = send_and_wait  # type: ignore[method-assign, assignment]
