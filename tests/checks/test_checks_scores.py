"""choice, rouge, similarity, python, evaluate: checks that turn numbers into verdicts."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.check_helpers import FAIL, HUGE, INVALID, PASS, ask, sample
from tests.support.places import ROOT
from tunegate.cases.case import Case
from tunegate.checks.check import judge
from tunegate.exceptions import ConfigError
from tunegate.models.model import ChoiceScore, Response
from tunegate_suites import build_check
from tunegate_suites.choice import Choice

# --- choice --------------------------------------------------------------------------------------------------------


def scored(*scores: float, lengths: tuple[int, ...] = ()) -> Response:
    lengths = lengths or (1,) * len(scores)
    return Response("", choice_scores=tuple(map(ChoiceScore, scores, lengths)))


CHOICES = ("yes", "certainly not")


@pytest.mark.parametrize(
    ("normalize", "response", "verdict", "value"),
    [
        (False, scored(-2.0, -3.0), PASS, "yes"),
        (False, scored(-3.0, -2.0), FAIL, "certainly not"),
        (False, scored(-2.0, -2.0), PASS, "yes"),
        ("chars", scored(-2.0, -3.0, lengths=(3, 13)), FAIL, "certainly not"),
        ("bytes", scored(-2.0, -3.0, lengths=(3, 13)), FAIL, "certainly not"),
        ("bytes", scored(-2.0, -3.0, lengths=(30, 13)), PASS, "yes"),
        (False, scored(-2.0, -math.inf), PASS, "yes"),
        (False, scored(-math.inf, -math.inf), INVALID, None),
        (False, scored(math.nan, -2.0), INVALID, None),
        (False, scored(-2.0), INVALID, None),
        (False, Response("yes"), INVALID, None),
        ("bytes", scored(-2.0, -3.0, lengths=(0, 3)), INVALID, None),
    ],
)
def test_choice_takes_the_likeliest(normalize: object, response: Response, verdict: object, value: object) -> None:
    finding = ask({"choice": {"normalize": normalize}}, response, "yes", choices=CHOICES)
    assert (finding.verdict, finding.value) == (verdict, value)


@given(st.lists(st.tuples(st.floats(-50, 0), st.text(min_size=1, max_size=9)), min_size=2, max_size=6))
def test_choice_agrees_with_the_formulas_of_lm_evaluation_harness(options: list[tuple[float, str]]) -> None:
    np = pytest.importorskip("numpy")
    choices = tuple(f"{index} {text}" for index, (_, text) in enumerate(options))
    lls = np.array([score for score, _ in options])
    lengths = tuple(len(choice.encode()) for choice in choices)
    response = scored(*lls.tolist(), lengths=lengths)
    expected = {
        False: np.argmax(lls),
        "chars": np.argmax(lls / np.array([float(len(choice)) for choice in choices])),
        "bytes": np.argmax(lls / np.array(lengths, dtype=float)),
    }
    for normalize, index in expected.items():
        assert ask({"choice": {"normalize": normalize}}, response, "A", choices=choices).value == choices[index]


@pytest.mark.parametrize(
    ("reference", "choices", "gold"),
    [
        ("yes", ("no", "yes"), 1),
        ("B", ("no", "yes"), 1),
        ("b", ("no", "yes"), 1),
        ("1", ("no", "yes"), 1),
        ("A", ("B", "A"), 1),
        ("1", ("1", "2"), 0),
        ("C", ("no", "yes"), None),
        ("2", ("no", "yes"), None),
        ("maybe", ("no", "yes"), None),
        ("yes", ("yes", "yes"), None),
        ("(B)", ("no", "yes"), 1),
        ("B.", ("no", "yes"), 1),
        ("b)", ("no", "yes"), 1),
        ("(C)", ("no", "yes"), None),
        ("1.0", ("no", "yes"), 1),
        ("1.5", ("no", "yes"), None),
        ("A,B", ("no", "yes"), None),
        ("", ("no", "yes"), None),
        ("**B**", ("no", "yes"), 1),
        ("\uff22", ("no", "yes"), 1),
        ("B. Yes", ("no", "yes"), 1),
        ("(b) yes", ("no", "yes"), 1),
        ("A. yes", ("no", "yes"), None),
        ("B+", ("no", "yes"), None),
        ("B+", ("A", "B+"), 1),
    ],
)
def test_the_reference_says_which_choice_is_right(reference: str, choices: tuple[str, ...], gold: int | None) -> None:
    response = scored(*(0.0 if index == gold else -1.0 for index in range(len(choices))))
    assert ask("choice", response, reference, choices=choices).verdict is (INVALID if gold is None else PASS)


@pytest.mark.parametrize(
    ("references", "gold"),
    [
        (("0", "1", "0"), 1), (("1", "0", "0"), 0), (("false", "false", "true"), 2), (("0", "1", "1"), None),
        (("0", "0", "0"), None), (("0", "1"), 0), (("A", "C"), None), (("red", "blue"), None), (("red", "A"), 0),
        (("red", "C"), 0), (("blue", "3"), 2), (("red", "Red", "crimson"), 0),
    ],
)  # fmt: skip
def test_several_references_name_one_choice_or_none(references: tuple[str, ...], gold: int | None) -> None:
    """One mark for each choice, as in TruthfulQA; a label beside its text; never the first of several right ones."""
    response = scored(*(0.0 if index == gold else -1.0 for index in range(3)))
    finding = ask("choice", response, *references, choices=("red", "green", "blue"))
    assert finding.verdict is (INVALID if gold is None else PASS)


def test_twins_of_the_right_choice_are_right_too() -> None:
    twins = ("red", "red", "blue")
    assert ask("choice", scored(-1.0, -1.0, -2.0), "B", choices=twins).verdict is PASS
    assert ask("choice", scored(-1.0, -1.0, -0.5), "B", choices=twins).verdict is FAIL


def test_marks_are_no_numbers_that_start_somewhere_and_unknown_golds_are_told() -> None:
    check = Choice()
    marked = [Case("a", "?", ("1", "0"), choices=("x", "y")), Case("b", "?", ("0", "1"), choices=("x", "y"))]
    assert check.fault_of(marked) is None
    assert check.remarks(marked) == ()
    [told] = check.remarks([*marked, Case("c", "?", ("D",), choices=("x", "y"))])
    assert told.startswith(
        "1 of 3 cases cannot be judged; if drawn, they are INVALID; first 'c': the reference 'D' is neither"
    )


def test_choice_needs_choices_a_reference_and_the_models_likelihoods() -> None:
    assert ask("choice", scored(-1.0), "A", choices=("yes",)).verdict is INVALID
    assert ask("choice", scored(-1.0, -2.0), choices=CHOICES).verdict is INVALID
    assert build_check("choice", Path()).needs_choices


# --- rouge ---------------------------------------------------------------------------------------------------------

ANSWER, REFERENCE = "the cat sat on the mat", "the cat lay on the mat today"


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("rouge1", {}, 2 * (5 / 6) * (5 / 7) / (5 / 6 + 5 / 7)),
        ("rouge2", {"measure": "precision"}, 3 / 5),
        ("rouge2", {"measure": "recall"}, 3 / 6),
        ("rouge3", {"measure": "precision"}, 1 / 4),
        ("rougeL", {"measure": "recall"}, 5 / 7),
        ("rougeLsum", {"measure": "recall"}, 5 / 7),
    ],
)
def test_rouge_by_hand(name: str, options: dict[str, object], expected: float) -> None:
    finding = ask({name: {"min": 0.1, **options}}, ANSWER, REFERENCE)
    assert finding.value == pytest.approx(expected)
    assert (finding.check, finding.cutoff) == (name, 0.1)


def test_rouge_takes_the_best_reference_both_bounds_and_stems() -> None:
    assert ask({"rougeL": 1.0}, "a b", "x y", "a b").verdict is PASS
    assert ask({"rougeL": 1.0}, "a b", "a b", "x y").verdict is PASS
    assert ask({"rougeL": {"max": 0.5}}, "a b", "a b").verdict is FAIL
    assert ask({"rougeL": {"min": 0.4, "max": 0.6}}, "a b", "a c").verdict is PASS
    assert ask({"rouge1": {"min": 1.0, "stemmer": True}}, "mutations caused", "mutation causing").verdict is PASS
    assert ask({"rougeL": 0.5}, "a b").verdict is INVALID
    assert ask({"rougeL": 0.5}, "", "a b").verdict is FAIL


@pytest.mark.parametrize(
    ("name", "reference"),
    [("rougeL", "。。。"), ("rouge1", "..."), ("rouge2", "BLM"), ("rouge3", "糖尿"), ("rougeLsum", "")],
)
def test_rouge_refuses_a_reference_that_nothing_can_overlap_with(name: str, reference: str) -> None:
    for references in ((reference,), ("the BLM gene", reference)):
        finding = ask({name: {"max": 0.3}}, reference, *references)
        assert finding.verdict is INVALID
        assert "the score would be 0 for any answer" in finding.reason


def test_a_score_just_below_the_bound_does_not_look_like_the_bound() -> None:
    check = build_check({"rougeL": 0.6}, Path())
    assert check.scored(0.59999999).reason == "0.59999999 is not >= 0.6"  # pyright: ignore[reportAttributeAccessIssue]
    assert check.scored(0.71234567).reason == "0.7123 is >= 0.6"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("kind", HUGE)
def test_rouge_of_huge_answers(kind: str) -> None:
    for name in ("rouge1", "rougeL", "rougeLsum"):
        assert ask({name: 0.9}, HUGE[kind], "the BLM gene").verdict is FAIL


def test_rouge_refuses_a_table_that_would_fill_the_memory() -> None:
    finding = ask({"rougeL": 0.9}, HUGE["words"], HUGE["words"])
    assert finding.verdict is INVALID
    assert "too long" in finding.reason
    assert ask({"rouge2": 0.9}, HUGE["words"], HUGE["words"]).verdict is PASS


@pytest.mark.slow
def test_rouge_is_as_fast_as_the_bare_scorer() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    samples = [sample(f"It is inherited in an autosomal dominant pattern, case {i}.", REFERENCE) for i in range(10_000)]
    check, scorer = build_check({"rougeL": 0.6}, Path()), RougeScorer(["rougeL"])
    check.judge(samples[:1])
    ratios: list[float] = []
    for _ in range(5):
        start = time.process_time()
        for one in samples:
            scorer.score(one.case.references[0], one.response.text)
        bare = time.process_time() - start
        start = time.process_time()
        for one in samples:
            check.judge([one])
        ratios.append((time.process_time() - start) / bare)
    assert statistics.median(ratios) < 1.2


# --- python --------------------------------------------------------------------------------------------------------

METRICS = """
import helper
import numpy

