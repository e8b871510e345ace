"""The JSON Schema of the pipeline file, from `pipeline_spec.py`: editors complete and check as people type."""

from __future__ import annotations

from typing import Any

from tunegate.pipeline.pipeline_spec import PipelineSpec
from tunegate.suites.suite_spec import SuiteSpec


def pipeline_json_schema() -> dict[str, Any]:
    """The schema of `tunegate.yaml`; a suite may stand in the file or be the path of one."""
    schema = PipelineSpec.model_json_schema()
    suite = SuiteSpec.model_json_schema(ref_template="#/$defs/{model}")
    schema["$defs"] |= suite.pop("$defs", {}) | {"SuiteSpec": suite}
    suites = schema["properties"]["suites"]
    suites["additionalProperties"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/SuiteSpec"}]}
    for place in _definitions(schema):
        for name in set(_SHORT_FORMS) & set(place.get("properties", {})):
            place["properties"][name] = {"anyOf": [{"type": "string"}, place["properties"][name]]}
    slices = suite["properties"]["slices"]
    slices["additionalProperties"] = {"anyOf": [{"type": "number"}, slices["additionalProperties"]]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Tunegate pipeline", **schema}


_SHORT_FORMS = ("cases", "data", "tags", "stop", "reference", "choices", "leakage", "answer", "extract")
"""Keys that also take one text where the long form is a list or a mapping."""


def _definitions(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [schema, *schema["$defs"].values()]
