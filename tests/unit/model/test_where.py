"""What a `where` means, whatever is written in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.model.change import StartRun
from flowdsl.model.condition import FIELDS, OPS, Condition, Kind, Op, Subject, WhereError
from flowdsl.model.history import Cause, Origin
from flowdsl.model.pending import PendingRow, RowKind
from flowdsl.model.query import MAX_PAGE
from flowdsl.model.record import Payload, RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.model.where import MAX_LENGTH, Where
from flowdsl.testing.clock import ManualClock

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def record(**changes: object) -> RunRecord:
    values: dict[str, object] = {
        "workflow": "orders",
        "run_id": "r-1",
        "foreign_id": "order-1",
        "status": "paid",
        "state": RunState.PAUSED,
        "version": 4,
        "payload": None,
        "created_at": NOW - DAY,
        "updated_at": NOW - timedelta(hours=1),
        "change_id": "c",
        "reason": "step charge failed 3 times in a row",
        "actor": "worker",
        "last_error": "TimeoutError: the gateway Timed Out",
        "metadata": {"channel": "web"},
        "tags": ("vip", "eu"),
        "priority": 5,
        **changes,
    }
    return RunRecord(**values)  # type: ignore[arg-type]


def row(**changes: object) -> PendingRow:
    values: dict[str, object] = {
        "namespace": "default",
        "workflow": "orders",
        "row_id": "r-1",
        "topic": "orders/paid",
        "kind": RowKind.STEP,
        "receiver": "",
        "run_id": "r-1",
        "version": 4,
        "visit": 1,
        "due_at": NOW,
        "created_at": NOW,
        "attempts": 2,
        "lapses": 1,
        "last_error": "KeyError: 'stock'",
        **changes,
    }
    return PendingRow(**values)  # type: ignore[arg-type]


SUBJECT = Subject(record(), None, NOW)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("state=paused", True),
        ("state=PAUSED and status=paid and error~timeout", True),
        ("error~'timed out'", True),
        ('error~"timed  out"', False),
        ("error!~timed", False),
        ("state!=paused", False),
        ("state in (running, paused)", True),
        ("state not in (running, paused)", False),
        ("STATE IN (paused) AND NOT_A_FIELD=1", None),
        ("status = PAID", False),
        ("workflow=orders and foreign_id=order-1", True),
        ("created < 2026-03-01", True),
        ("created >= 2026-02-28T12:00:00Z", True),
        ("created > 2026-02-28T12:00:00Z", False),
        ("created <= 2026-02-28T14:00:00+02:00", True),
        ("age > 23h and age < 25h", True),
        ("age > 1d", False),
        ("age >= 1d", True),
        ("idle < 90m", True),
        ("reason~'3 times'", True),
        ("actor=worker", True),
        ("actor!=worker", False),
        ("tag=vip", True),
        ("tag!=vip", False),
        ("tag in (us, eu)", True),
        ("tag~v", True),
        ("tag!~z", True),
        ("meta.channel=web", True),
        ("meta.channel!=web", False),
        ("meta.campaign=spring", False),
        ("meta.campaign!=spring", True),
        ("parent=r-0", False),
        ("priority>4 and priority<=5 and version!=3", True),
        ("priority in (1, 5)", True),
        ("failures=0", True),
    ],
)
def test_a_condition_holds_for_what_it_names(text: str, meant: bool | None) -> None:
    if meant is None:
        with pytest.raises(WhereError):
            Where.parse(text)
    else:
        assert Where.parse(text).holds(SUBJECT) is meant


def test_the_error_and_the_failures_of_a_step_that_is_tried_again_are_those_of_its_row() -> None:
    where = Where.parse("error~stock and failures>=3")

    assert where.reads_rows
    assert where.holds(Subject(record(state=RunState.RUNNING, last_error=None), row(), NOW))
    assert not where.holds(Subject(record(state=RunState.RUNNING, last_error=None), None, NOW))
    assert not Where.parse("state=paused").reads_rows


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no condition"),
        ("   ", "no condition"),
        ("state", "an operator is missing at the end"),
        ("state=", "a value is missing at the end"),
        ("=paused", "a field is missing before '=paused'"),
        ("state=paused status=paid", "and is missing before 'status=paid'"),
        ("state=paused and", "a field is missing at the end"),
        ("state=paused or status=paid", r"there is no 'or'\. Write FIELD in \(A, B\), or give two commands"),
        ("state=and", r'a value is missing before .and.\. If it is the word "and", quote it'),
        ("stat=paused", r"no field 'stat'\. Did you mean 'state'"),
        ("banana=1", r"There are workflow, .* and meta\.NAME"),
        ("meta.=1", "no field 'meta.'"),
        ("state=puased", r"no state 'puased'\. Did you mean 'paused'"),
        ("state~paus", "state cannot be compared with '~'. Use one of = != in not in"),
        ("created=2026-01-01", "created cannot be compared with '='"),
        ("created<yesterday", "'yesterday' is none"),
        ("created<2d", "for a span of time there are age and idle"),
        ("age<2026-01-01", "Write 90s, 15m"),
        ("age>9999999999999w", "is a span of time"),
        ("priority>high", "whole number"),
        ("priority>--1", "whole number"),
        ("status in paid", r"\( is missing before 'paid'"),
        ("status in (paid", r"\) is missing at the end"),
        ("status in ()", "a value is missing before"),
        ("status in (paid sent)", r"\) is missing before 'sent\)'"),
        ("status not (paid)", "an operator is missing"),
        ("error~'timed out", r"the quote at .* is not closed"),
        ("status=a=b", "and is missing before '=b'"),
        ("status=!", "'!' is not understood"),
        ("status='a\0'", "no store can hold"),
        ("status='\ud800'", "no store can hold"),
        ("x" * (MAX_LENGTH + 1), "at most"),
    ],
)
def test_a_text_that_means_nothing_is_refused_with_the_place(text: str, says: str | None) -> None:
    if says is None:
        assert Where.parse(text).conditions == Where.parse("state=paused").conditions
        return
    with pytest.raises(WhereError, match=says):
        Where.parse(text)


# -- whatever is written ------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
TEXT_FIELDS = [name for name, field in FIELDS.items() if field.kind is Kind.TEXT]
values = {
    Kind.TEXT: texts,
    Kind.STATE: st.sampled_from(["initiated", "running", "paused", "completed", "cancelled", "Data_Deleted"]),
    Kind.MOMENT: st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    Kind.SPAN: st.builds(lambda n, unit: f"{n}{unit}", st.integers(0, 10**6), st.sampled_from("smhdw")),
    Kind.NUMBER: st.integers(-(10**9), 10**9).map(str),
}


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    name = draw(st.sampled_from([*FIELDS, "meta.a", "meta.a-b.c"]))
    kind = FIELDS[name].kind if name in FIELDS else Kind.TEXT
    op = draw(st.sampled_from(OPS[kind]))
    size = draw(st.integers(1, 3)) if op in (Op.IN, Op.NOT_IN) else 1
    return Condition(name, op, [draw(values[kind]) for _ in range(size)])


wheres = st.lists(conditions(), min_size=1, max_size=4).map(Where)


@given(wheres)
def test_what_a_where_says_of_itself_means_the_same(where: Where) -> None:
    assert Where.parse(str(where)) == where


@given(st.text(max_size=60) | st.text("ast =!~<>()\"'\\,and inotpe.", max_size=60))
@example("state=paused and \\")
@example("state in(paused,)")
def test_any_text_at_all_means_something_or_is_refused(text: str) -> None:
    try:
        where = Where.parse(text)
    except WhereError:
        return
    assert Where.parse(str(where)) == where


@given(texts, texts)
@example("' OR 1=1 --", "x")
@example('" and state=running', "x")
@example("%", "_")
@example("a\\", "b")
def test_a_quoted_value_is_data_and_nothing_else(value: str, other: str) -> None:
    quoted = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    (condition,) = Where.parse(f"foreign_id = {quoted}").conditions

    assert condition.values == (value,)
    assert condition.holds(Subject(record(foreign_id=value), None, NOW))
    assert condition.holds(Subject(record(foreign_id=other), None, NOW)) is (value == other)


some = st.sampled_from


@st.composite
def narrowing(draw: st.DrawFn) -> Where:
    """Wheres that the store is asked about, of few values, so that runs are among those that are meant."""
    moments = [(NOW + n * DAY).isoformat() for n in range(-3, 3)]
    made = st.one_of(
        st.builds(Condition, some(["workflow"]), some([Op.IS, Op.IS_NOT]), some([["a"], ["b"]])),
        st.builds(Condition, some(["workflow"]), some([Op.IN, Op.NOT_IN]), some([["a"], ["a", "b"]])),
        st.builds(Condition, some(["status"]), some([Op.IS, Op.IS_NOT, Op.HAS]), some([["new"], ["old"]])),
        st.builds(Condition, some(["foreign_id"]), some([Op.IS, Op.IN]), some([["0"], ["1"]])),
        st.builds(Condition, some(["state"]), some([Op.IS, Op.IS_NOT]), some([["initiated"], ["paused"]])),
        st.builds(Condition, some(["created"]), some(OPS[Kind.MOMENT]), some([[moment] for moment in moments])),
        st.builds(Condition, some(["age"]), some(OPS[Kind.SPAN]), some([["0s"], ["1d"], ["2d"], ["3d"]])),
    )
    return Where(draw(st.lists(made, min_size=1, max_size=4)))


def stored() -> tuple[MemoryRecordStore, list[RunRecord]]:
    clock = ManualClock(NOW - 3 * DAY)
    store = MemoryRecordStore(clock)
    ids = [(flow, status, f) for flow in ("a", "b") for status in ("new", "old") for f in ("0", "1")]
    for number, (workflow, status, foreign_id) in enumerate(ids * 3):
        store.commit(
            [
                StartRun(
                    change_id=f"c{number}",
                    namespace="default",
                    workflow=workflow,
                    run_id=f"r{number:02}",
                    foreign_id=foreign_id if number < len(ids) // 2 else f"{foreign_id}{number}",
                    status=status,
                    payload=Payload(b"{}"),
                    origin=Origin(Cause.TRIGGER),
                    row=None,
                )
            ]
        )
        if number % 6 == 5:
            clock.advance(DAY)
    runs = list(store.lookup([f"r{number:02}" for number in range(100)]).values())
    return store, runs


STORE, RUNS = stored()


@given(narrowing())
def test_what_the_store_is_asked_leaves_out_no_run_that_is_meant(where: Where) -> None:
    meant = {run.run_id for run in RUNS if where.holds(Subject(run, None, NOW))}
    query = where.query("default", NOW, limit=MAX_PAGE)
    answered = {run.run_id for run in STORE.runs(query).runs} if query is not None else set()

    assert meant <= answered


def test_the_store_does_the_narrowing_where_it_can() -> None:
    where = Where.parse("workflow=a and status in (new, old) and state=paused and created>2026-01-01 and age>1d and error~x")
    query = where.query("default", NOW, states=[RunState.PAUSED, RunState.RUNNING])

    assert query is not None
    assert (query.workflows, query.statuses, query.states) == (("a",), ("new", "old"), (RunState.PAUSED,))
    assert (query.created_after, query.created_before) == (datetime(2026, 1, 1, tzinfo=UTC), NOW - DAY)


@pytest.mark.parametrize(
    ("text", "states"),
    [("workflow=a and workflow=b", []), ("state=completed", [RunState.PAUSED]), ("status in (a) and status in (b)", [])],
)
def test_what_cannot_be_is_not_asked(text: str, states: list[RunState]) -> None:
    assert Where.parse(text).query("default", NOW, states=states) is None
