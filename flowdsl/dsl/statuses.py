"""A workflow's statuses: an enum, and the texts they are stored as."""

from __future__ import annotations

import difflib
from enum import Enum
from typing import Generic, TypeVar

from flowdsl.errors import DefinitionError, UnknownStatusError

StatusT = TypeVar("StatusT", bound=Enum)


class Statuses(Generic[StatusT]):
    """Maps members to stored texts and back. Raises DefinitionError for an enum whose values cannot serve."""

    def __init__(self, status_type: type[StatusT], workflow: str) -> None:
        if not (isinstance(status_type, type) and issubclass(status_type, Enum)):
            raise DefinitionError(
                f"status_type of {workflow!r} is {status_type!r}, not an Enum.", remedy="Declare the statuses as a StrEnum."
            )
        self.type = status_type
        self._workflow = workflow
        self._keys: dict[StatusT, str] = {}
        self._members: dict[str, StatusT] = {}
        for name, member in status_type.__members__.items():
            if name != member.name:
                raise DefinitionError(
                    f"{status_type.__name__}.{name} is an alias of {member.name}: both would be stored as {member.value!r}.",
                    remedy="Give each status its own value.",
                )
            if not isinstance(member.value, str | int) or isinstance(member.value, bool):
                raise DefinitionError(
                    f"{status_type.__name__}.{name} has the value {member.value!r}.",
                    remedy="Statuses are stored by value: use str or int.",
                )
            key = str(member.value)
            if key in self._members:
                raise DefinitionError(
                    f"{status_type.__name__}.{name} and .{self._members[key].name} would both be stored as {key!r}.",
                    remedy="Give each status its own value.",
                )
            self._keys[member] = key
            self._members[key] = member

    def key(self, member: object) -> str:
        """The stored text. Raises DefinitionError for anything but a member."""
        if isinstance(member, self.type):
            return self._keys[member]
        near = difflib.get_close_matches(
            str(getattr(member, "value", member)), [*self._members, *(m.name for m in self._keys)], 1
        )
        hint = (
            f"Did you mean {self.type.__name__}.{self._by_any(near[0]).name}?"
            if near
            else f"Use a member of {self.type.__name__}."
        )
        raise DefinitionError(f"{member!r} is not a status of workflow {self._workflow!r}.", remedy=hint)

    def member(self, key: str) -> StatusT:
        """The member stored under a text. Raises UnknownStatusError."""
        try:
            return self._members[key]
        except KeyError:
            raise UnknownStatusError(
                f"status {key!r} of workflow {self._workflow!r} is unknown to this code.",
                remedy="Deploy the version that knows it.",
            ) from None

    def all(self) -> tuple[StatusT, ...]:
        return tuple(self._keys)

    def _by_any(self, text: str) -> StatusT:
        return self._members[text] if text in self._members else self.type[text]
