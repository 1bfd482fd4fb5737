"""Alembic as a guest: what it says of itself is not the program's business."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from threading import get_ident

TALKERS = ("alembic.runtime.plugins", "alembic.runtime.migration")


@contextmanager
def quiet_alembic() -> Generator[None, None, None]:
    """Leave out what Alembic logs below a warning in this thread, unless the program has given its loggers a level of their own
    or wants to know everything. No logger's level is changed."""
    thread = get_ident()

    def heard(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or record.thread not in (thread, None)

    talkers = [logging.getLogger(name) for name in TALKERS]
    hushed = [logger for logger in talkers if not _wanted(logger)]
    for logger in hushed:
        logger.addFilter(heard)
    try:
        yield
    finally:
        for logger in hushed:
            logger.removeFilter(heard)


def _wanted(logger: logging.Logger) -> bool:
    own = [logging.getLogger(name).level for name in ("alembic", "alembic.runtime", logger.name)]
    return any(own) or logger.isEnabledFor(logging.DEBUG)
