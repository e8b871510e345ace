"""Proofs for the options of checks: an answer that is judged otherwise, or another number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.check_helpers import AGREES, sample
from tests.support.judge_server import Reply, judge_server
from tests.support.option_proofs import Changes, Proof, Proofs, ShownBy, changed, suite
from tunegate.cases.case import Case
from tunegate.checks.check import Sample
from tunegate.checks.judge_admission import Agreement, default_path, write_admission
from tunegate.checks.outcome import Finding, Outcome, Verdict
from tunegate.models.model import ChoiceScore, ImportedScore, Response, ScriptedModel
from tunegate.reading.spec import read_spec
from tunegate.reading.yaml_file import load_yaml
from tunegate.stats.sampling import SinglePlan
from tunegate.verdicts.corrected import admissions_of
from tunegate.verdicts.terms import Terms, conclude
from tunegate_suites import build_check
from tunegate_suites.base import NumericCheck
from tunegate_suites.judges.fit import fitted_json
from tunegate_suites.judges.judge import Judge
from tunegate_suites.judges.prompt import judge_messages
from tunegate_suites.judges.rubric import Rubric
from tunegate_suites.judges.server import ServerOptions, server_of
from tunegate_suites.options import LocalModels

FILES = {
    "metrics.py": "def words(case, text):\n    return len(text.split())\ndef label(case, text):\n    return text\n",
    "words.txt": "BLMX",
    "schema.json": json.dumps({"type": "object"}),
    "labels.yaml": "criterion: Right?\nlabels: [yes, no]\n",
    "other.yaml": "criterion: Kind?\nlabels: [yes, no]\n",
    "scale.yaml": "criterion: Good?\nscale: {min: 1, max: 5}\n",
    "pairs.yaml": "criterion: Better?\nlabels: [1, 2]\n",
    "shown.yaml": "criterion: Better?\nlabels: [1, 2]\nshow: [references]\n",
    "judge.yaml": "{rubric: labels.yaml, model: m, accept: [no]}",
    "corrected.yaml": "{rubric: other.yaml, model: m, accept: [no], corrected_min: 0.8}",
    "strict.yaml": "{rubric: other.yaml, model: m, accept: [no]}",
    "a.json": fitted_json({"weights": {"contains": 1.0}, "bias": -0.5, "cut": 0.0}, [], {}),
    "b.json": fitted_json({"weights": {"contains": 1.0}, "bias": -2.0, "cut": 0.0}, [], {}),
}
GERMAN = "Die Mutation liegt in einem Gen auf dem langen Arm des Chromosoms, wie man seit langem weiß."
LOOP = "one two three one two three one two three"


def _says(case: Case) -> Response:
    """A judge that takes the first of its menu where the answer says GOOD, else the last; a model of other texts."""
    good = "GOOD" in case.prompt_text.rpartition("ANSWER")[2] if "ANSWER" in case.prompt_text else False
    last = len(case.choices) - 1
    scores = [ChoiceScore(0.0 if n == (0 if good else last) else -9.0, 4) for n in range(len(case.choices))]
    return Response("", choice_scores=tuple(scores) if last else (ChoiceScore(-8.0, 4),))


def models() -> LocalModels:
    return LocalModels(lambda spec: ScriptedModel(_says), lambda spec: f"weights of {Path(spec).name}")


def found(folder: Path, value: Any) -> Any:
    """What a check finds in some answers, its reasons in words aside, which may just repeat the option."""
    entry, samples, _ = value
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    check = build_check(entry, folder, models())
    findings = check.judge(samples)
    errors = [[error.category, error.text] for finding in findings for error in finding.errors]
    asked = [check.variants(one.case) for one in samples]
    return [[f.verdict, f.value] for f in findings], errors, check.max_errors, asked, check.needs


def check(
    name: str, changes: Changes, *samples: Sample, base: Mapping[str, Any] | None = None, refused: str | None = None
) -> Proof:
    """A check with and without an option, on the same answers."""
    options = dict(base or {})
    return Proof(found, ({name: options}, samples, None), ({name: changed(options, changes)}, samples, None), refused)


def scores(*numbers: float) -> Response:
    return Response("", choice_scores=tuple(ChoiceScore(number, 4) for number in numbers))


LAST_NUMBER = {"checks": [{"number": {}}], "answer": "last_number"}
CHOOSES = {"cases.choices": "{options}", "checks": [{"choice": {}}]}
RIGHT = sample("It is BLM.", "BLM")
SCORED = sample(
    Response("x", imported=(ImportedScore("acc", 1.0, True), ImportedScore("f1", 0.6))),
)
CHOICE = sample(scores(-2.0, -2.5), "ab", choices=("ab", "abcdef"))


def error(
    setting: str, value: Any, category: str, answer: str | Response, base: Any = None, **case: Any
) -> Sequence[Proof]:
    """A setting of a category that is asked for; and the same where it is not."""
    one = sample(answer, "BLM", **case)
    return (
        check("errors", {setting: value}, one, base={"forbid": [category], **(base or {})}),
        check("errors", {setting: value}, one, base={"forbid": ["empty"]}, refused=f"only the category '{category}'"),
    )


# --- judges ---------------------------------------------------------------------------------------------------------

LOCAL = {"rubric": "labels.yaml", "model": "m", "accept": ["yes"]}
SCALED = {"rubric": "scale.yaml", "model": "m", "min": 4}
COMPARES = {"compare": {"features": ["contains"], "fitted": "a.json"}}
ANSWERS = (sample("GOOD", "BLM"), sample("bad", "BLM"), sample("It is BLM/WRN", "BLM/WRN", context="the passage"))
REASON = "the judge is a copy of it, for a test only"


def judged(folder: Path, value: Any) -> Any:
    """What a judge finds, and what a gate makes of it; it was measured, as `AGREES` says."""
    entry, samples, measured = value
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    first = build_check({"judge": entry}, folder, models())
    assert isinstance(first, Judge)
    write_admission(folder / default_path(first.judge_sha256), first.judge_sha256, measured)
    write_admission(folder / "poor.json", first.judge_sha256, Agreement(((5, 5, 0), (5, 5, 0))))
    again = build_check({"judge": entry}, folder, models())
    findings = list(again.judge(samples))
    outcomes = [Outcome(str(n), f.verdict, "", (replace(f, check="judge"),), "?", "x") for n, f in enumerate(findings)]
    many = [Outcome(str(n), Verdict.PASS, "", (Finding("judge", Verdict.PASS),), "?", "x") for n in range(20)]
    terms = Terms(SinglePlan(20, 10), admissions=admissions_of([again]))
    return [[f.verdict, f.value] for f in findings], conclude(terms, many).verdict, len(outcomes)


def judge(changes: Changes, base: Any = LOCAL, refused: str | None = None, samples: Any = ANSWERS) -> Proof:
    return Proof(judged, (base, samples, AGREES), (changed(base, changes), samples, AGREES), refused)


ITSELF = tuple(replace(one, model_sha256="weights of m", model_name="m") for one in ANSWERS)


# --- servers --------------------------------------------------------------------------------------------------------


def served(folder: Path, options: Any) -> Any:
    """How a server is asked, and what a judge makes of its replies, of which the first is a fault."""
    (folder / "labels.yaml").write_text(FILES["labels.yaml"])

    def answer(request: Any, number: int) -> Reply:
        return Reply(body="oops", status=500) if number == 0 else Reply('{"verdict": "yes"}')

    with judge_server(answer) as fake, pytest.MonkeyPatch.context() as environment:
        environment.setenv("TUNEGATE_TEST_KEY", "key")
        server = {"base_url": fake.base_url, **options}
        one = build_check({"judge": {"rubric": "labels.yaml", "server": server, "accept": ["yes"]}}, folder)
        assert isinstance(one, Judge)
        findings = one.findings([*ANSWERS, sample("more"), sample("still more")])
        sent = sorted(json.dumps({k: v for k, v in r.items() if k != "messages"}) for r in fake.requests)
        how = asdict(server_of(ServerOptions(**server), "judge")) | {"base_url": ""}
        return sent, sorted(str(f.verdict) for f in findings), how


def server(changes: Changes, refused: str | None = None) -> Proof:
    base = {"model": "m", "max_retries": 0, "concurrency": 1}
    return Proof(served, base, changed(base, changes), refused)


# --- rubrics --------------------------------------------------------------------------------------------------------


def rubric_asks(folder: Path, rubric: Any) -> Any:
    """What a judge is asked and which verdicts it may give."""
    (folder / "rubric.yaml").write_text(json.dumps(rubric))
    read = read_spec(Rubric, load_yaml(folder / "rubric.yaml"))
    case = sample("a", "BLM", context="the passage").case
    return read.menu, judge_messages(read, case, "an answer", as_json=True)


EXAMPLE = {"prompt": "Which?", "answer": "WRN", "verdict": "no", "references": ["BLM"]}
RUBRIC = {"criterion": "Right?", "labels": ["yes", "no"], "examples": [EXAMPLE], "show": ["prompt", "references"]}
NUMBERS = {"criterion": "Good?", "scale": {"min": 1, "max": 5}}


def rubric(changes: Changes, base: Any = RUBRIC, refused: str | None = None) -> Proof:
    return Proof(rubric_asks, base, changed(base, changes), refused)


def half(folder: Path, entry: Any) -> Any:
    """The verdict on a similarity of a half, since it takes seconds until the model can find one."""
    check = build_check(entry, folder)
    assert isinstance(check, NumericCheck)
    return check.scored(0.5).verdict


SIMILARITY = ShownBy("test_checks_scores.py", 'build_check({"similarity": 0.8}, Path())')
RAGAS = ShownBy("test_checks_ragas.py", "ragas")

PROOFS: Proofs = {
    "exact.normalize": check("exact", {"normalize": False}, sample("blm.", "BLM")),
    "contains.normalize": check("contains", {"normalize": False}, sample("it is blm", "BLM")),
    "contains.text": check("contains", {"text": "WRN"}, RIGHT),
    "contains.match": check("contains", {"match": "any"}, sample("one"), base={"text": ["one", "two"]}),
    "contains.whole_words": check(
        "contains", {"whole_words": True}, sample("BLMX", "BLM"), base={"whole_words": False}
    ),
    "regex.pattern": check("regex", {"pattern": "WRN"}, RIGHT, base={"pattern": "BLM"}),
    "regex.fullmatch": check("regex", {"fullmatch": True}, RIGHT, base={"pattern": "BLM"}),
    "regex.ignore_case": check("regex", {"ignore_case": True}, RIGHT, base={"pattern": "blm"}),
    "json.schema": check("json", {"schema": "schema.json"}, sample("[1]")),
    "json.fences": check("json", {"fences": True}, sample("```json\n{}\n```")),
    "json_equal.extra_keys": check("json_equal", {"extra_keys": True}, sample('{"a": 1, "b": 2}', '{"a": 1}')),
    "json_equal.fences": check("json_equal", {"fences": True}, sample("```json\n{}\n```", "{}")),
    "number.tolerance": check("number", {"tolerance": 0.5}, sample("100.3", "100")),
    "number.relative": check("number", {"relative": 0.01}, sample("100.3", "100")),
    "number.which": (
        check("number", {"which": "first"}, sample("5, not 7", "5")),
        suite({"checks.0.number.which": "only"}, LAST_NUMBER, refused="already selects one number"),
        suite({"checks.0.number.which": "first"}, LAST_NUMBER, refused="already selects one number"),
        suite(
            {"checks": [{"contrast": {"checks": [{"number": {"which": "only"}}]}}]},
            LAST_NUMBER,
            "contrast: number.which",
        ),
    ),
    "number.decimal": check("number", {"decimal": ","}, sample("1,234", "1234")),
    "number.percent": check("number", {"percent": True}, sample("50%", "0.5")),
    "choice.gold_base": (
        check("choice", {"gold_base": 1}, sample(scores(-2.0, -2.5), "1", choices=("ab", "cd"))),
        suite(
            {"checks": [{"contrast": {"checks": [{"choice": {"gold_base": 1}}]}}]}, CHOOSES, refused="contrast: choice"
        ),
        suite({"checks.0.choice.gold_base": 1}, CHOOSES, refused="no reference is the number of a choice"),
    ),
    "choice.normalize": check("choice", {"normalize": "chars"}, CHOICE),
    "imported.score": check("imported", {"score": "f1"}, SCORED, base={"score": "acc"}),
    "imported.min": check("imported", {"min": 0.8}, SCORED, base={"score": "f1", "max": 0.9}),
    "imported.max": check("imported", {"max": 0.5}, SCORED, base={"score": "f1", "min": 0.4}),
    "perplexity.max": check("perplexity", {"max": 1.1}, sample(scores(-8.0), choices=("abcd",)), base={"max": 99.0}),
    "perplexity.min": check("perplexity", {"min": 50.0}, sample(scores(-8.0), choices=("abcd",)), base={"max": 99.0}),
    "perplexity.than": check(
        "perplexity", {"than": "base"}, sample(scores(-8.0), choices=("abcd",)), base={"max": 99.0}
    ),
    "preference_bias.score": (
        check(
            "preference_bias",
            {"score": "sentence"},
            sample(scores(-2.0, -3.0), choices=("ab c", "xy c")),
        ),
        ShownBy("test_checks_preference.py", 'entry("shared")'),
    ),
    "preference_bias.max_less": check(
        "preference_bias", {"max_less": 3}, sample(scores(-2.0, -3.0), choices=("a", "b")), base={"score": "sentence"}
    ),
    "rouge1.min": check("rouge1", {"min": 0.9}, RIGHT, base={"min": 0.1}),
    "rouge1.max": check("rouge1", {"max": 0.2}, RIGHT, base={"min": 0.1}),
    "rouge1.measure": check("rouge1", {"measure": "recall"}, RIGHT, base={"min": 0.1}),
    "rouge1.stemmer": check("rouge1", {"stemmer": True}, sample("genes mutated", "gene mutates"), base={"min": 0.1}),
    "similarity.min": (Proof(half, {"similarity": 0.01}, {"similarity": 0.99}), SIMILARITY),
    "similarity.max": (Proof(half, {"similarity": {"max": 0.99}}, {"similarity": {"max": 0.02}}), SIMILARITY),
    "similarity.model": Proof(half, {"similarity": 0.01}, {"similarity": {"min": 0.01, "model": "nowhere"}}, "nowhere"),
    "counterfactual.normalize": check(
        "counterfactual",
        {"normalize": False},
        replace(sample("Yes", prompt="Is John well?"), variants=(Response("yes."),)),
        base={"swap": ["gender"]},
    ),
    "counterfactual.swap": check("counterfactual", {"swap": ["gender"]}, sample("Yes", prompt="Is Emily well? He is.")),
    "counterfactual.swap_back": check(
        "counterfactual",
        {"swap_back": True},
        replace(sample("he", prompt="Is he well?"), variants=(Response("she"),)),
        base={"swap": ["gender"]},
    ),
    "contrast.checks": check(
        "contrast",
        {"checks": [{"regex": "b"}]},
        replace(
            sample(
                "a", "a", fields={"members": [{"rule": "r", "kind": "invariant", "prompt": "??", "references": ["a"]}]}
            ),
            variants=(Response("a", "stop"),),
        ),
        base={"checks": ["exact"]},
    ),
    "python.function": check(
        "python", {"function": "metrics:label"}, RIGHT, base={"function": "metrics:words", "min": 1}
    ),
    "python.min": check("python", {"min": 9}, RIGHT, base={"function": "metrics:words", "min": 1}),
    "python.max": check("python", {"max": 2}, RIGHT, base={"function": "metrics:words", "min": 1}),
    "python.accept": check(
        "python", {"accept": ["no"]}, sample("yes"), base={"function": "metrics:label", "accept": ["yes"]}
    ),
    "evaluate.metric": ShownBy("test_checks_scores.py", "no file or folder"),
    "evaluate.result": ShownBy("test_checks_scores.py", '"result": "ratio"'),
    "evaluate.args": ShownBy("test_checks_scores.py", '"args": {"extra": 1.0}'),
    "evaluate.min": ShownBy("test_checks_scores.py", '"result": "ratio", "min": 0.5'),
    "evaluate.max": ShownBy("test_checks_scores.py", '"result": "ratio", "max": 0.5'),
    **{f"ragas.{key}": RAGAS for key in ("metric", "server", "args", "min", "max")},
    # errors
    "errors.forbid": check("errors", {"forbid": ["empty"]}, sample(""), base={"forbid": ["repetition"]}),
    "errors.max": check("errors", {"max": {"empty": 3}}, sample(""), base={"forbid": ["repetition"]}),
    "errors.report": check("errors", {"report": ["empty"]}, sample(""), base={"forbid": ["repetition"]}),
    "errors.max_words": error("max_words", 3, "too_long", "one two three four"),
    "errors.max_chars": error("max_chars", 3, "too_long", "one two three four"),
    "errors.min_words": error("min_words", 9, "too_short", "one two three four"),
    "errors.min_chars": error("min_chars", 99, "too_short", "one two three four"),
    "errors.repeats": error("repeats", 4, "repetition", LOOP),
    "errors.ngram": error("ngram", 1, "repetition", LOOP),
    "errors.format": error("format", "[A-Z]+", "format", "no", base={"format": "[a-z]+"}),
    "errors.echo_words": error(
        "echo_words", 4, "prompt_echo", "of the long arm is a", prompt="what is it: the end of the long arm"
    ),
    "errors.language": (
        check("errors", {"language": "de"}, sample(GERMAN), base={"forbid": ["wrong_language"]}),
        check(
            "errors",
            {"language": "de"},
            sample(GERMAN),
            base={"forbid": ["empty"]},
            refused="only the category 'wrong_language'",
        ),
    ),
    "errors.language_min_chars": error("language_min_chars", 200, "wrong_language", GERMAN),
    "errors.vocabulary": error("vocabulary", ["words.txt"], "misspelling", "blmx and nothing else"),
    "errors.names": (
        ShownBy("test_checks_pii.py", '"names": "known"'),
        check("errors", {"names": "known"}, RIGHT, base={"forbid": ["empty"]}, refused="only the category 'pii'"),
    ),
    # judges
    "judge.file": Proof(judged, (LOCAL, ANSWERS, AGREES), ("judge.yaml", ANSWERS, AGREES)),
    "judge.rubric": judge({"rubric": "scale.yaml", "accept": None, "min": 2}),
    "judge.model": judge({"model": "m"}, {**LOCAL, "model": "other"}, samples=ITSELF),
    "judge.server": judge(
        {"server": {"base_url": "http://127.0.0.1:9/v1", "model": "m", "max_retries": 0}, "model": None}
    ),
    "judge.compare": (
        judge({"compare": COMPARES["compare"], "rubric": None, "model": None, "accept": None}),
        judge({"compare": COMPARES["compare"]}, refused="name one judge"),
    ),
    "judge.panel": judge(
        {"panel": ["judge.yaml", "strict.yaml"], "rubric": None, "model": None, "accept": None}, LOCAL
    ),
    "judge.pairwise": (
        judge({"pairwise": True, "rubric": "pairs.yaml", "accept": None}),
        judge({"pairwise": True}, COMPARES, refused="already compares"),
        judge({"rubric": "shown.yaml"}, {"rubric": "pairs.yaml", "model": "m", "pairwise": True}, refused="show"),
    ),
    "judge.accept": (judge({"accept": ["no"]}), judge({"accept": ["no"]}, COMPARES, refused="has fixed verdicts")),
    "judge.min": (
        judge({"min": 5}, SCALED | {"min": 1, "max": 4}, refused="nothing passes"),
        judge({"min": 2}, COMPARES, refused="has fixed verdicts"),
    ),
    "judge.max": judge({"max": 4, "min": None}, SCALED),
    "judge.allow_self_judging": (
        judge({"allow_self_judging": REASON}, samples=ITSELF),
        judge({"allow_self_judging": REASON}, COMPARES, refused="does not use this"),
        judge({"allow_self_judging": REASON}, {"panel": ["judge.yaml", "strict.yaml"]}, refused="its members"),
    ),
    "judge.admit": judge({"admit": 0.95}),
    "AdmitOptions.min": judge({"admit": {"min": 0.95}}),
    "AdmitOptions.within": ShownBy("test_admission_age.py", '"within": "90 days"'),
    "human.labels": ShownBy("test_human_check.py", '"human": "labels.jsonl"'),
    "judge.corrected_min": (
        judge({"corrected_min": 0.99}),
        judge(
            {"panel": ["judge.yaml", "corrected.yaml"]},
            {"panel": ["judge.yaml", "strict.yaml"]},
            refused="next to panel",
        ),
    ),
    "judge.admission": judge({"admission": "poor.json"}),
    "judge.labels": ShownBy("test_judge_labels.py", '"labels": labels'),
    "CompareOptions.features": judge({"compare.features": ["recall"]}, COMPARES, refused="other features"),
    "CompareOptions.fitted": judge({"compare.fitted": "b.json"}, COMPARES, samples=(sample("It is BLM", "BLM"),)),
    "CompareOptions.separator": judge({"compare.separator": "/"}, COMPARES, samples=(sample("It is BLM", "BLM/WRN"),)),
    "ServerOptions.base_url": server({"base_url": "http://127.0.0.1:9/v1"}),
    "ServerOptions.model": server({"model": "n"}),
    "ServerOptions.api_key_env": (
        server({"api_key_env": "TUNEGATE_TEST_KEY"}),
        server({"api_key_env": "NOT_SET"}, "not set"),
        ShownBy("test_server_limits.py", '"--key-env", "GATE_KEY"'),
    ),
    "ServerOptions.timeout_s": (
        server({"timeout_s": 30.0}),
        ShownBy("test_checks_judge.py", "ask_server(folder, server.base_url, timeout_s=0.2)"),
    ),
    "ServerOptions.max_retries": server({"max_retries": 1}),
    "ServerOptions.concurrency": (
        server({"concurrency": 4}),
        ShownBy(
            "test_openai_client.py", "test_answers_come_when_they_are_there_and_only_so_many_are_asked_for_at_once"
        ),
    ),
    "ServerOptions.max_tokens": (
        server({"max_tokens": 9}),
        server({"max_tokens": 9, "request": {"max_tokens": 20}}, refused="would undo `max_tokens`"),
        server({"max_tokens": 9, "request": {"max_completion_tokens": 20}}, refused="would undo `max_tokens`"),
    ),
    "ServerOptions.request": (
        server({"request": {"top_p": 0.5}}),
        server({"request": {"model": "n"}}, refused="'model' is set by the judge"),
    ),
    "Rubric.criterion": rubric({"criterion": "Kind?"}),
    "Rubric.scale": (rubric({"scale.max": 4}, NUMBERS), rubric({"scale": {"min": 1, "max": 5}}, refused="either")),
    "Rubric.labels": rubric({"labels": ["yes", "no", "perhaps"]}),
    "Rubric.meaning": rubric({"meaning": {"yes": "without any fault"}}),
    "Rubric.examples": rubric({"examples": []}),
    "Rubric.show": rubric({"show": ["context"]}),
    "Scale.min": rubric({"scale.min": 0}, NUMBERS),
    "Scale.max": rubric({"scale.max": 9}, NUMBERS),
    "Example.prompt": rubric({"examples.0.prompt": "Who?"}),
    "Example.answer": rubric({"examples.0.answer": "None"}),
    "Example.verdict": rubric({"examples.0.verdict": "yes"}),
    "Example.references": rubric({"examples.0.references": ["WRN"]}),
    "Example.context": rubric({"examples.0.context": "another passage"}, {**RUBRIC, "show": ["context"]}),
    "Example.reason": rubric({"examples.0.reason": "it is BLM"}),
}
