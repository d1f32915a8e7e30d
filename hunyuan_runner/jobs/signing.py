"""The secrets of this service: one for the webhooks of each user, and one for browser sessions."""

from __future__ import annotations

import base64
import hmac
import secrets
from contextlib import suppress

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from hunyuan_runner.jobs.database import shared_secrets
from hunyuan_runner.settings import SECRET_PREFIX, Settings

WEBHOOKS, SESSIONS = "webhooks", "sessions"  # their names in the database
SECRET_BYTES = 32


def secret_of(owner: str, settings: Settings, database: sa.Engine) -> str:
    """The secret that signs the webhooks of this owner. Another owner's cannot forge them."""
    if settings.webhook_secret is not None:
        root = settings.webhook_secret.get_secret_value()
    else:
        root = _shared(WEBHOOKS, database)
    return _as_secret(hmac.digest(_key(root), owner.encode(), "sha256"))


def session_secret(database: sa.Engine) -> bytes:
    """The secret that signs the sessions of the page for browsers, the same for all fronts."""
    return _key(_shared(SESSIONS, database))


def _shared(name: str, database: sa.Engine) -> str:
    """The secret that all processes on this database share, generated when it is first needed."""
    query = sa.select(shared_secrets.c.value).where(shared_secrets.c.name == name)
    with database.connect() as connection:
        known = connection.execute(query).scalar()
    if known is None:
        drawn = _as_secret(secrets.token_bytes(SECRET_BYTES))
        insert = sa.insert(shared_secrets).values(name=name, value=drawn)
        # Another process may be faster: then its secret counts.
        with suppress(IntegrityError), database.begin() as connection:
            connection.execute(insert)
        with database.connect() as connection:
            known = connection.execute(query).scalar_one()
    return str(known)


def _as_secret(key: bytes) -> str:
    return SECRET_PREFIX + base64.b64encode(key).decode()


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX))
