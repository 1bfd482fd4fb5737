"""Which runs are meant: `state=paused and status=paid and error~timeout`.

Conditions joined by `and`, each `FIELD OP VALUE` or `FIELD [not] in (VALUE, ...)`. A value is a word, or text in single or double
quotes in which a backslash takes away the meaning of what follows it. What is written is read here and nowhere else: values are
compared, or handed to the store as bound values, and never become part of a statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from flowdsl.model.condition import Condition, Kind, Op, Subject, WhereError
from flowdsl.model.query import MAX_PAGE, Cursor, Order, RunQuery
from flowdsl.model.run_state import RunState

MAX_LENGTH = 10_000
"""Characters of a where."""
_EXAMPLE = 'Write e.g. state=paused and status=paid and error~"timed out".'
_TOKEN = re.compile(
    r"""\s*(?: (?P<op>!=|!~|<=|>=|[=~<>])
          | (?P<mark>[(),])
          | (?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
          | (?P<word>[^\s"'(),=~<>!]+) )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ASKED, _TIMES = ("workflow", "status", "foreign_id", "state"), ("created", "age")
"""Fields by which the store finds runs."""
_MICROSECOND = timedelta(microseconds=1)
_MIRRORED = {Op.UNDER: Op.OVER, Op.AT_MOST: Op.AT_LEAST, Op.OVER: Op.UNDER, Op.AT_LEAST: Op.AT_MOST}


class _Token(NamedTuple):
    kind: str
    text: str
    at: int

    def is_word(self, word: str) -> bool:
        return self.kind == "word" and self.text.lower() == word


class Where:
    """What a text means. Raises WhereError, with the place, for one that means nothing."""

    def __init__(self, conditions: Sequence[Condition]) -> None:
        if not conditions:
            raise WhereError("this where has no condition.", remedy=_EXAMPLE)
        self.conditions = tuple(conditions)

    @classmethod
    def parse(cls, text: str) -> Where:
        if len(text) > MAX_LENGTH:
            raise WhereError(f"a where has at most {MAX_LENGTH} characters, this one {len(text)}.")
        return cls(list(_Reader(text).conditions()))

    @property
    def reads_rows(self) -> bool:
        """Whether a Subject needs the run's step row."""
        return any(condition.field.reads_row for condition in self.conditions)

    @property
    def narrowed(self) -> bool:
        """Whether `query` alone finds just the runs that are meant, but for a moment more or less."""
        return all(
            condition.name in _TIMES or (condition.name in _ASKED and condition.op in (Op.IS, Op.IN))
            for condition in self.conditions
        )

    def holds(self, subject: Subject) -> bool:
        """Whether the run is meant."""
        return all(condition.holds(subject) for condition in self.conditions)

    def query(
        self,
        namespace: str,
        now: datetime,
        *,
        states: Sequence[RunState] = (),
        order: Order = Order.OLDEST_FIRST,
        limit: int = MAX_PAGE,
        after: Cursor | None = None,
    ) -> RunQuery | None:
        """What the store can be asked so that every run that is meant is among the answers; `holds` decides.
        In: `states` narrows it further. None: no run can be meant."""
        found = {name: self._wanted(name) for name in _ASKED}
        if states:
            named = found["state"]
            found["state"] = tuple(states) if named is None else tuple(state for state in named if state in states)
        if any(values == () for values in found.values()):
            return None
        after_moment, before = self._bounds(now)
        return RunQuery(
            namespace=namespace,
            workflows=found["workflow"] or (),
            statuses=found["status"] or (),
            foreign_ids=found["foreign_id"] or (),
            states=found["state"] or (),
            created_after=after_moment,
            created_before=before,
            order=order,
            limit=limit,
            after=after,
        )

    def _wanted(self, name: str) -> tuple[Any, ...] | None:
        """The values of which a field must have one; None: any."""
        wanted: tuple[Any, ...] | None = None
        for condition in self.conditions:
            if condition.name == name and condition.op in (Op.IS, Op.IN):
                values = tuple(dict.fromkeys(condition.values))
                wanted = values if wanted is None else tuple(value for value in wanted if value in values)
        return wanted

    def _bounds(self, now: datetime) -> tuple[datetime | None, datetime | None]:
        """Between which moments, both excluded, the run must have been started."""
        low: list[datetime] = []
        high: list[datetime] = []
        for condition in self.conditions:
            if condition.name not in _TIMES:
                continue
            (value,), op = condition.values, condition.op
            try:
                moment = value if condition.field.kind is Kind.MOMENT else now - value
                earlier, later = moment - _MICROSECOND, moment + _MICROSECOND
            except OverflowError:  # further away than any date: no bound, `holds` decides
                continue
            if condition.name == "age":  # the greater the age, the earlier the start
                op = _MIRRORED[op]
            if op in (Op.OVER, Op.AT_LEAST):
                low.append(moment if op is Op.OVER else earlier)
            else:
                high.append(moment if op is Op.UNDER else later)
        return max(low, default=None), min(high, default=None)

    def __str__(self) -> str:
        return " and ".join(str(condition) for condition in self.conditions)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Where) and self.conditions == other.conditions

    def __hash__(self) -> int:
        return hash(self.conditions)


class _Reader:
    """Reads conditions from a text, left to right, without looking back."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split())
        self._next = 0

    def _split(self) -> Iterator[_Token]:
        at, text = 0, self._text
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                at = len(text) - len(text[at:].lstrip())
                if text[at] in "\"'":
                    raise WhereError(f"the quote at {text[at : at + 20]!r} is not closed.", remedy=_EXAMPLE)
                raise WhereError(f"{text[at : at + 20]!r} is not understood.", remedy=_EXAMPLE)
            kind = found.lastgroup or ""
            word = found[kind]
            yield _Token(
                kind, re.sub(r"\\(.)", r"\1", word[1:-1], flags=re.DOTALL) if kind == "quoted" else word, found.start(kind)
            )
            at = found.end()

    def conditions(self) -> Iterator[Condition]:
        if self._tokens:
            yield self._condition()
        while self._next < len(self._tokens):
            joint = self._take("and")
            if joint.is_word("or"):
                raise WhereError("there is no 'or'.", remedy="Write FIELD in (A, B), or give two commands.")
            if not joint.is_word("and"):
                raise self._unexpected("and", self._next - 1)
            yield self._condition()

    def _condition(self) -> Condition:
        field = self._take("a field")
        if field.kind != "word":
            raise self._unexpected("a field", self._next - 1)
        token = self._take("an operator")
        if token.kind == "op":
            return self._made(field, Op(token.text), [self._value()])
        op = Op.IN
        if token.is_word("not"):
            op, token = Op.NOT_IN, self._take("in")
        if not token.is_word("in"):
            raise self._unexpected("an operator", self._next - 1)
        return self._made(field, op, self._list())

    def _made(self, field: _Token, op: Op, texts: list[str]) -> Condition:
        return Condition(field.text.lower() if "." not in field.text else field.text, op, texts)

    def _list(self) -> list[str]:
        self._mark("(")
        texts = [self._value()]
        while (mark := self._take(")")) == _Token("mark", ",", mark.at):
            texts.append(self._value())
        if mark.kind != "mark" or mark.text != ")":
            raise self._unexpected(")", self._next - 1)
        return texts

    def _mark(self, text: str) -> None:
        token = self._take(text)
        if token.kind != "mark" or token.text != text:
            raise self._unexpected(text, self._next - 1)

    def _value(self) -> str:
        token = self._take("a value")
        if token.kind not in ("word", "quoted"):
            raise self._unexpected("a value", self._next - 1)
        if token.is_word("and"):
            raise WhereError("a value is missing before 'and'.", remedy=f'If it is the word "and", quote it. {_EXAMPLE}')
        return token.text

    def _take(self, what: str) -> _Token:
        if self._next == len(self._tokens):
            raise WhereError(f"{what} is missing at the end of {self._text[-20:]!r}.", remedy=_EXAMPLE)
        self._next += 1
        return self._tokens[self._next - 1]

    def _unexpected(self, what: str, index: int) -> WhereError:
        at = self._tokens[index].at
        return WhereError(f"{what} is missing before {self._text[at : at + 20]!r}.", remedy=_EXAMPLE)
