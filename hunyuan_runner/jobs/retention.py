"""How long ended jobs are kept: by the time that passes here, whatever a clock suddenly says.

A clock that jumps, forth or back, is not believed before it has gone on from there for an hour of
running: most are set right by then, and clips that were deleted are gone. Until then time passes
as this machine counts seconds. So after days of downtime, too, an hour goes by before what has
expired meanwhile is deleted.
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
DOUBTED_SHARE = 0.1  # of the retention, where that is short

logger = logging.getLogger(__name__)


def expiry(database: sa.Engine, settings: Settings) -> sa.ColumnElement[int]:
    """When a job that ends now is to be forgotten, in milliseconds since the epoch.

    By the later of the clock and what passed here: the clock may have been set back.
    """
    now = clock(database)
    passed = sa.func.coalesce(sa.select(passage.c.at).scalar_subquery(), now)
    later = sa.case((passed > now, passed), else_=now)
    return later + _milliseconds(timedelta(hours=settings.retention_hours))


class Passage:
    """The time that has passed, as all processes on this database agree."""

    def __init__(self, database: sa.Engine, settings: Settings) -> None:
        self._database = database
        self._now = sa.select(clock(database))
        retention = timedelta(hours=settings.retention_hours)
        self._doubt_ms = _milliseconds(min(LONGEST_DOUBT, retention * DOUBTED_SHARE))
        self._looked_at = monotonic()

    def now(self, watchers: int) -> int:
        """Milliseconds since the epoch, going on from the last look.

        So many processes look, of which each counts its share of the seconds.
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
                    "the clock is %s %s what has passed here; nothing expires by it for %s",
                    timedelta(milliseconds=abs(jump)),
                    "ahead of" if jump > 0 else "behind",
                    timedelta(milliseconds=self._doubt_ms),
                )
            connection.execute(sa.update(passage).values(at=at, doubted=doubted))
        return int(at)


def _milliseconds(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
