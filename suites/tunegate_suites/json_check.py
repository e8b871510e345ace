"""`json`: the answer parses as JSON and follows the schema, if there is one."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from pydantic import Field, ValidationInfo, field_validator

from tunegate.checks.check import Sample
from tunegate.checks.outcome import Finding
from tunegate.reading.files import resolve
from tunegate.text.timing import TooSlow, time_limit
from tunegate.trust.wants import NOTHING, Wants
from tunegate_suites.base import CaseCheck
from tunegate_suites.options import read_file

SCHEMA_LIMIT_S = 5.0
FENCED = re.compile(r"```\w*[ \t]*\n(.*)```", re.DOTALL)


class Json(CaseCheck):
    """The answer is JSON (RFC 8259) and follows a JSON Schema, if one is given."""

    shorthand: ClassVar[str | None] = "schema"
    example: ClassVar[str] = "json: {schema: answer.schema.json, fences: true}"
    reads_answer_alone: ClassVar[bool] = True
    passes_when: ClassVar[str] = "parses, and the schema accepts it"

    json_schema: dict[str, Any] | None = Field(None, alias="schema")
    """a JSON Schema: the path of a file, or written here; its `$ref`s must stay within it"""
    fences: bool = False
    """remove a ```json fence around the answer"""

    @field_validator("json_schema", mode="before")
    @classmethod
    def _read(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str | Path):
            return value
        file = read_file(value, info)
        try:
            return json.loads(file.text)
        except ValueError as error:
            raise ValueError(f"{file.path}: this file is not JSON: {error}") from None

    @property
    def wants(self) -> Wants:
        named = self._context.given.get("schema")
        return Wants(reads=(resolve(named, self._context.base_dir),)) if isinstance(named, str) else NOTHING

    def prepare(self) -> None:
        if self.json_schema is None:
            return
        from jsonschema import SchemaError
        from jsonschema.validators import validator_for

        try:
            validator_for(self.json_schema).check_schema(self.json_schema)
        except SchemaError as error:
            raise self.config_error(
                "schema", f"this is not a JSON Schema: {error.json_path}: {error.message}"
            ) from None

    @cached_property
    def _validator(self) -> Any:
        from jsonschema.validators import validator_for
        from referencing import Registry

        # An empty registry: a `$ref` to a URL is an error instead of a download.
        schema = self.json_schema or {}
        return validator_for(schema)(schema, registry=Registry())

    def judge_one(self, sample: Sample) -> Finding:
        text = sample.response.text.strip()
        fenced = FENCED.fullmatch(text) if self.fences else None
        try:
            value = parse(fenced[1] if fenced else text)
        except (ValueError, RecursionError) as error:
            return self.passed(False, False, f"not JSON: {str(error) or 'nested too deeply'}")
        if self.json_schema is None:
            return self.passed(True, True, "parses")
        return self._against_schema(value)

    def _against_schema(self, value: object) -> Finding:
        from jsonschema.exceptions import best_match

        try:
            with time_limit(SCHEMA_LIMIT_S):
                fault = best_match(self._validator.iter_errors(value))
        except TooSlow:
            return self.invalid(f"the schema took more than {SCHEMA_LIMIT_S:g} s on this answer")
        except RecursionError:
            return self.passed(False, False, "nested too deeply for the schema")
        if fault is None:
            return self.passed(True, True, "follows the schema")
        return self.passed(False, False, f"{fault.json_path}: {fault.message[:200]}")


def parse(text: str, *, exact: bool = False) -> Any:
    """Parse strict JSON: NaN, Infinity and a duplicated key are errors. Raises ValueError or RecursionError.

    `exact`: numbers with decimals or exponents are Decimals, which are never rounded.
    """
    return json.loads(
        text,
        parse_float=Decimal if exact else None,
        parse_constant=_refuse_constant,
        object_pairs_hook=_refuse_duplicates,
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key is duplicated in one object")
    return result
