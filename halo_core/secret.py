"""Options that are secrets: passwords, tokens and keys of services.

A spec and all records of a run name only the environment variable that holds the secret:

    key: {env: SERVICE_KEY}
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, SecretBytes, SecretStr
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from halo_core.errors import UserError
from halo_core.known_secrets import declare

ENV = "env"
FOR_IDENTITY = "identity"
"""Key of the context of a dump in which all secrets look alike."""
_VARIABLE = re.compile("[A-Z_][A-Z0-9_]*")
_SAME = "a secret"
MISTAKE = "halo_secret"
"""Type of pydantic's error about a secret that is not given by a variable's name."""
_NOT_HERE = (
    "this option is a secret, and a spec is recorded; expected {env: NAME}, where NAME is the "
    "environment variable that holds the secret, in capitals. Take the secret out of the spec, put "
    "it into a variable, such as EXAMPLE, and write {env: EXAMPLE}"
)


class Secret:
    """The type of an option that is a secret; the spec gives it as ``{env: NAME}``.

    The object holds the name of the variable, never the value. The option is not part of the
    identity of a stage, so another secret computes nothing again. halo replaces the value by stars
    in all that it prints and records.

    Args:
        variable: The name of the environment variable that holds the secret, in capitals.
    """

    __slots__ = ("variable",)

    def __init__(self, variable: str) -> None:
        self.variable = variable
        declare(variable)

    def reveal(self) -> str:
        """Returns the secret itself, without blanks at its ends.

        Call it where the secret is used, and do not store, log or print what it returns.

        Raises:
            UserError: When the variable is not set.
        """
        value = os.environ.get(self.variable, "").strip()
        if not value:
            raise UserError(not_set(self.variable))
        return value

    @property
    def is_set(self) -> bool:
        """Whether the variable has a value in this process."""
        return bool(os.environ.get(self.variable, "").strip())

    def tree(self) -> dict[str, str]:
        """Returns it as a spec writes it."""
        return {ENV: self.variable}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.variable == self.variable

    def __hash__(self) -> int:
        return hash(self.variable)

    def __repr__(self) -> str:
        return f"Secret({self.variable!r})"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            _take,
            serialization=core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "object",
            "description": "a secret, by the environment variable that holds it",
            "x-halo-secret": True,
            "properties": {ENV: {"type": "string", "pattern": f"^{_VARIABLE.pattern}$"}},
            "required": [ENV],
            "additionalProperties": False,
        }


def _take(value: object, info: core_schema.ValidationInfo) -> Secret:
    if isinstance(value, Secret):
        return value
    name = value.get(ENV) if isinstance(value, Mapping) and len(value) == 1 else None
    if isinstance(name, str) and _VARIABLE.fullmatch(name):
        return Secret(name)
    # The message never shows the value, which may be the secret.
    example = re.sub(r"\W", "_", info.field_name or "secret").upper()
    raise PydanticCustomError(
        MISTAKE,
        "{message}",
        {"message": _NOT_HERE.replace("EXAMPLE", example)},
    )


def _dump(secret: Secret, info: core_schema.SerializationInfo) -> Any:
    return _SAME if (info.context or {}).get(FOR_IDENTITY) else secret.tree()


def not_set(variable: str) -> str:
    """Returns the message about a variable that holds no secret."""
    return (
        f"the environment variable {variable}, which should hold the secret, is not set. Set it, "
        "or name another one with {env: NAME}"
    )


def types_in(annotation: object) -> Iterator[object]:
    """Yields the types in an annotation, at any depth."""
    yield annotation
    for part in get_args(annotation):
        yield from types_in(part)


def is_secret(annotation: object) -> bool:
    """Returns whether an option of this type holds secrets: one, a list or a mapping of them."""
    return any(part is Secret for part in types_in(annotation))


def records_its_value(annotation: object) -> bool:
    """Returns whether it has one of pydantic's own types, whose value a spec would have to hold.

    The options within an option count, too.
    """
    return any(part in (SecretStr, SecretBytes) for part in _types_below(annotation, set()))


def _types_below(annotation: object, seen: set[object]) -> Iterator[object]:
    for part in types_in(annotation):
        yield part
        if isinstance(part, type) and issubclass(part, BaseModel) and part not in seen:
            seen.add(part)
            for info in part.model_fields.values():
                yield from _types_below(info.annotation, seen)


def secrets_in(value: object) -> Iterator[tuple[tuple[str | int, ...], Secret]]:
    """Yields the secrets in the value of an option, or in all options of a model, with keys."""
    if isinstance(value, Secret):
        yield (), value
    elif isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            for keys, secret in secrets_in(getattr(value, name)):
                yield (info.alias or name, *keys), secret
    elif isinstance(value, Mapping):
        for key, item in value.items():
            for keys, secret in secrets_in(item):
                yield (key, *keys), secret
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            for keys, secret in secrets_in(item):
                yield (number, *keys), secret
