"""ragas, an extra that most installations lack: skipped there; `make test-ragas` has it.

The judge is a stand-in on the loopback interface, and once, in a slow test, a real model.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.check_helpers import FAIL, INVALID, PASS, sample
from tests.support.judge_server import Reply, judge_server
from tests.support.llama_server import llama_server
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate_suites import build_check
from tunegate_suites.ragas_metric import _usable

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
        (
            {"ragas": "RougeScore", "min": 0.5, "server": {"base_url": "http://127.0.0.1:9/v1", "model": "m"}},
            "ragas.server: RougeScore does not use a judge",
        ),
        ({"ragas": "Faithfulness"}, "ragas: 'min' or 'max' is missing"),
        ({"ragas": "TopicAdherence", "min": 0.5}, "unknown metric 'TopicAdherence'"),
        (
            {"ragas": "RougeScore", "min": 0.5, "args": {"rouge_typ": "rouge1"}},
            "args.rouge_typ: not an argument of Ro",
        ),
        (
            {"ragas": "RougeScore", "min": 0.5, "args": {"rouge_type": "rougeX"}},
            "args: RougeScore fails with",
        ),
        (
            {"ragas": "NonLLMStringSimilarity", "min": 0.5, "args": {"distance_measure": "jarro"}},
            "args.distance_measure: unknown value 'jarro' (did you mean 'jaro'",
        ),
    ],
)
def test_wrong_options(entry: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_check(entry, Path())
    assert message in str(caught.value)


def test_a_metric_without_a_judge() -> None:
    [finding] = build_check({"ragas": "ExactMatch", "min": 1}, Path()).judge([sample("BLM", "BLM")])
    assert finding.verdict is PASS


WITHOUT_JUDGE = {
    "BleuScore": "one two three four five",
    "CHRFScore": "one two three four five",
    "DataCompyScore": "id,gene\n1,BLM\n2,ATM\n",
    "ExactMatch": "BLM",
    "NonLLMStringSimilarity": "BLM",
    "QuotedSpansAlignment": 'It says "mutations in BLM cause it".',
    "RougeScore": "BLM",
    "SemanticSimilarity": "BLM causes it",
    "StringPresence": "BLM",
}
"""The metrics that ask nobody, and an answer that is right where it is the reference too."""


def test_these_are_all_metrics_without_a_judge() -> None:
    collections = importlib.import_module("ragas.metrics.collections")
    usable = {name: value for name in collections.__all__ if _usable(value := getattr(collections, name))}
    without = {name for name, value in usable.items() if "llm" not in inspect.signature(value.__init__).parameters}
    assert without == set(WITHOUT_JUDGE)


@pytest.mark.parametrize("metric", WITHOUT_JUDGE)
def test_the_extra_brings_what_metrics_without_a_judge_need(metric: str) -> None:
    right = WITHOUT_JUDGE[metric]
    check = build_check({"ragas": metric, "min": 0.99}, Path())
    [same] = check.judge([sample(right, right, context="Mutations in BLM cause it, it says.")])
    [other] = check.judge([sample('"nobody ever knows why it is"', right, context="Mutations in BLM cause it.")])
    assert same.verdict is PASS, same.reason
    assert other.verdict in (FAIL, INVALID), other.reason


def test_a_choice_of_a_metric_is_named_by_its_value() -> None:
    for measure, value in {"hamming": 0.75, "jaro": pytest.approx(0.8333, abs=1e-4)}.items():
        entry = {"ragas": "NonLLMStringSimilarity", "min": 0.5, "args": {"distance_measure": measure}}
        [finding] = build_check(entry, Path()).judge([sample("BLMX", "BLMY")])
        assert (finding.verdict, finding.value) == (PASS, value)


LACKING = {"NonLLMStringSimilarity": "rapidfuzz", "BleuScore": "sacrebleu", "CHRFScore": "sacrebleu"} | {
    "RougeScore": "rouge_score",
    "DataCompyScore": "datacompy",
}


@pytest.mark.parametrize(("metric", "package"), LACKING.items())
def test_a_metric_whose_package_is_missing_is_refused_before_any_case(
    make_bank: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    metric: str,
    package: str,
) -> None:
    bank = make_bank(checks=f"[{{ragas: {metric}, min: 0.5}}]")
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["gate", "--responses", bank.answers(100), "--suite", bank.suite]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert f"ragas.{metric} needs the extra 'ragas'" in line
    assert package in line


# --- judges that do not judge ----------------------------------------------------------------------------------------


def replies(*contents: dict[str, Any]) -> Callable[[dict[str, Any], int], Reply]:
    return lambda request, number: Reply(json.dumps(contents[min(number, len(contents) - 1)]))


ONE = {"statement": "BLM causes it", "reason": "as it says", "verdict": 1}
SILENT = [
    ("Faithfulness", replies({"statements": []}), 'empty: {"statements": []}'),
    ("Faithfulness", replies({"statements": ["BLM", "ATM"]}, {"statements": []}), 'empty: {"statements": []}'),
    ("Faithfulness", replies({"statements": ["BLM", "ATM"]}, {"statements": [ONE]}), "1 verdicts on 2 statements"),
    ("Faithfulness", replies({"statements": ["BLM"]}, {"statements": [ONE, ONE]}), "2 verdicts on 1 statements"),
    ("FactualCorrectness", replies({"claims": ["BLM", "ATM"]}, {"statements": [ONE]}), "1 verdicts on 2 statements"),
    ("AnswerCorrectness", replies({"statements": []}), 'empty: {"statements": []}'),
    ("AnswerCorrectness", replies(*[{"statements": ["BLM"]}] * 2, {"TP": [], "FP": [], "FN": []}), '"FN": []'),
]


@pytest.mark.parametrize(("metric", "answer", "cause"), SILENT)
def test_a_judge_that_judges_nothing_or_only_a_part_is_invalid(metric: str, answer: Any, cause: str) -> None:
    """ragas itself takes most of these for a perfect match."""
    with judge_server(answer) as server:
        entry = {"ragas": metric, "min": 0, "server": {"base_url": server.base_url, "model": "m", "max_retries": 0}}
        [finding] = build_check(entry, Path()).judge(
            [sample("BLM causes it", "BLM", prompt="Which gene?", context="Mutations in BLM cause Bloom syndrome.")]
        )
    assert finding.verdict is INVALID
    assert cause in finding.reason


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["Faithfulness", "AnswerCorrectness"])
def test_a_real_judge(metric: str) -> None:
    """A small model judges poorly: what it says is a score or INVALID with the cause, and no answer cut off passes."""
    asked = sample("BLM causes it.", "BLM", prompt="Which gene?", context="Mutations in BLM cause Bloom syndrome.")
    with llama_server() as base_url:
        for max_tokens in (128, 4):
            server = {"base_url": base_url, "model": "m", "timeout_s": 600, "max_tokens": max_tokens}
            [finding] = build_check({"ragas": metric, "min": 0, "server": server}, Path()).judge([asked])
            if finding.verdict is INVALID:
                assert f"{metric} failed: " in finding.reason
                assert finding.value is None
            else:
                assert 0 <= finding.value <= 1
    assert finding.verdict is INVALID  # four tokens are no JSON
