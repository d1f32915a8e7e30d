"""How long ended jobs are kept, even if the clock jumps.

A clock that jumps forward or back is not trusted until it has run on from there for an hour: most
are corrected by then, and a deleted clip cannot be restored. Until then the elapsed seconds of this
machine count. So after days of downtime it takes an hour until the jobs that expired meanwhile are
deleted.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from time import monotonic

import sqlalchemy as sa

from hunyuan_runner.jobs.database import clock, passage
from hunyuan_runner.jobs.journal import writing
from hunyuan_runner.settings import Settings

LONGEST_DOUBT = timedelta(hours=1)
DOUBTED_SHARE = 0.1  # of the retention, if that is short

logger = logging.getLogger(__name__)


def expiry(database: sa.Engine, settings: Settings) -> sa.ColumnElement[int]:
    """When a job that ends now expires, in milliseconds since the epoch.

    Counted from the later of the clock and the passage, because the clock may have been set back.
    """
    now = clock(database)
    passed = sa.func.coalesce(sa.select(passage.c.at).scalar_subquery(), now)
    later = sa.case((passed > now, passed), else_=now)
    return later + _milliseconds(timedelta(hours=settings.retention_hours))


class Passage:
    """The time by which jobs expire, shared by all processes on this database."""

    def __init__(self, database: sa.Engine, settings: Settings) -> None:
        self._database = database
        self._now = sa.select(clock(database))
        retention = timedelta(hours=settings.retention_hours)
        self._doubt_ms = _milliseconds(min(LONGEST_DOUBT, retention * DOUBTED_SHARE))
        self._looked_at = monotonic()

    def now(self, watchers: int) -> int:
        """Milliseconds since the epoch, continued from the last call.

        `watchers` processes call this, so each adds its share of the elapsed seconds.
        """
        looked_at, self._looked_at = self._looked_at, monotonic()
        elapsed = int((self._looked_at - looked_at) * 1000 / max(watchers, 1))
        with writing(self._database) as connection:
            clock_ms = int(connection.execute(self._now).scalar_one())
            known = connection.execute(sa.select(passage)).first()
            if known is None:
                connection.execute(sa.insert(passage).values(id=0, at=clock_ms, doubted=0))
                return clock_ms
            at, doubted = known.at + elapsed, known.doubted + elapsed
            jump = clock_ms - at
            if abs(jump) <= self._doubt_ms or doubted >= self._doubt_ms:
                at, doubted = clock_ms, 0
            elif known.doubted == 0:
                logger.warning(
                    "the clock is %s %s the time that has passed here; it is not trusted for %s",
                    timedelta(milliseconds=abs(jump)),
                    "ahead of" if jump > 0 else "behind",
                    timedelta(milliseconds=self._doubt_ms),
                )
            connection.execute(sa.update(passage).values(at=at, doubted=doubted))
        return int(at)


def _milliseconds(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