def right(case, text): return text in case.references
def numpy_right(case, text): return numpy.bool_(text in case.references)
def length(case, text): return helper.length(text)
def nan(case, text): return float("nan")
def label(case, text): return text
def nothing(case, text): return None
def broken(case, text): raise RuntimeError("oh no")
def talkative(case, text): print("heard", text); return True
"""


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    (tmp_path / "metrics.py").write_text(METRICS)
    (tmp_path / "helper.py").write_text("def length(text): return len(text)\n")
    return tmp_path


@pytest.mark.parametrize(
    ("entry", "answer", "verdict", "value"),
    [
        ({"python": "metrics:right"}, "a", PASS, True),
        ({"python": "metrics:right"}, "b", FAIL, False),
        ({"python": "metrics:numpy_right"}, "a", PASS, True),
        ({"python": "metrics:length", "min": 2}, "abc", PASS, 3.0),
        ({"python": "metrics:length", "max": 2}, "abc", FAIL, 3.0),
        ({"python": "metrics:length"}, "abc", INVALID, None),
        ({"python": "metrics:nan", "min": 0}, "abc", INVALID, None),
        ({"python": {"function": "metrics:label", "accept": ["good"]}}, "good", PASS, "good"),
        ({"python": {"function": "metrics:label", "accept": ["good"]}}, "bad", FAIL, "bad"),
        ({"python": "metrics:label"}, "good", INVALID, None),
        ({"python": "metrics:nothing"}, "good", INVALID, None),
    ],
)
def test_a_metric_of_ones_own(metrics: Path, entry: object, answer: str, verdict: object, value: object) -> None:
    finding = ask(entry, answer, "a", base_dir=metrics)
    assert (finding.verdict, finding.value) == (verdict, value)


def test_a_metric_that_raises_makes_its_case_invalid_and_no_other(metrics: Path) -> None:
    checks = [build_check({"python": "metrics:broken"}, metrics)]
    [outcome] = judge(checks, [sample("a", "a")])
    assert outcome.verdict is INVALID
    assert "RuntimeError: oh no" in (outcome.findings[0].detail or "")


ENDINGS = [
    "raise GeneratorExit",
    "import asyncio; raise asyncio.CancelledError",
    "import pytest; pytest.skip('not today', allow_module_level=True)",
    "import pytest; pytest.importorskip('no_such_module')",
    "import pytest; pytest.exit('enough', 0)",
    "raise SystemExit(0)",
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_metric_cannot_end_the_gate(tmp_path: Path, ending: str) -> None:
    (tmp_path / "metrics.py").write_text(f"def f(case, text):\n    {ending}\n")
    [outcome] = judge([build_check({"python": "metrics:f"}, tmp_path)], [sample("a", "a")])
    assert outcome.verdict is INVALID


@pytest.mark.parametrize("ending", ENDINGS)
def test_importing_a_metric_cannot_end_the_gate(tmp_path: Path, ending: str) -> None:
    (tmp_path / "metrics.py").write_text(f"{ending}\n")
    with pytest.raises(ConfigError, match="importing 'metrics' failed"):
        build_check({"python": "metrics:f"}, tmp_path)


def test_ctrl_c_ends_a_metric_and_its_import(tmp_path: Path) -> None:
    (tmp_path / "metrics.py").write_text("def f(case, text): raise KeyboardInterrupt\n")
    (tmp_path / "late.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        list(judge([build_check({"python": "metrics:f"}, tmp_path)], [sample("a", "a")]))
    with pytest.raises(KeyboardInterrupt):
        build_check({"python": "late:f"}, tmp_path)


def test_what_a_metric_prints_stays_out_of_our_output(metrics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (metrics / "loud.py").write_text("print('imported')\nfrom metrics import talkative\n")
    assert ask({"python": "loud:talkative"}, "a", base_dir=metrics).verdict is PASS
    assert capsys.readouterr() == ("", "imported\nheard a\n")


def test_two_suites_may_each_have_a_module_of_the_same_name(metrics: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "metrics.py").write_text("def right(case, text): return True\n")
    assert ask({"python": "metrics:right"}, "b", "a", base_dir=metrics).verdict is FAIL
    assert ask({"python": "metrics:right"}, "b", "a", base_dir=other).verdict is PASS
    first, second = (build_check({"python": "metrics:right"}, folder) for folder in (metrics, other))
    assert first.fingerprint != second.fingerprint
    (other / "metrics.py").write_text("def right(case, text): return False\n")
    assert ask({"python": "metrics:right"}, "b", "a", base_dir=other).verdict is FAIL


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("metrics:rihgt", "has no function 'rihgt' (did you mean 'right'"),
        ("metrics", "expected module:function"),
        ("metrics.py:f", "expected module:function, got 'metrics.py:f'; write metrics:f"),
        ("./own/metrics.py:f", "got './own/metrics.py:f'; write own.metrics:f"),
        ("no_such_module:f", "importing 'no_such_module' failed: ModuleNotFoundError"),
        ("bad:f", "importing 'bad' failed: ZeroDivisionError"),
        ("os.path:join", None),
    ],
)
def test_a_function_that_is_not_there_is_a_configuration_error(
    metrics: Path, function: str, message: str | None
) -> None:
    (metrics / "bad.py").write_text("1 / 0\n")
    if message is None:
        build_check({"python": function, "min": 0}, metrics)
        return
    with pytest.raises(ConfigError) as caught:
        build_check({"python": function}, metrics)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# --- similarity ----------------------------------------------------------------------------------------------------


def test_similarity_with_the_real_model() -> None:
    pytest.importorskip("sentence_transformers")
    check = build_check({"similarity": 0.8}, Path())
    assert check.batch_size == 64
    findings = check.judge(
        [
            sample("It is autosomal dominant.", "unrelated words", "autosomal dominant"),
            sample("Quantum physics is hard.", "autosomal dominant"),
            sample("the same", "the same"),
            sample("no reference"),
            sample("", "autosomal dominant"),
            sample(HUGE["emoji"], "autosomal dominant"),
        ]
    )
    assert [finding.verdict for finding in findings] == [PASS, FAIL, PASS, INVALID, FAIL, FAIL]
    assert findings[2].value == pytest.approx(1.0, abs=1e-6)
    assert all(finding.value is None or -1.0 <= float(finding.value) <= 1.0 for finding in findings)
    alone = check.judge([sample("It is autosomal dominant.", "autosomal dominant")])
    assert alone[0].value == pytest.approx(findings[0].value, abs=1e-5)
    assert "weights_sha256" in check.fingerprint


def test_similarity_finds_a_model_on_disk_only(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    for model in ("no-such-model", "nobody/no-such-model"):
        with pytest.raises(ConfigError, match=r"similarity.model: there is no folder '.*' next to the suite"):
            build_check({"similarity": {"min": 0.5, "model": model}}, tmp_path)


# --- evaluate ------------------------------------------------------------------------------------------------------

WORD_RATIO = """
import datasets
import evaluate

