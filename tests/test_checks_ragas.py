"""ragas, an extra that most installations lack: skipped there. The judge is a stand-in on the loopback interface."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from check_helpers import FAIL, INVALID, PASS, sample
from judge_server import Reply, judge_server

from tunegate.exceptions import ConfigError
from tunegate_suites import build_check

pytest.importorskip("ragas")
# ragas and what it brings warn a lot on import, which is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")


def answer(request: dict[str, Any], number: int) -> Reply:
    """First the statements of an answer, then whether the context supports each."""
    asked = request["messages"][-1]["content"].rpartition("input: ")[2]
    if '"context"' not in asked:
        statements = [] if "nothing" in asked else ["BLM causes it"]
        return Reply(json.dumps({"statements": statements}))
    supported = int("Mutations in BLM" in asked)
    verdict = {"statement": "BLM causes it", "reason": "as it says", "verdict": supported}
    return Reply(json.dumps({"statements": [verdict]}))


def test_faithfulness() -> None:
    with judge_server(answer) as server:
        entry = {"ragas": "Faithfulness", "min": 0.5, "server": {"base_url": server.base_url, "model": "m"}}
        check = build_check(entry, Path())
        findings = check.judge(
            [
                sample("BLM causes it", prompt="Which gene?", context="Mutations in BLM cause Bloom syndrome."),
                sample("BLM causes it", prompt="Which gene?", context="Nobody knows."),
                sample("BLM causes it", prompt="Which gene?"),
                sample("nothing", prompt="Which gene?", context="Nobody knows."),
                sample("", prompt="Which gene?", context="Nobody knows."),
            ]
        )
    assert [finding.verdict for finding in findings] == [PASS, FAIL, INVALID, INVALID, FAIL]
    assert [finding.value for finding in findings] == [1.0, 0.0, None, None, None]
    assert "retrieved_contexts" in findings[2].reason
    assert os.environ["RAGAS_DO_NOT_TRACK"] == "true"
    assert json.loads(check.fingerprint)["ragas"]


def test_a_judge_that_sends_a_page_is_invalid() -> None:
    with judge_server(lambda request, number: Reply(body="<html>", content_type="text/html")) as server:
        options = {"base_url": server.base_url, "model": "m", "max_retries": 0}
        check = build_check({"ragas": "Faithfulness", "min": 0.5, "server": options}, Path())
        [finding] = check.judge([sample("BLM", prompt="Which gene?", context="x")])
    assert finding.verdict is INVALID
    assert "Faithfulness failed" in finding.reason


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"ragas": "Faithfulnes", "min": 0.5}, "unknown metric 'Faithfulnes' (did you mean 'Faithfulness'"),
        ({"ragas": "Faithfulness", "min": 0.5}, "ragas.server: Faithfulness needs a judge"),
        ({"ragas": "Faithfulness"}, "ragas: needs 'min' or 'max'"),
        ({"ragas": "TopicAdherence", "min": 0.5}, "unknown metric 'TopicAdherence'"),
    ],
)
def test_wrong_options(entry: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_check(entry, Path())
    assert message in str(caught.value)


def test_a_metric_without_a_judge() -> None:
    [finding] = build_check({"ragas": "ExactMatch", "min": 1}, Path()).judge([sample("BLM", "BLM")])
    assert finding.verdict is PASS
