"""Objects to bytes and back: JSON through msgspec, or through pydantic for its models. Nothing executable is ever read.

Fields that this code does not know, stored by newer code, survive a decode and encode: those of the object itself and of
objects nested in it, at any depth under fields and dict values; elements of lists are kept by their index while the list keeps
its length. A field that this code knows is always written as this code has it.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar, get_args

import msgspec
import msgspec.inspect

from flowdsl.dsl.upcasting import Upcasters
from flowdsl.errors import DefinitionError, PayloadError, PayloadTooLargeError
from flowdsl.model.limits import MAX_PAYLOAD
from flowdsl.model.record import Payload

ObjectT = TypeVar("ObjectT")
MAX_DEPTH = 64
"""Nesting of stored JSON; what is deeper was not written by this library."""

Leftover = dict[str, Any]
"""The parts of a stored object that its type does not know: a tree of what to put back."""


class Decoded(NamedTuple, Generic[ObjectT]):
    """An object, and what was stored beside what its type knows (None: nothing)."""

    object: ObjectT
    leftover: Leftover | None


class ObjectCodec(Generic[ObjectT]):
    """Encodes and decodes the objects of one workflow. Raises DefinitionError for a type that cannot be coded."""

    def __init__(
        self,
        object_type: type[ObjectT],
        place: str | None = None,
        what: str = "object_type",
        upcasters: Upcasters | None = None,
    ) -> None:
        self.object_type = object_type
        self.upcasters = upcasters or Upcasters(1)
        self.allows_none = object_type is type(None) or type(None) in get_args(object_type)
        self._check_type: Any = None
        self._pydantic = _is_pydantic(object_type)
        if self._pydantic:
            self._decode_bytes: Any = object_type.model_validate_json  # type: ignore[attr-defined]
            self._encode_object: Any = _encode_pydantic
            self._check_type = object_type
        else:
            remedy = "Use a dataclass, msgspec.Struct, attrs class, TypedDict, pydantic model or dict of such fields."
            try:
                decoder = msgspec.json.Decoder(object_type)
                strange = uncodable(msgspec.inspect.type_info(object_type), set())
            except (TypeError, ValueError, NameError) as error:
                raise DefinitionError(
                    f"{what} {object_type!r} cannot be stored as JSON: {error}", place=place, remedy=remedy
                ) from error
            if strange is not None:
                raise DefinitionError(f"{strange!r} in {what} cannot be stored as JSON.", place=place, remedy=remedy)
            self._decode_bytes = decoder.decode
            self._encode_object = msgspec.json.Encoder(enc_hook=_refuse).encode
            if isinstance(object_type, type) and (
                dataclasses.is_dataclass(object_type)
                or issubclass(object_type, msgspec.Struct)
                or hasattr(object_type, "__attrs_attrs__")
            ):
                self._check_type = object_type
        self._plain = object_type in (dict, list) or getattr(object_type, "__origin__", None) in (dict, list)

    def read(self, data: bytes) -> ObjectT:
        """An object from somebody else's bytes. Raises PayloadError, without the content."""
        self._check_size(data, "payload")
        try:
            obj: ObjectT = self._decode_bytes(data)
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise PayloadError(f"the payload is not {_a(self.object_type)}: {error}") from error
        return obj

    def decode(self, payload: Payload | None) -> Decoded[ObjectT]:
        """Raises PayloadError for bytes that are not such an object, NewerSchemaError for an object that newer code stored."""
        if payload is None:
            return Decoded(None, None)  # type: ignore[arg-type]
        self._check_size(payload.data, "stored object")
        data = self.upcasters.present(payload)
        try:
            obj: ObjectT = self._decode_bytes(data)
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise PayloadError(
                f"a stored object is not {_a(self.object_type)}: {error}",
                remedy="Give new fields defaults, or migrate the stored objects.",
            ) from error
        if self._plain:
            return Decoded(obj, None)
        # Bytes that this very code would write hold nothing else: the common case, and cheap to see.
        if self._encode_object(obj) == data:
            return Decoded(obj, None)
        return Decoded(obj, self._leftover(obj, data))

    def encode(self, obj: ObjectT, leftover: Leftover | None = None) -> Payload:
        """Raises PayloadError for an object of another type, NaN and infinities, and PayloadTooLargeError."""
        if self._check_type is not None and not isinstance(obj, self._check_type) and not (obj is None and self.allows_none):
            raise PayloadError(
                f"the object is {_a(type(obj))}, not {_a(self.object_type)}.",
                remedy="Assign an object of the declared type.",
            )
        try:
            data: bytes = self._encode_object(obj)
            if leftover:
                data = msgspec.json.encode(_merged(msgspec.json.decode(data), leftover))
        except (TypeError, ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise PayloadError(f"{_a(self.object_type)} could not be encoded: {error}{self._guilty(obj)}") from error
        self._check_size(data, "object")
        if b"null" in data:
            self._check_finite(obj)
        self._check_readable(data)
        return Payload(data, schema_version=self.upcasters.version)

    def rewritten(self, payload: Payload, rewrite: Callable[[Any], Any]) -> Payload:
        """A stored object after `rewrite` of its JSON in the present schema version: what that answers, or for None what it has
        changed in place. Fields that the type does not know stay as they are. Raises PayloadError when it is then not such an
        object, and what `rewrite` raises."""
        self._check_size(payload.data, "stored object")
        present = self.upcasters.present(payload)
        try:
            raw = msgspec.json.decode(present)
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            raise PayloadError(f"a stored object is no JSON: {error}") from error
        answer = rewrite(raw)
        try:
            data = msgspec.json.encode(raw if answer is None else answer)
        except (TypeError, ValueError, RecursionError) as error:
            raise PayloadError(f"a rewritten object cannot be stored as JSON: {error}") from error
        self._check_size(data, "rewritten object")
        self._check_readable(data)
        return Payload(data, payload.content_type, self.upcasters.version)

    def _check_readable(self, data: bytes) -> None:
        """Encoding does not look at the types of fields; an object that could never be read again must not be stored."""
        try:
            self._decode_bytes(data)
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise PayloadError(
                f"{_a(self.object_type)} holds a value that its type does not allow: {error}",
                remedy="Assign values of the declared types.",
            ) from error

    def _guilty(self, obj: object) -> str:
        """The declared field that cannot be encoded, as the end of a sentence; nothing where there is none. The keys of a dict
        are not told: they may be data."""
        if self._pydantic or self._check_type is None or obj is None:
            return ""
        for name in _field_names(type(obj)):
            try:
                self._encode_object(getattr(obj, name, None))
            except (TypeError, ValueError, msgspec.MsgspecError, RecursionError):
                return f", in field {name!r}"
        return ""

    def _check_size(self, data: bytes, what: str) -> None:
        if len(data) > MAX_PAYLOAD:
            raise PayloadTooLargeError(
                f"the {what} has {len(data):,} bytes; the limit is {MAX_PAYLOAD:,}.",
                remedy="Store large data elsewhere and keep its address in the object.",
            )

    def _check_finite(self, obj: object) -> None:
        """JSON has no NaN; msgspec writes null for it, and null reads back as something else."""
        if not _finite(obj, 0):
            raise PayloadError(
                f"{_a(self.object_type)} holds NaN or an infinity, which JSON cannot.", remedy="Use None or a Decimal."
            )

    def _leftover(self, obj: ObjectT, data: bytes) -> Leftover | None:
        try:
            stored = msgspec.json.decode(data)
            known = msgspec.json.decode(self._encode_object(obj))
            found = _difference(stored, known, 0)
        except RecursionError as error:
            raise PayloadError("a stored object is nested too deeply.") from error
        except (ValueError, msgspec.DecodeError) as error:  # in a field that the type does not know
            raise PayloadError(f"a stored object is no JSON: {error}") from error
        return found if isinstance(found, dict) else None


def _difference(stored: Any, known: Any, depth: int) -> Any:
    """What `stored` has and `known` has not: for an object a dict of it, for a list a dict by index; None when nothing."""
    if depth > MAX_DEPTH:
        raise PayloadError(f"a stored object is nested more than {MAX_DEPTH} deep.")
    if isinstance(stored, dict) and isinstance(known, dict):
        found: dict[Any, Any] = {}
        for key, value in stored.items():
            if key not in known:
                found[key] = value
            else:
                inner = _difference(value, known[key], depth + 1)
                if inner is not None:
                    found[key] = _Inner(inner)
        return found or None
    if isinstance(stored, list) and isinstance(known, list) and len(stored) == len(known):
        parts = {i: _difference(s, k, depth + 1) for i, (s, k) in enumerate(zip(stored, known, strict=True))}
        kept = {i: part for i, part in parts.items() if part is not None}
        return _Elements(kept, len(stored)) if kept else None
    return None


class _Inner:
    """A difference further down, told from a value that is put back whole."""

    __slots__ = ("part",)

    def __init__(self, part: Any) -> None:
        self.part = part


class _Elements:
    """Differences of a list's elements."""

    __slots__ = ("length", "parts")

    def __init__(self, parts: dict[int, Any], length: int) -> None:
        self.parts = parts
        self.length = length


def _merged(fresh: Any, leftover: Any) -> Any:
    if isinstance(leftover, _Elements):
        if isinstance(fresh, list) and len(fresh) == leftover.length:
            return [_merged(v, leftover.parts[i]) if i in leftover.parts else v for i, v in enumerate(fresh)]
        return fresh
    if not isinstance(fresh, dict):
        return fresh
    for key, value in leftover.items():
        if isinstance(value, _Inner):
            if key in fresh:
                fresh[key] = _merged(fresh[key], value.part)
        elif key not in fresh:
            fresh[key] = value
    return fresh


def _finite(value: object, depth: int) -> bool:
    if isinstance(value, float):
        return value == value and value not in (float("inf"), float("-inf"))
    if depth > MAX_DEPTH:
        return True
    if isinstance(value, dict):
        return all(_finite(v, depth + 1) for v in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return all(_finite(v, depth + 1) for v in value)
    if dataclasses.is_dataclass(value) or hasattr(type(value), "__struct_fields__") or hasattr(type(value), "__attrs_attrs__"):
        return all(_finite(getattr(value, name, None), depth + 1) for name in _field_names(type(value)))
    return True


def _field_names(kind: type) -> tuple[str, ...]:
    if hasattr(kind, "__struct_fields__"):
        return tuple(kind.__struct_fields__)
    if hasattr(kind, "__attrs_attrs__"):
        return tuple(attribute.name for attribute in kind.__attrs_attrs__)
    return tuple(field.name for field in dataclasses.fields(kind))


def uncodable(info: Any, seen: set[Any]) -> Any:
    """A class that JSON has no form for, anywhere in a type; None when there is none."""
    if isinstance(info, msgspec.inspect.CustomType):
        return info.cls
    named = getattr(info, "cls", None)
    if named is not None:
        if named in seen:
            return None
        seen.add(named)
    inner = [getattr(info, name, None) for name in ("item_type", "key_type", "value_type", "type")]
    inner += [*getattr(info, "types", ()), *getattr(info, "item_types", ())]
    inner += [field.type for field in getattr(info, "fields", ())]
    found = (uncodable(part, seen) for part in inner if isinstance(part, msgspec.inspect.Type))
    return next((cls for cls in found if cls is not None), None)


def _is_pydantic(object_type: Any) -> bool:
    """Without importing pydantic: a model class can only exist where it has been imported."""
    module = sys.modules.get("pydantic")
    return module is not None and isinstance(object_type, type) and issubclass(object_type, module.BaseModel)


def _encode_pydantic(model: Any) -> bytes:
    text: str = model.model_dump_json()
    return text.encode()


def _refuse(value: object) -> Any:
    raise TypeError(f"{_a(type(value))} cannot be stored as JSON")


def _name(kind: Any) -> str:
    return getattr(kind, "__qualname__", None) or repr(kind)


def _a(kind: Any) -> str:
    """The name of a type with its article. Most names with a U in front (User, UUID) are spoken with a consonant."""
    name = _name(kind)
    return f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"