class WordRatio(evaluate.Metric):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description="", citation="", features=features)

    def _compute(self, predictions, references, extra=0.0):
        ratio = len(predictions[0].split()) / len(references[0].split())
        return {"ratio": ratio + extra, "words": [len(predictions[0].split())], "name": "x"}
"""


@pytest.fixture(scope="module")
def modules_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The folder to which `evaluate` copies scripts; it can be set once in a process, and should not be the user's."""
    evaluate = pytest.importorskip("evaluate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate.config, "HF_MODULES_CACHE", str(tmp_path_factory.mktemp("modules")))
        yield


@pytest.fixture
def word_ratio(tmp_path: Path, modules_cache: None) -> Path:
    (tmp_path / "word_ratio").mkdir()
    (tmp_path / "word_ratio" / "word_ratio.py").write_text(WORD_RATIO)
    return tmp_path


def test_a_metric_of_evaluate_from_a_local_script(word_ratio: Path) -> None:
    entry = {"evaluate": "word_ratio", "result": "ratio", "min": 0.5}
    assert ask(entry, "a b", "one two three four", "x", base_dir=word_ratio).value == 2.0
    assert ask(entry, "a", "one two three four", base_dir=word_ratio).verdict is FAIL
    assert ask(entry, "a", base_dir=word_ratio).verdict is INVALID
    assert ask({**entry, "args": {"extra": 1.0}}, "a", "b", base_dir=word_ratio).value == 2.0
    assert ask({**entry, "result": "words"}, "a", "b", base_dir=word_ratio).value == 1.0
    assert "ratio, words, name" in ask({"evaluate": "word_ratio", "min": 1}, "a", "b", base_dir=word_ratio).reason
    assert ask({**entry, "result": "name"}, "a", "b", base_dir=word_ratio).verdict is INVALID


def test_the_lowest_of_several_references_counts_under_a_maximum(word_ratio: Path) -> None:
    entry = {"evaluate": "word_ratio", "result": "ratio", "max": 0.5}
    assert ask(entry, "a b", "one two three four", "x", base_dir=word_ratio).value == 0.5


def test_a_metric_that_is_not_here_is_not_looked_for_elsewhere(word_ratio: Path) -> None:
    with pytest.raises(ConfigError, match=r"evaluate.metric: there is no file or folder 'bleu' next to the suite"):
        build_check({"evaluate": "bleu", "min": 0.5}, word_ratio)
    (word_ratio / "word_ratio" / "word_ratio.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        build_check({"evaluate": "word_ratio", "min": 0.5}, word_ratio)


@pytest.mark.parametrize("kind", ["rouge1", "rouge9", "rougeL", "rougeLsum"])
@pytest.mark.parametrize("text", ["", "…", "one", "a b c d e f g h", "a b c d e f g h i", "Ein schoner Tag… " * 9])
def test_rouge_of_a_text_with_itself_is_what_the_library_says(kind: str, text: str) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    finding = ask({kind: {"min": 0.5}}, text, text)
    assert finding.value == (RougeScorer([kind]).score(text, text)[kind].fmeasure or None)  # 0 with itself is no score


WORDS_OF = st.lists(
    st.sampled_from(["gene", "Genes", "BLM", "3,4-b", "“", "the", ".", "caused", "causing"]), max_size=80
)


@given(answer=WORDS_OF, reference=WORDS_OF, stemmer=st.booleans())
@settings(max_examples=200, deadline=None)
def test_rouge_l_is_what_the_library_says(answer: list[str], reference: list[str], stemmer: bool) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    text, expected = " ".join(answer), " ".join(["today", *reference])
    scorer = RougeScorer(["rougeL"], use_stemmer=stemmer)
    for measure in ("precision", "recall", "fmeasure"):
        finding = ask({"rougeL": {"min": 0.5, "stemmer": stemmer, "measure": measure}}, text, expected)
        assert finding.value == getattr(scorer.score(expected, text)["rougeL"], measure)


def test_rouge_l_needs_no_nltk_whose_import_takes_a_second() -> None:
    code = """
import sys
from tests.support.check_helpers import ask
ask({"rougeL": 0.5}, "one two", "two three")
assert "nltk" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_rouge_counts_words_as_the_library_does_before_it_fills_a_table() -> None:
    for name in ("rougeL", "rougeLsum"):
        assert ask({name: 0.9}, "1." * 5_000, "2." * 5_000).verdict is INVALID
