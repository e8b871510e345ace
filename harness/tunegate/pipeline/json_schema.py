"""The JSON Schemas of pipeline and suite files, from their specs: editors complete and check the file with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunegate.pipeline.pipeline_spec import PipelineSpec
from tunegate.suites.suite_spec import SuiteSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def pipeline_json_schema() -> dict[str, Any]:
    """The schema of `tunegate.yaml`; a suite may be written in the file, or be the path of a suite file."""
    schema = PipelineSpec.model_json_schema()
    suite = _suite()
    schema["$defs"] |= suite.pop("$defs", {}) | {"SuiteSpec": suite}
    suites = schema["properties"]["suites"]
    suites["additionalProperties"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/SuiteSpec"}]}
    return _whole(schema, "Tunegate pipeline")


def suite_json_schema() -> dict[str, Any]:
    """The schema of a suite file."""
    return _whole(_suite(), "Tunegate suite")


def _suite() -> dict[str, Any]:
    schema = SuiteSpec.model_json_schema()
    slices = schema["properties"]["slices"]
    slices["additionalProperties"] = {"anyOf": [{"type": "number"}, slices["additionalProperties"]]}
    return schema


def _whole(schema: dict[str, Any], title: str) -> dict[str, Any]:
    for place in (schema, *schema["$defs"].values()):
        for name in set(_SHORT_FORMS) & set(place.get("properties", {})):
            place["properties"][name] = _or_short(place["properties"][name], _SHORT_FORMS[name])
    return {"$schema": DIALECT, **schema, "title": title}


_TEXT = (
    *("cases", "data", "tags", "stop", "reference", "choices", "leakage", "answer", "extract", "replay_data"),
    *("against", "measures"),  # of `diversity`
)
_SHORT_FORMS: Mapping[str, Mapping[str, str]] = {
    **{key: {"type": "string"} for key in _TEXT},
    "retrain": {"const": "auto"},
}
"""Keys that take a single string as well as a list or a mapping, with the schema of this string."""


def _or_short(form: dict[str, Any], short: Mapping[str, str]) -> dict[str, Any]:
    """The long form or a string; the description of the key stays where editors look for it."""
    about = {name: form[name] for name in ("title", "description", "default") if name in form}
    return about | {"anyOf": [dict(short), {name: form[name] for name in form if name not in about}]}
