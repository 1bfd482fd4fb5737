"""What follows the commit of a session, in whatever way SQLAlchemy lets people end one."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from flowdsl_sql.after_commit import after_commit

TABLE = sa.Table("numbers", sa.MetaData(), sa.Column("number", sa.Integer, primary_key=True))


@pytest.fixture
def engine(tmp_path: Any) -> Iterator[sa.Engine]:
    """SQLite with transactions as other databases have them."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'own.db'}")

    @sa.event.listens_for(engine, "connect")
    def begin_nothing(connection: Any, _: object) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    TABLE.metadata.create_all(engine)
    yield engine
    engine.dispose()


class Told:
    """How many numbers others saw whenever something followed."""

    def __init__(self, engine: sa.Engine) -> None:
        self.seen: list[int] = []
        self._engine = engine

    def write(self, session: Session, number: int) -> None:
        """Write a number, and something is to follow."""
        session.execute(TABLE.insert().values(number=number))
        after_commit(session, session.connection(), self._look)

    def _look(self) -> None:
        with self._engine.connect() as connection:
            self.seen.append(connection.execute(sa.select(sa.func.count()).select_from(TABLE)).scalar_one())


@pytest.fixture
def told(engine: sa.Engine) -> Told:
    return Told(engine)


def test_a_session_in_a_with_block_commits_at_its_end(engine: sa.Engine, told: Told) -> None:
    with Session(engine) as session, session.begin():
        told.write(session, 1)
        assert told.seen == []
    with sessionmaker(engine).begin() as session:
        told.write(session, 2)
        assert told.seen == [1]
    with Session(engine) as session:
        told.write(session, 3)

    assert told.seen == [1, 2]


def test_the_connection_is_free_again_when_something_follows(engine: sa.Engine) -> None:
    out: list[int] = []
    pool: Any = engine.pool
    with Session(engine) as session:
        after_commit(session, session.connection(), lambda: out.append(pool.checkedout()))
        session.commit()

    assert out == [0]


def test_a_commit_that_fails_is_followed_by_nothing(engine: sa.Engine, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("the connection is gone")

    with Session(engine) as session:
        told.write(session, 1)
        with monkeypatch.context() as patched:
            patched.setattr(engine.dialect, "do_commit", fail)
            with pytest.raises(RuntimeError):
                session.commit()
        session.rollback()
        told.write(session, 2)
        session.commit()

    assert told.seen == [1]


def test_a_transaction_that_a_flush_error_ended_is_followed_by_nothing(engine: sa.Engine, told: Told) -> None:
    with Session(engine) as session:
        told.write(session, 1)
        with pytest.raises(sa.exc.IntegrityError):
            session.execute(TABLE.insert().values(number=1))
        session.rollback()
        session.commit()

    assert told.seen == []


def test_a_savepoint_within_a_flush_belongs_to_the_transaction_around_it(engine: sa.Engine, told: Told) -> None:
    class Number:
        number: int

    sa.orm.registry().map_imperatively(Number, TABLE)
    with Session(engine) as session:

        @sa.event.listens_for(session, "before_flush")
        def before(flushing: Session, *_: object) -> None:
            with flushing.begin_nested():
                told.write(flushing, 2)

        new = Number()
        new.number = 1
        session.add(new)
        session.flush()
        assert told.seen == []
        session.commit()

    assert told.seen == [2]


@pytest.mark.parametrize("mode", ["conditional_savepoint", "rollback_only", "create_savepoint"])
def test_a_session_in_somebody_else_s_transaction_commits_nothing(engine: sa.Engine, told: Told, mode: Any) -> None:
    with engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode=mode) as session:
            told.write(session, 1)
            session.commit()
            assert told.seen == []
        outer.commit()

    assert told.seen == []


@pytest.mark.parametrize("end", [sa.RootTransaction.rollback, sa.RootTransaction.commit])
def test_a_transaction_that_somebody_else_ended_before_the_session_is_followed_by_nothing(
    engine: sa.Engine, told: Told, end: Callable[[sa.RootTransaction], None]
) -> None:
    with engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode="rollback_only") as session:
            told.write(session, 1)
            end(outer)
            session.commit()

    assert told.seen == []


def test_a_session_that_controls_somebody_s_transaction_commits_it(engine: sa.Engine, told: Told) -> None:
    with engine.connect() as connection:
        connection.begin()
        with Session(connection, join_transaction_mode="control_fully") as session:
            told.write(session, 1)
            session.commit()

    assert told.seen == [1]


def test_a_session_that_begins_on_somebody_s_connection_commits_what_it_began(engine: sa.Engine, told: Told) -> None:
    with engine.connect() as connection, Session(connection) as session:
        told.write(session, 1)
        session.commit()

    assert told.seen == [1]


def test_a_session_has_one_set_of_listeners_and_goes_with_them(engine: sa.Engine, told: Told) -> None:
    session = Session(engine)
    for number in range(5):
        told.write(session, number)
        (session.rollback if number % 2 else session.commit)()
    dispatch: Any = session.dispatch
    assert [len(getattr(dispatch, name)) for name in ("before_commit", "after_commit", "after_transaction_end")] == [1, 1, 1]

    told.write(session, 9)  # neither committed nor closed
    gone = weakref.ref(session)
    del session, dispatch
    gc.collect()

    assert gone() is None
