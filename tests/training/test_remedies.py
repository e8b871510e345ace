"""What helps against each cause: `tunegate check` prints the table that a diagnosis acts on."""

from __future__ import annotations

import inspect
import re

from tests.support.places import ROOT
from tunegate.pipeline.retrain_spec import RetrainSpec
from tunegate.training import causes
from tunegate.training.remedies import REMEDIES, ways


def test_every_cause_of_the_table_can_be_found() -> None:
    named = set(re.findall(r'"([a-z ]+)"', inspect.getsource(causes)))
    assert {name for name in REMEDIES if name not in named} == set()


def test_every_cause_stands_in_the_docs() -> None:
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert [name for name in (*REMEDIES, causes.NOISE) if f"| {name} |" not in page] == []


def test_a_cause_uses_only_the_lists_that_have_a_value_for_it() -> None:
    found = ways(RetrainSpec(rows=[10, 20], epochs=[1.0], learning_rate=[1e-3, 3e-3]))
    assert found["overfit"] == ("rows", "learning_rate")
    assert found["diverged"] == ()  # the second rate is higher
    assert found["learning rate too low"] == ("learning_rate", "rows")
