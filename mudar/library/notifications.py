"""Wakes who follows the log of changes: PostgreSQL tells at each commit (LISTEN/NOTIFY), SQLite is asked now and then.

A message that is lost costs no more than the pause that it would have cut short. Knows no index.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from mudar.library.db import Session

log = logging.getLogger(__name__)

CHANNEL = "mudar_changes"
_AGAIN_S = 1.0  # after a line was cut, so soon it is asked and listened again


def notify(session: Session) -> None:
    """Wake the followers when this transaction commits."""
    if session.dialect.name == "postgresql":
        session.execute(text(f"NOTIFY {CHANNEL}"))


class ChangeListener:
    """One follower's ear; used by one thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Any = None

    def wait(self, seconds: float, stopping: threading.Event) -> None:
        """Return after a change, after so many seconds, or soon after `stopping` is set."""
        if self._engine.dialect.name != "postgresql":
            stopping.wait(seconds)
            return
        try:
            if self._connection is None:
                self._listen()
                return  # what was committed before we listened must be looked for
            self._hear(seconds, stopping)
        except (SQLAlchemyError, OSError) as error:
            self._lost(error)
            stopping.wait(min(seconds, _AGAIN_S))

    def close(self) -> None:
        """Stop listening."""
        if self._connection is not None:
            self._connection.invalidate()  # a connection that listens must not go back to the pool
            self._connection.close()
            self._connection = None

    def _listen(self) -> None:
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql(f"LISTEN {CHANNEL}")
        self._connection = connection

    def _hear(self, seconds: float, stopping: threading.Event) -> None:
        import psycopg  # only who has PostgreSQL needs it

        heard = self._connection.connection.driver_connection
        for _ in range(max(1, round(seconds / 0.25))):
            try:
                if stopping.is_set() or list(heard.notifies(timeout=min(seconds, 0.25), stop_after=1)):
                    return
            except psycopg.Error as error:
                raise OSError(str(error)) from error

    def _lost(self, error: Exception) -> None:
        log.warning("changes are not heard of, only asked for: %s", error)
        try:
            self.close()
        except SQLAlchemyError:
            self._connection = None
