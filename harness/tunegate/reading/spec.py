"""The common base of the schemas of users' files, and how a file is read into one.

Validation is strict and happens only here: everything after it is typed. `read_spec` turns pydantic's errors into one
line with file, line, key path and the nearest key.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from itertools import pairwise
from textwrap import dedent
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from tunegate.exceptions import ConfigError, nearest
from tunegate.reading.templates import field_names, pieces
from tunegate.reading.yaml_file import KeyPath, YamlFile


class Spec(BaseModel):
    """A mapping in a user's file: frozen; an unknown key is an error that names the nearest known key."""

    # The validators of a command are built when a file is read into them: most specs are only imported.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Docstrings of attributes become descriptions; pydantic's `use_attribute_docstrings` parses them on import."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in attribute_docs(cls).items():
            if name in cls.model_fields:
                properties[cls.model_fields[name].alias or name].setdefault("description", text)
        return schema

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for key in data:  # pyright: ignore[reportUnknownVariableType]
                if key not in cls.model_fields:
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key{hint}",
                        {"key": str(key), "hint": nearest(str(key), cls.model_fields)},  # pyright: ignore[reportUnknownArgumentType]
                    )
        return data  # pyright: ignore[reportUnknownVariableType]


def attribute_docs(kind: type[Spec]) -> dict[str, str]:
    """The docstrings of attributes by name, for a spec and the specs that it extends.

    Raises OSError if the source is not on this machine.
    """
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if not issubclass(each, Spec) or each is Spec:
            continue
        [definition] = ast.parse(dedent(inspect.getsource(each))).body
        assert isinstance(definition, ast.ClassDef)
        for attribute, after in pairwise(definition.body):
            match attribute, after:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = inspect.cleandoc(text)
                case _:
                    pass
    return found


_SLIP = re.compile(r"\\n(?![a-z])")
"""A line break in single quotes, which YAML reads as a backslash and an n; `\\nabla` is not this mistake."""


def _valid_template(template: str) -> str:
    try:
        texts = [text for text, name in pieces(template) if name is None]
    except ConfigError as error:
        raise ValueError(str(error)) from error
    for text in texts:
        unslipped(text)
    return template


def _names_a_field(template: str) -> str:
    if not field_names(template):
        raise ValueError(f"{template!r} names no field, so it would be the same text for every row; write '{{field}}'")
    return template


def unslipped(text: str) -> str:
    """A text of a YAML file; raises ValueError for `\\n` in single quotes, which YAML does not read as a line break."""
    if _SLIP.search(text):
        raise ValueError(f"{text!r} contains a backslash and an n; for a line break, write the text in double quotes")
    return text


def listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _one_sign(delimiter: str) -> str:
    delimiter = {r"\t": "\t", "tab": "\t"}.get(delimiter, delimiter)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(f"one character was expected, such as , or ; or a tab, got {delimiter!r}")
    return delimiter


Delimiter = Annotated[str, AfterValidator(_one_sign)]
Text = Annotated[str, AfterValidator(unslipped)]
Template = Annotated[str, AfterValidator(_valid_template)]
FieldTemplate = Annotated[Template, AfterValidator(_names_a_field)]
"""A template that must give different texts for different rows."""
Templates = Annotated[list[Template], BeforeValidator(listed)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
Fraction = Annotated[float, Field(gt=0)]


def path_only(value: Any) -> Any:
    """A text in place of a mapping is its `path`."""
    return {"path": value} if isinstance(value, str) else value


SpecT = TypeVar("SpecT", bound=Spec)


def read_spec(spec: type[SpecT], file: YamlFile, keys: KeyPath = (), data: Any = None) -> SpecT:
    """Validate (a part of) a YAML file; raises ConfigError for the first fault, with the number of further faults."""
    data = file.data if not keys else data
    if not isinstance(data, Mapping):
        raise file.error(keys, f"a mapping of keys to values was expected, got {_kind(data)}")
    try:
        return spec.model_validate(data)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        first = faults[0]
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        place: KeyPath = (*keys, *(part for part in first["loc"] if not _is_union_tag(part)))
        if first["type"] == "unknown_key":
            place = (*place, first["ctx"]["key"])  # pyright: ignore[reportTypedDictNotRequiredAccess]
        raise file.error(place, fault_in_words(first) + more) from error


def _is_union_tag(part: str | int) -> bool:
    """Pydantic adds the type it tried to the path of a union's error; a user's file has no such key."""
    return isinstance(part, str) and (part in {"str", "int", "float", "bool"} or "[" in part)


def fault_in_words(fault: Any) -> str:
    """A fault that pydantic found, in one line: what was expected and what the file has."""
    kind, got = fault["type"], fault.get("input")
    if kind == "missing":
        return "this key is required"
    message = _KINDS.get(kind) or str(fault["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    message = message[:1].lower() + message[1:]
    if kind == "too_short":
        return f"at least {fault['ctx']['min_length']} expected, got {fault['ctx']['actual_length'] or 'none'}"
    if kind == "literal_error":
        return f"{message}, got {_kind(got)}{_close(got, fault['ctx']['expected'])}"
    if kind in {"unknown_key", "value_error", "twice", "last"}:
        return message
    return f"{message}, got {_kind(got)}"


_KINDS = {
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a mapping was expected"),
    "list_type": "a list was expected",
}
"""Messages in place of those in which pydantic uses Python's type names."""


def _close(word: Any, expected: str) -> str:
    """The hint at a similar word; empty if none is similar, since the message already lists all words."""
    hint = nearest(word, re.findall("'([^']+)'", expected)) if isinstance(word, str) else ""
    return hint if "did you mean" in hint else ""


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    names = {dict: "a mapping", list: "a list"}
    return names.get(type(value), repr(value)[:80])  # pyright: ignore[reportUnknownArgumentType]
