"""Where a fleet works: servers of its own behind proxies, on free ports and in scratch folders."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import redis
import sqlalchemy

from flowdsl_sql.record_store import open_store
from tests.proxy import Proxy
from tests.services import OwnPostgreSQL, OwnRabbitMQ, OwnRedis

DISK = 400
"""Megabytes of the small disk that the store's server writes to."""
POSTGRESQL_OPTIONS = ("max_wal_size=64MB", "min_wal_size=32MB")
SAFE_REDIS = ("--appendfsync", "always")
PLACES = ("postgresql+rabbitmq", "redis")


class Server(Protocol):
    """One that may be stopped and started again."""

    url: str

    def start(self) -> None: ...
    def stop(self) -> None: ...
    @property
    def ended(self) -> bool: ...


@dataclass
class Part:
    """The store's server or the stream's, and the proxy before it."""

    name: str
    server: Server
    proxy: Proxy
    empty: Callable[[], None] | None = None
    """Lets it forget everything; None: that is no fault that the library promises to live with."""

    def restart(self, down: float) -> None:
        """In: seconds between its end and its next beginning."""
        self.server.stop()
        time.sleep(down)
        self.server.start()

    def heal(self) -> None:
        """Start it if it has ended."""
        for _ in range(5):
            if not self.server.ended:
                return
            self._start_again()

    def _start_again(self) -> None:
        try:
            self.server.start()
        except (OSError, AssertionError):
            time.sleep(0.5)


@dataclass
class Place:
    """In: what the workers connect to (through proxies), what the checker does (past them)."""

    name: str
    store: Part
    stream: Part
    store_url: str
    stream_url: str
    disk: Path | None
    """The folder of the small disk; None: there is none."""
    why_no_disk: str = ""
    direct_url: str = ""
    """The store, past the proxy."""


@contextmanager
def small_disk(folder: Path) -> Iterator[str]:
    """Mounts a disk of DISK megabytes there. Out: why it could not be; empty: it is there."""
    folder.mkdir()
    if os.getuid() != 0:
        yield "only root may mount a small disk"
        return
    size = f"size={DISK}m,mode=0777"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"a small disk cannot be mounted: {done.stderr.strip()}"
        return
    try:
        yield ""
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


@contextmanager
def open_place(name: str) -> Iterator[Place]:
    """One of PLACES. Raises what pytest raises when a server's command is not installed."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flowdsl-chaos-", ignore_cleanup_errors=True)))
        root.chmod(0o755)
        why = stack.enter_context(small_disk(root / "disk"))
        (root / "disk" / "store").mkdir()
        (root / "stream").mkdir()
        opened = _postgresql_and_rabbitmq if name == PLACES[0] else _redis
        place = opened(stack, root)
        place.disk, place.why_no_disk = (None, why) if why else (root / "disk", "")
        yield place


def _postgresql_and_rabbitmq(stack: ExitStack, root: Path) -> Place:
    database = OwnPostgreSQL(root / "disk" / "store", *POSTGRESQL_OPTIONS)
    stack.callback(_stop, database)
    open_store(database.url, migrate=True).close()
    broker = OwnRabbitMQ(root / "stream")
    stack.callback(_stop, broker)
    store, stream = _part(stack, "PostgreSQL", database), _part(stack, "RabbitMQ", broker)
    return Place(PLACES[0], store, stream, store.proxy.url, f"{stream.proxy.url}?expires=300", None, direct_url=database.url)


def _redis(stack: ExitStack, root: Path) -> Place:
    """The store in one Redis, safe on disk at every answer; the stream in another, which may be emptied."""
    held = KilledRedis(root / "disk" / "store", *SAFE_REDIS)
    stack.callback(_stop, held)
    streaming = KilledRedis(root / "stream")
    stack.callback(_stop, streaming)

    def flush() -> None:
        with redis.Redis.from_url(streaming.url) as client:
            client.flushall()

    store, stream = _part(stack, "the store's Redis", held), _part(stack, "the stream's Redis", streaming)
    stream.empty = flush
    return Place(PLACES[1], store, stream, store.proxy.url, f"{stream.proxy.url}?claim_after=3", None, direct_url=held.url)


class KilledRedis(OwnRedis):
    """One whose end is always sudden."""

    def stop(self) -> None:
        self.kill()


def _part(stack: ExitStack, name: str, server: Server) -> Part:
    proxy = Proxy(server.url)
    stack.callback(proxy.close)
    return Part(name, server, proxy)


def _stop(server: Server) -> None:
    if not server.ended:
        server.stop()


def count_rows(url: str) -> dict[str, int]:
    """How much the store of a SQL database holds, by table; of a Redis, its keys."""
    if url.startswith("redis"):
        with redis.Redis.from_url(url) as client:
            return {"keys": int(client.dbsize())}
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    try:
        names = [name for name in sqlalchemy.inspect(engine).get_table_names() if name.startswith("flowdsl_")]
        with engine.connect() as connection:
            table = sqlalchemy.table
            counted = {
                name: connection.scalar(sqlalchemy.select(sqlalchemy.func.count()).select_from(table(name))) for name in names
            }
            del counted["flowdsl_item"]
            for kind, number in connection.execute(sqlalchemy.text("SELECT kind, COUNT(*) FROM flowdsl_item GROUP BY kind")):
                counted[f"items: {kind}"] = number
        return {name: int(number or 0) for name, number in counted.items()}
    finally:
        engine.dispose()
