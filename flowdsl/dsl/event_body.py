"""The body of somebody else's event: checked against a JSON Schema, decoded to a type."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
import msgspec.inspect

from flowdsl.dsl.codec import uncodable
from flowdsl.errors import DefinitionError, MissingExtraError, PayloadError

REMEDY = "Name a dataclass, msgspec.Struct, attrs class, TypedDict, pydantic model, dict, str or bytes."


class BodyDecoder:
    """In: the type (None: the bytes as they are; beside a schema, whatever the JSON is); a JSON Schema, or None. Raises
    DefinitionError for a type or schema that cannot be, MissingExtraError."""

    def __init__(self, body_type: Any, schema: Mapping[str, Any] | None, place: str) -> None:
        self.body_type: Any = body_type
        self._validator = None if schema is None else _validator(schema, place)
        self._decode: Any = None
        if body_type is bytes and schema is None or body_type is None and schema is None:
            return
        if _is_pydantic(body_type):
            self._decode = self.body_type.model_validate_json
        elif body_type is not str and body_type is not bytes:
            kind = Any if body_type is None else body_type
            try:
                self._decode = msgspec.json.Decoder(kind).decode
                strange = uncodable(msgspec.inspect.type_info(kind), set())
            except (TypeError, ValueError, NameError) as error:
                raise DefinitionError(
                    f"a body cannot be decoded to {body_type!r}: {error}", place=place, remedy=REMEDY
                ) from error
            if strange is not None:
                raise DefinitionError(f"a body cannot be decoded to {strange!r}.", place=place, remedy=REMEDY)

    def decode(self, body: bytes) -> Any:
        """The payload. Raises PayloadError for a body that does not fit."""
        if self._validator is not None:
            self._check(self._validator, body)
        if self._decode is None:
            return self._text(body) if self.body_type is str else body
        try:
            return self._decode(body)
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            name = getattr(self.body_type, "__qualname__", None) or repr(self.body_type)
            raise PayloadError(f"the body is not a {'JSON value' if self.body_type is None else name}: {error}") from error

    def _check(self, validator: Any, body: bytes) -> None:
        try:
            found = min(validator.iter_errors(msgspec.json.decode(body)), key=_depth, default=None)
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise PayloadError(f"the body is no JSON: {error}") from error
        if found is not None:
            raise PayloadError(f"the body does not fit the schema at {found.json_path}: {found.message}")

    def _text(self, body: bytes) -> str:
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise PayloadError(f"the body is no text: {error}") from error


def _validator(schema: Mapping[str, Any], place: str) -> Any:
    try:
        jsonschema: Any = importlib.import_module("jsonschema")
        referencing: Any = importlib.import_module("referencing")
    except ImportError as error:
        raise MissingExtraError(f"schema= needs {error.name}.", remedy="pip install 'flowdsl[jsonschema]'") from error
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise DefinitionError(f"schema= is no JSON Schema: {error.message} at {error.json_path}", place=place) from error
    return kind(schema, registry=referencing.Registry())  # with a registry of its own it fetches no schema from elsewhere


def _depth(error: Any) -> tuple[int, str]:
    """The outermost first, then by place: the same error whatever order they are found in."""
    return (len(error.absolute_path), str(error.json_path))


def _is_pydantic(body_type: Any) -> bool:
    """Without importing pydantic: a model class can only exist where it has been imported."""
    module = sys.modules.get("pydantic")
    return module is not None and isinstance(body_type, type) and issubclass(body_type, module.BaseModel)
