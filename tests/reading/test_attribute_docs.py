"""The docstrings below the keys of a spec are their descriptions in the JSON Schema, as pydantic itself reads them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import Field

from tunegate.pipeline.pipeline_spec import PipelineSpec
from tunegate.reading.spec import Spec, attribute_docs
from tunegate.suites.suite_spec import SuiteSpec


class Base(Spec):
    one: int
    """The first
    of two lines."""
    bare: int = 0


class Derived(Base):
    """Not of an attribute."""

    two: int = Field(2, alias="2")
    """Known as 2."""
    three: int = Field(3, description="said here")
    """Said there."""


class Outer(Spec):
    inner: Derived
    """A reference."""


def test_attributes_of_a_class_and_of_its_bases() -> None:
    docs = {"one": "The first\nof two lines.", "two": "Known as 2.", "three": "Said there."}
    assert attribute_docs(Derived) == docs


def test_a_schema_describes_aliases_references_and_what_is_inherited() -> None:
    schema = Outer.model_json_schema()
    assert schema["properties"]["inner"]["description"] == "A reference."
    properties = schema["$defs"]["Derived"]["properties"]
    told = {name: form.get("description") for name, form in properties.items()}
    assert told == {"one": "The first\nof two lines.", "bare": None, "2": "Known as 2.", "three": "said here"}


def _all(kind: type[Spec]) -> Iterator[type[Spec]]:
    for each in kind.__subclasses__():
        yield each
        yield from _all(each)


OURS = sorted({each for each in _all(Spec) if each.__module__.startswith("tunegate.")}, key=lambda each: each.__name__)


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_the_descriptions_are_those_of_pydantic(kind: type[Spec]) -> None:
    from pydantic._internal._docs_extraction import extract_docstrings_from_cls

    assert set(OURS) > {PipelineSpec, SuiteSpec}
    own = extract_docstrings_from_cls(kind, use_inspect=True)
    assert own.items() <= attribute_docs(kind).items()
    described = kind.model_json_schema()
    place = described if "properties" in described else described["$defs"][kind.__name__]
    assert {form.get("description") for form in place["properties"].values()} >= set(own.values())
