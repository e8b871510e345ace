"""Admission: `tunegate judge` says what a judge is worth, and a gate takes no judge without it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.check_helpers import AGREES, FAIL, INVALID, PASS, admitted_judge, sample
from tests.support.judge_server import Reply, judge_server
from tests.support.llama_server import GGUF, llama_server, needs_smollm2
from tests.support.places import FILES
from tunegate.checks.judge_admission import Agreement, default_path, find_admission, read_admission, write_admission
from tunegate.cli import main
from tunegate.exceptions import CannotJudge, ConfigError, Tampered
from tunegate.models.model import ChoiceScore, Response, ScriptedModel
from tunegate.stats.agreement import two_way_kappa_interval
from tunegate_suites import build_check
from tunegate_suites.judges.judge import Judge
from tunegate_suites.judges.measure import MeasureRequest, measure
from tunegate_suites.options import LocalModels

RUBRIC = "criterion: Is the answer right?\nlabels: [yes, no]\n"
SCALE = "criterion: How good is it?\nscale: {min: 1, max: 5}\n"
PAIRS = "criterion: Which is better?\nlabels: [1, 2]\n"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("labels.yaml", RUBRIC), ("scale.yaml", SCALE), ("pairs.yaml", PAIRS)):
        (tmp_path / name).write_text(text)
    return tmp_path


# --- judges that are scripted ---------------------------------------------------------------------------------------


def models(verdict: Callable[[str], int | None]) -> LocalModels:
    """A local judge: from what it is asked to the place of its verdict on the menu, or None for no verdict."""

    def script(case: Any) -> Response:
        place = verdict(case.prompt_text)
        scores = tuple(ChoiceScore(0.0 if n == place else -9.0, 1) for n in range(len(case.choices)))
        return Response("", choice_scores=scores)

    model = ScriptedModel(script, sha256="weights")
    return LocalModels(open=lambda spec: model, sha256=lambda spec: "weights")


def says_good(question: str) -> int:
    """Right about every answer that says what it is."""
    return 0 if "a good answer" in question.rpartition("<<<ANSWER")[2] else 1


def judge_file(folder: Path, name: str = "judge.yaml", **options: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps({"rubric": "labels.yaml", "model": "some/judge", "accept": ["yes"], **options}))
    return path


def labels(folder: Path, good: int = 60, bad: int = 40, name: str = "labels.jsonl") -> Path:
    rows = [{"question": f"q{n}?", "response": f"a good answer {n}", "human_correct": True} for n in range(good)]
    rows += [{"question": f"r{n}?", "response": f"a bad answer {n}", "human_correct": False} for n in range(bad)]
    return write_jsonl(folder / name, rows)


def quiet(label: str, done: int, total: int, of: str = "cases") -> None:
    pass


def measured(folder: Path, verdict: Callable[[str], int | None], *, repeats: int = 1, **options: Any) -> dict[str, Any]:
    request = MeasureRequest(judge_file(folder, **options), folder / "labels.jsonl", repeats=repeats)
    return measure(request, quiet, models(verdict)).to_json()


# --- measuring ------------------------------------------------------------------------------------------------------


def test_a_judge_that_agrees_is_admitted_and_its_record_is_found(folder: Path) -> None:
    labels(folder)
    facts = measured(folder, says_good)
    wanted = {"n": 100, "agreement": 1.0, "kappa": 1.0, "sensitivity": 1.0, "specificity": 1.0, "invalid": 0}
    assert {name: facts[name] for name in wanted} == wanted
    assert facts["admitted"] is True
    low, high = facts["kappa_interval"]
    assert 0.9 < low < high == 1.0
    record = find_admission(facts["judge_sha256"], folder)
    assert record is not None
    assert record.sha256 == facts["record_sha256"]
    check = build_check({"judge": "judge.yaml"}, folder, models(says_good))
    good, bad = check.judge([sample("a good answer"), sample("a bad answer")])
    assert (good.verdict, bad.verdict) == (PASS, FAIL)
    assert record.sha256[:12] in good.version
    assert record.sha256 in check.fingerprint


def test_figures_are_those_of_sklearn_and_scipy(folder: Path) -> None:
    metrics, stats = pytest.importorskip("sklearn.metrics"), pytest.importorskip("scipy.stats")
    labels(folder)
    human = [True] * 60 + [False] * 40
    judge = [n % 10 != 0 for n in range(60)] + [n % 8 == 0 for n in range(40)]
    verdicts = iter(judge)
    facts = measured(folder, lambda question: 0 if next(verdicts) else 1)
    assert facts["agreement"] == pytest.approx(metrics.accuracy_score(human, judge))
    assert facts["kappa"] == pytest.approx(metrics.cohen_kappa_score(human, judge))
    assert facts["sensitivity"] == pytest.approx(54 / 60)
    assert facts["specificity"] == pytest.approx(35 / 40)
    interval = stats.binomtest(54, 60).proportion_ci(method="exact")
    assert facts["sensitivity_interval"] == pytest.approx([interval.low, interval.high])
    assert facts["counts"] == [[54, 6, 0], [5, 35, 0]]


def test_no_verdict_counts_against_the_judge_everywhere(folder: Path) -> None:
    labels(folder)
    turn = iter(range(100))
    facts = measured(folder, lambda question: None if next(turn) % 5 == 0 else says_good(question))
    assert facts["counts"] == [[48, 0, 12], [0, 32, 8]]
    assert (facts["n"], facts["invalid"], facts["agreement"]) == (100, 20, 0.8)
    assert (facts["sensitivity"], facts["specificity"]) == (0.8, 0.8)
    assert facts["kappa"] < 0.75


@pytest.mark.parametrize("verdict", [lambda question: 0, lambda question: 1, lambda question: len(question) % 2])
def test_a_judge_that_does_not_look_is_refused(folder: Path, verdict: Callable[[str], int]) -> None:
    labels(folder, 77, 23)
    facts = measured(folder, verdict)
    assert facts["admitted"] is False
    assert "the judge is refused: kappa" in facts["reason"]
    check = build_check({"judge": "judge.yaml"}, folder, models(verdict))
    [finding] = check.judge([sample("a good answer")])
    assert finding.verdict is INVALID
    assert "the judge is refused: kappa" in finding.reason


def test_a_judge_without_any_verdict_is_not_measured(folder: Path) -> None:
    labels(folder)
    with pytest.raises(CannotJudge, match="no verdict on any of 100 answers; the first: the judge finds two labels"):
        measured(folder, lambda question: None)
    assert not (folder / ".tunegate").exists()


def test_answers_that_people_all_pass_show_nothing(folder: Path) -> None:
    labels(folder, 100, 0)
    facts = measured(folder, says_good)
    assert (facts["kappa"], facts["admitted"]) == (None, False)
    assert "agreement proves nothing" in facts["reason"]
    assert facts["specificity"] is None


def test_few_labels_admit_nobody(folder: Path) -> None:
    labels(folder, 4, 4)
    facts = measured(folder, says_good)
    assert facts["kappa"] == 1.0
    assert facts["admitted"] is False


def copies(folder: Path, rows: int, **changed: Any) -> None:
    row = [
        {"question": f"q{n}?", "response": f"a {('good', 'bad')[n % 2]} answer", "human_correct": n % 2 == 0}
        for n in range(4)
    ]
    found = [{**row[n % 4], "id": str(n)} for n in range(rows)]
    write_jsonl(folder / "labels.jsonl", [*found[:-1], {**found[-1], **changed}])


def test_copies_of_a_label_count_once_whatever_their_ids(folder: Path) -> None:
    copies(folder, 240)
    facts = measured(folder, says_good)
    assert (facts["n"], facts["labels"]["copies"], facts["admitted"]) == (4, 236, False)


def test_copies_that_only_look_different_are_copies(folder: Path) -> None:
    copies(folder, 240, response=" a\u200b bad \u00a0 answer\ufe0f")
    assert measured(folder, says_good)["n"] == 4


def test_copies_that_contradict_each_other_are_refused(folder: Path) -> None:
    copies(folder, 240, human_correct=True)
    with pytest.raises(
        ConfigError, match=r"labels\.jsonl: the same answer has the labels pass and fail, in '3' and '239'"
    ):
        measured(folder, says_good)


def test_a_pair_turned_round_is_a_copy(folder: Path) -> None:
    good, bad = "a good answer", "a bad answer"
    pair = {"input": "q", "output_1": good, "output_2": bad, "label": 1}
    rows = [pair, {**pair, "output_1": bad, "output_2": good, "label": 2}]
    write_jsonl(folder / "labels.jsonl", [*rows, {**pair, "input": "r"}])
    assert measured(folder, first_is_good, **PAIRWISE)["n"] == 2


def test_labels_of_one_group_do_not_count_as_independent(folder: Path, capsys: Capture) -> None:
    """100 answers to 20 questions, and a judge that errs on two questions as a whole."""
    rows = [
        {"question": f"q{n}?", "response": f"answer {n}", "human_correct": n < 50, "group": n // 5} for n in range(100)
    ]
    write_jsonl(folder / "labels.jsonl", rows)
    turn = iter(range(100))

    def errs(question: str) -> int:
        n = next(turn)
        return 0 if (n < 50) != (n // 5 in (3, 15)) else 1

    facts = measured(folder, errs)
    assert facts["counts"] == [[45, 5, 0], [5, 45, 0]]
    assert facts["groups"] == [
        [9, [[0, 0, 0], [0, 5, 0]]],
        [1, [[0, 0, 0], [5, 0, 0]]],
        [1, [[0, 5, 0], [0, 0, 0]]],
        [9, [[5, 0, 0], [0, 0, 0]]],
    ]
    assert two_way_kappa_interval(facts["counts"])[0] > 0.65
    assert facts["kappa_interval"][0] < 0.45
    assert facts["admitted"] is False
    record = find_admission(facts["judge_sha256"], folder)
    assert record is not None
    assert list(record.measured.kappa_interval) == facts["kappa_interval"]


def test_another_field_may_be_the_group_and_labels_that_are_alone_need_none(folder: Path) -> None:
    labels(folder)
    assert "groups" not in measured(folder, says_good)
    facts = measured(folder, says_good, labels={"group": "{human_correct}"})
    assert facts["groups"] == [[1, [[0, 0, 0], [0, 40, 0]]], [1, [[60, 0, 0], [0, 0, 0]]]]
    assert facts["admitted"] is False


def test_the_record_says_how_often_the_judge_was_measured(folder: Path, capsys: Capture) -> None:
    with server(folder, fair) as judge:
        seals: list[str] = []
        facts: dict[str, Any] = {}
        command = ["judge", str(judge), "--labels", str(labels(folder))]
        for seed in range(7):
            assert main([*command, "--draw", "50", "--seed", str(seed), "--json"]) == 0
            facts = json.loads(capsys.readouterr().out)
            assert facts["measurements"]["count"] == seed + 1
            assert facts["measurements"]["previous_sha256"] == (seals[-1] if seals else None)
            seals.append(facts["record_sha256"])
        record = find_admission(facts["judge_sha256"], folder)
        assert record is not None
        assert list(record.history.by_labels.values()) == [7]
        assert record.facts()["measurements"] == 7
        check = build_check({"judge": "judge.yaml"}, folder)
        assert "measured 7 times" in check.judge([sample("a good answer")])[0].version
        labels(folder, 61)
        assert main([*command, "--out", "elsewhere.json"]) == 0
    assert "ADMITTED (this judge was measured 8 times; the last measurement counts)" in capsys.readouterr().out
    assert sorted(read_admission(Path("elsewhere.json")).history.by_labels.values()) == [1, 7]


def test_a_torn_record_has_no_history_and_a_changed_one_is_not_overwritten(folder: Path) -> None:
    labels(folder)
    record = Path(measured(folder, says_good)["record"])
    record.write_text(record.read_text()[:100])
    assert measured(folder, says_good)["measurements"]["count"] == 1
    record.write_text(record.read_text().replace("60", "61", 1))
    with pytest.raises(Tampered, match="delete it and measure the judge again"):
        measured(folder, says_good)


def test_a_scale_gets_a_weighted_kappa(folder: Path) -> None:
    rows = [{"prompt": f"q{n}", "answer": f"answer {n % 5 + 1} stars", "human": n % 5 + 1} for n in range(50)]
    write_jsonl(folder / "labels.jsonl", rows)

    def one_too_high(question: str) -> int:
        return min(4, int(question.rpartition(" stars")[0][-1]))

    facts = measured(folder, one_too_high, rubric="scale.yaml", min=4, accept=None)
    metrics = pytest.importorskip("sklearn.metrics")
    human = [n % 5 + 1 for n in range(50)]
    judge = [min(5, n % 5 + 2) for n in range(50)]
    for weights in ("linear", "quadratic"):
        theirs = metrics.cohen_kappa_score(human, judge, weights=weights)
        assert facts["weighted_kappa"][weights]["kappa"] == pytest.approx(theirs)
    passes = metrics.cohen_kappa_score([h >= 4 for h in human], [j >= 4 for j in judge])
    assert facts["kappa"] == pytest.approx(passes)


def test_repeats_measure_self_consistency(folder: Path) -> None:
    labels(folder)
    turn = iter(range(300))
    facts = measured(folder, lambda q: says_good(q) if next(turn) % 150 else 1 - says_good(q), repeats=3)
    assert facts["self_consistency"]["repeats"] == 3
    assert facts["self_consistency"]["count"] == 98


def test_length_bias_shows_a_judge_that_likes_long_answers(folder: Path) -> None:
    rows = [{"prompt": f"q{n}", "answer": "word " * (1 + n % 7), "human": n % 2 == 0} for n in range(140)]
    write_jsonl(folder / "labels.jsonl", rows)
    facts = measured(folder, lambda question: 0 if question.count("word") > 3 else 1)
    assert abs(facts["length_bias"]["human"]) < 0.2
    assert facts["length_bias"]["judge"] > 0.7


# --- pairs ----------------------------------------------------------------------------------------------------------


def pairs(folder: Path) -> None:
    texts = [("a good answer", "a bad answer"), ("a bad answer", "a good answer")]
    rows = [
        {"input": f"q{n}", "output_1": texts[n % 2][0], "output_2": texts[n % 2][1], "label": 1 + n % 2}
        for n in range(100)
    ]
    write_jsonl(folder / "labels.jsonl", rows)


def first_is_good(question: str) -> int:
    return 0 if question.index("a good answer") < question.index("a bad answer") else 1


PAIRWISE: dict[str, Any] = {"rubric": "pairs.yaml", "pairwise": True, "accept": None}


def test_pairs_are_judged_in_both_orders(folder: Path) -> None:
    pairs(folder)
    facts = measured(folder, first_is_good, **PAIRWISE)
    assert (facts["kappa"], facts["invalid"]) == (1.0, 0)
    assert facts["position_bias"]["consistent"]["share"] == 1.0


@pytest.mark.parametrize(("place", "share"), [(0, 1.0), (1, 0.0)])
def test_a_judge_that_takes_one_place_has_not_judged(folder: Path, place: int, share: float) -> None:
    pairs(folder)
    turn = iter(range(1000))
    facts = measured(folder, lambda q: place if next(turn) % 200 < 100 else first_is_good(q), **PAIRWISE)
    assert facts["invalid"] == 50
    assert facts["admitted"] is False
    bias = facts["position_bias"]
    assert (bias["consistent"]["share"], bias["first_place_when_not"]["share"]) == (0.5, share)


def test_a_pair_needs_a_rival(folder: Path) -> None:
    options = {"model": "m", "rubric": "pairs.yaml", "pairwise": True}
    check = admitted_judge(options, folder, models(first_is_good))
    better, alone = check.judge([sample("a good answer", "a bad answer"), sample("a good answer")])
    assert (better.verdict, better.value) == (PASS, "better")
    assert alone.verdict is INVALID
    assert "no reference" in alone.reason


# --- panels ---------------------------------------------------------------------------------------------------------


def panel(folder: Path, members: Sequence[Callable[[str], int | None]]) -> Judge:
    """A panel whose members are told apart by the criterion of their rubric."""
    names: list[str] = []
    for n in range(len(members)):
        (folder / f"rubric{n}.yaml").write_text(RUBRIC.replace("right", f"right {n}"))
        names.append(judge_file(folder, f"judge{n}.yaml", rubric=f"rubric{n}.yaml").name)

    def verdict(question: str) -> int | None:
        return next(member for n, member in enumerate(members) if f"right {n}?" in question)(question)

    return admitted_judge({"panel": names}, folder, models(verdict))


def broken(question: str) -> int:
    raise RuntimeError("out of memory")


@pytest.mark.parametrize(
    ("members", "verdict"),
    [
        ((lambda q: 0, lambda q: 0, lambda q: 1), PASS),
        ((lambda q: 1, lambda q: 0, lambda q: 1), FAIL),
        ((lambda q: 0, lambda q: 0, lambda q: None), PASS),
        ((lambda q: 0, lambda q: 0, broken), PASS),
        ((lambda q: 0, lambda q: 1, lambda q: None), INVALID),
        ((lambda q: 0, lambda q: None, broken), INVALID),
        ((lambda q: 0, lambda q: 1), INVALID),
        ((broken, broken, broken), INVALID),
    ],
)
def test_a_panel_says_what_more_than_half_of_it_say(folder: Path, members: Any, verdict: object) -> None:
    [finding] = panel(folder, members).judge([sample("x", "y")])
    assert finding.verdict is verdict
    if verdict is INVALID:
        assert "no majority in the panel" in finding.reason


def test_a_panel_is_admitted_as_a_whole(folder: Path) -> None:
    first = panel(folder, [lambda q: 0, lambda q: 0, lambda q: 1])
    assert first.standing.fault is None
    (folder / "rubric1.yaml").write_text(RUBRIC)
    again = build_check({"judge": {"panel": ["judge0.yaml", "judge1.yaml", "judge2.yaml"]}}, folder, models(says_good))
    [finding] = again.judge([sample("x")])
    assert finding.verdict is INVALID
    assert "not admitted" in finding.reason


def test_a_panel_of_one_voice_is_refused(folder: Path) -> None:
    judge_file(folder)
    with pytest.raises(ConfigError, match="two members are the same judge"):
        build_check({"judge": {"panel": ["judge.yaml", "judge.yaml"]}}, folder, models(says_good))


# --- the gate -------------------------------------------------------------------------------------------------------


def test_without_a_record_nothing_is_asked_and_the_reason_says_what_to_do(folder: Path) -> None:
    judge_file(folder)
    check = build_check({"judge": "judge.yaml"}, folder, models(broken))
    [finding] = check.judge([sample("a good answer")])
    assert finding.verdict is INVALID
    assert "the judge is not admitted: no record of" in finding.reason
    assert f"tunegate judge {folder / 'judge.yaml'} --labels FILE" in finding.reason


def test_what_changes_the_judge_voids_its_admission(folder: Path) -> None:
    options: dict[str, Any] = {"rubric": "labels.yaml", "model": "m", "accept": ["yes"]}
    check = admitted_judge(options, folder, models(says_good))
    assert check.standing.fault is None

    def fault(changed: dict[str, Any], sha256: str = "weights") -> str | None:
        models_ = LocalModels(models(says_good).open, lambda spec: sha256)
        judge = build_check({"judge": changed}, folder, models_)
        assert isinstance(judge, Judge)
        return judge.standing.fault

    assert fault({**options, "model": "elsewhere/m", "admit": 0.8}) is None
    assert "not admitted" in (fault(options, "other weights") or "")
    assert "not admitted" in (fault({**options, "accept": ["no"]}) or "")
    assert "kappa is 0.94" in (fault({**options, "admit": 0.9}) or "")
    (folder / "labels.yaml").write_text(RUBRIC.replace("right", "nice"))
    assert "not admitted" in (fault(options) or "")


def test_a_named_record_must_be_of_this_judge(folder: Path) -> None:
    write_admission(folder / "mine.json", "0" * 64, AGREES)
    options: dict[str, Any] = {"rubric": "labels.yaml", "model": "m", "accept": ["yes"], "admission": "mine.json"}
    check = build_check({"judge": options}, folder, models(says_good))
    assert "is for another judge, rubric or model" in check.judge([sample("x")])[0].reason
    check = build_check({"judge": {**options, "admission": "none.json"}}, folder, models(says_good))
    assert "none.json: no such file" in check.judge([sample("x")])[0].reason


def test_a_record_that_was_changed_is_tampered(folder: Path) -> None:
    path = folder / "record.json"
    write_admission(path, "0" * 64, Agreement(((50, 10, 0), (20, 20, 0))))
    assert read_admission(path).measured.sensitivity.count == 50
    path.write_text(path.read_text().replace("50", "60"))
    with pytest.raises(Tampered, match="changed after it was sealed"):
        read_admission(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"format": "tunegate-admission/1"', "{" * 100_000])
def test_what_is_no_record_is_one_clear_line(folder: Path, text: str) -> None:
    path = folder / "record.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"record\.json: ") as caught:
        read_admission(path)
    assert "\n" not in str(caught.value)


def resealed(path: Path, **changes: Any) -> None:
    """Change a record as someone would who knows how it is sealed."""
    record = {**json.loads(path.read_text()), **changes}
    del record["record_sha256"]
    text = json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    path.write_text(json.dumps({**record, "record_sha256": hashlib.sha256(text.encode()).hexdigest()}))


COUNTED = Agreement(((50, 10, 0), (20, 20, 0))).as_json()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"figures": {**COUNTED, "counts": [[0, 0, 0], [0, 0, 0]]}},
            ConfigError,
            "the counts or the judge's hash are missing",
        ),
        (
            {"figures": {**COUNTED, "counts": [[10**400, 0, 0], [0, 10**400, 0]]}},
            ConfigError,
            "the counts or the judge's hash are missing",
        ),
        (
            {"figures": {**COUNTED, "counts": [[60, 0, 0], [0, 40, 0]]}},
            Tampered,
            "agreement in the admission record does not follow",
        ),
        ({"figures": {**COUNTED, "kappa": 0.99}}, Tampered, "kappa in the admission record does not follow"),
        ({"figures": {**COUNTED, "kappa": 10**400}}, Tampered, "kappa in the admission record does not follow"),
        ({"figures": {**COUNTED, "n": None}}, Tampered, "n in the admission record does not follow"),
        ({"figures": {**COUNTED, "kappa_interval": [0.9]}}, Tampered, "kappa_interval in the admission record"),
        ({"figures": {"counts": COUNTED["counts"]}}, Tampered, ": n in the admission record does not follow"),
        ({"figures": {**COUNTED, "kappa": float("nan")}}, Tampered, "changed after it was sealed"),
        ({"figures": {**COUNTED, "groups": [[1, [[50, 10, 0], [20, 20, 0]]]]}}, Tampered, "kappa_interval in the adm"),
        ({"figures": {**COUNTED, "groups": [[1, [[50, 10, 0], [20, 19, 0]]]]}}, ConfigError, "not an admission record"),
        ({"figures": {**COUNTED, "groups": [[10**9, [[50, 10, 0], [0, 0, 0]]]]}}, ConfigError, "not an admission"),
        ({"figures": {**COUNTED, "groups": [[0, [[50, 10, 0], [20, 20, 0]]]]}}, ConfigError, "not an admission record"),
        ({"figures": {**COUNTED, "groups": 3}}, ConfigError, "not an admission record"),
        ({"made": float("inf")}, Tampered, "changed after it was sealed"),
        ({"figures": [COUNTED["counts"]]}, ConfigError, "the counts or the judge's hash are missing"),
        ({"measurements": {"count": 0}}, ConfigError, "not an admission record"),
        ({"measurements": {"count": 10**400}}, ConfigError, "not an admission record"),
        ({"measurements": "none"}, ConfigError, "not an admission record"),
        ({"measurements": {"by_labels": [3]}}, ConfigError, "not an admission record"),
    ],
)
def test_a_record_that_was_made_up_is_one_clear_line(
    folder: Path, capsys: Capture, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    path = folder / "record.json"
    write_admission(path, "0" * 64, Agreement(((50, 10, 0), (20, 20, 0))))
    resealed(path, **changes)
    with pytest.raises(error, match=message) as caught:
        read_admission(path)
    assert "\n" not in str(caught.value)
    server = {"base_url": "http://127.0.0.1:9/v1", "model": "m"}
    judge_file(folder, model=None, server=server, admission="record.json")
    assert gate(folder) == (5 if error is Tampered else 3)
    said = capsys.readouterr()
    assert message in said.out + said.err
    assert "Traceback" not in said.err


def test_the_corrected_rate_comes_with_the_admission() -> None:
    found = AGREES.corrected(90, 100)
    assert found is not None
    assert found.interval[0] < found.rate < found.interval[1]


# --- the command ----------------------------------------------------------------------------------------------------


@contextmanager
def server(folder: Path, answer: Callable[[str], Reply]) -> Iterator[Path]:
    """A judge file for a scripted server."""
    pytest.importorskip("openai")
    with judge_server(lambda request, number: answer(request["messages"][-1]["content"])) as fake:
        options = {"base_url": fake.base_url, "model": "m", "max_retries": 0, "timeout_s": 60.0}
        yield judge_file(folder, model=None, server=options)


def fair(question: str) -> Reply:
    return Reply(json.dumps({"reason": "so it is", "verdict": "no" if says_good(question) else "yes"}))


def gate(folder: Path) -> int:
    write_jsonl(folder / "cases.jsonl", [{"id": f"c{n}", "prompt": f"{n}?"} for n in range(10)])
    write_jsonl(folder / "answers.jsonl", [{"id": f"c{n}", "response": "a good answer"} for n in range(10)])
    (folder / "suite.yaml").write_text("cases: cases.jsonl\nchecks: [judge: judge.yaml]\nplan: {draw: 10, accept: 9}\n")
    return main(["gate", "--responses", "answers.jsonl", "--suite", "suite.yaml", "--json"])


def test_the_command_admits_a_judge_and_then_the_gate_passes(folder: Path, capsys: Capture) -> None:
    with server(folder, fair) as judge:
        assert gate(folder) == 3
        assert "not admitted" in json.loads(capsys.readouterr().out)["cases"][0]["reason"]
        assert main(["judge", str(judge), "--labels", str(labels(folder)), "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["admitted"] is True
        assert Path(facts["record"]) == default_path(facts["judge_sha256"])
        assert gate(folder) == 0
        record = Path(facts["record"])
        record.write_text(record.read_text().replace("60", "61", 1))
        assert gate(folder) == 5
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["verdict"] is None


def test_the_command_in_words(folder: Path, capsys: Capture) -> None:
    with server(folder, lambda question: Reply(json.dumps({"verdict": "yes"}))) as judge:
        assert main(["judge", str(judge), "--labels", str(labels(folder)), "--repeats", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 12
    assert "NOT ADMITTED: the judge is refused: kappa is 0.00" in lines[-2]
    assert lines[-1].startswith("record: ")


HOSTILE = [
    Reply(body="<html>sign in</html>", content_type="text/html"),
    Reply(body="oops", status=500),
    Reply("I'd say yes"),
    Reply('{"verdict": "maybe"}'),
    Reply('{"verdict": "yes"}', finish_reason="length"),
    Reply(""),
]


@pytest.mark.parametrize("reply", HOSTILE)
def test_a_server_that_never_judges_is_not_measured(folder: Path, capsys: Capture, reply: Reply) -> None:
    with server(folder, lambda question: reply) as judge:
        assert main(["judge", str(judge), "--labels", str(labels(folder, 6, 6))]) == 3
    assert "no verdict on any of 12 answers" in capsys.readouterr().err
    assert not (folder / ".tunegate").exists()


def test_a_record_that_cannot_be_written_admits_nobody(folder: Path, capsys: Capture) -> None:
    with server(folder, fair) as judge:
        out = str(labels(folder) / "record.json")  # below a file
        assert main(["judge", str(judge), "--labels", str(folder / "labels.jsonl"), "--out", out]) == 3
        assert "cannot write the admission record" in capsys.readouterr().err
        assert gate(folder) == 3


def test_the_fingerprint_does_not_depend_on_where_the_judge_lies(folder: Path) -> None:
    prints: list[str] = []
    for place in ("a", "b"):
        (folder / place).mkdir()
        (folder / place / "labels.yaml").write_text(RUBRIC)
        judge_file(folder / place)
        prints.append(build_check({"judge": "judge.yaml"}, folder / place, models(says_good)).fingerprint)
    assert prints[0] == prints[1]


def test_a_server_that_fails_now_and_then_pays_for_it(folder: Path, capsys: Capture) -> None:
    def answer(question: str) -> Reply:
        return Reply(body="oops", status=500) if "answer 1" in question else fair(question)

    with server(folder, answer) as judge:
        code = main(["judge", str(judge), "--labels", str(labels(folder, 30, 30)), "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert (facts["n"], facts["invalid"]) == (60, 22)
    assert facts["agreement"] == pytest.approx(38 / 60)
    assert (code, facts["admitted"]) == (1, False)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "q", "response": "a"}, "labels.jsonl: the row has no field for the human (human or human_c"),
        ({"question": "q", "human": True}, "labels.jsonl:1: the row has no field for the answer"),
        (
            {"question": "q", "answer": "a", "human": "yess"},
            "'yess' is none of yes, no, true, false (did you mean 'yes'",
        ),
        (
            {"question": "q", "answer": None, "human": True},
            "labels.jsonl:1: the field 'answer': a text was expected, got null",
        ),
    ],
)
def test_wrong_labels_are_one_clear_line(folder: Path, capsys: Capture, row: dict[str, Any], message: str) -> None:
    judge_file(folder, model=None, server={"base_url": "http://127.0.0.1:9/v1", "model": "m"})
    write_jsonl(folder / "labels.jsonl", [row])
    assert main(["judge", "judge.yaml", "--labels", "labels.jsonl"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_wrong_judge_files_are_one_clear_line(folder: Path, capsys: Capture) -> None:
    labels(folder)
    for text, message in (
        ("{rubrik: labels.yaml}", "judge.yaml: judge.rubrik: unknown option (did you mean 'rubric'?)"),
        ("{file: judge.yaml}", "expected the options of the check 'judge'"),
        ("[a, b]", "expected the options of the check 'judge'"),
        ("{checks: [exact]}", "the suite has 0 `judge` checks"),
        ("{compare: {features: [contains], fitted: x.json}}", "fit it first: tunegate judge JUDGE --labels FILE --fit"),
    ):
        (folder / "judge.yaml").write_text(text)
        assert main(["judge", "judge.yaml", "--labels", "labels.jsonl"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_a_suite_with_one_judge_will_do_and_rows_shown_to_the_judge_are_left_out(folder: Path) -> None:
    example = 'examples:\n  - {prompt: "q7?", answer: x, verdict: yes}\n'
    (folder / "labels.yaml").write_text(RUBRIC + example)
    check = {"judge": {"rubric": "labels.yaml", "model": "m", "accept": ["yes"]}}
    (folder / "suite.yaml").write_text(json.dumps({"cases": "cases.jsonl", "checks": ["exact", check]}))
    facts = measure(MeasureRequest(folder / "suite.yaml", labels(folder), draw=50), quiet, models(says_good)).to_json()
    assert (facts["n"], facts["labels"]["left_out"]) == (50, 1)
    assert json.loads(Path(facts["record"]).read_text())["drawn"] == {"draw": 50, "seed": 0}


# --- real judges of 135M parameters: refused --------------------------------------------------------------------------

DATA = FILES / "answer_correctness_sample.jsonl"
CORRECT = "criterion: Does the answer agree with the reference answer?\nlabels: [yes, no]\n"


@pytest.mark.slow
def test_a_local_judge_of_135m_parameters_is_refused(folder: Path, capsys: Capture) -> None:
    pytest.importorskip("torch")
    needs_smollm2()
    (folder / "labels.yaml").write_text(CORRECT)
    judge = judge_file(folder, model=GGUF)
    assert main(["judge", str(judge), "--labels", str(DATA), "--draw", "100", "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["kappa_interval"][0] < 0.2
    assert facts["admitted"] is False
    assert gate(folder) == 3
    assert "the judge is refused" in json.loads(capsys.readouterr().out)["cases"][0]["reason"]


@pytest.mark.slow
def test_a_judge_on_a_real_llama_cpp_server_is_refused(folder: Path, capsys: Capture) -> None:
    (folder / "labels.yaml").write_text(CORRECT)
    schema = {"type": "object", "required": ["reason", "verdict"], "additionalProperties": False}
    properties = {"reason": {"type": "string", "maxLength": 40}, "verdict": {"enum": ["yes", "no"]}}
    reply = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": {**schema, "properties": properties}}}
    with llama_server() as base_url:
        server = {"base_url": base_url, "model": "m", "max_tokens": 60, "request": {"response_format": reply}}
        judge = judge_file(folder, model=None, server=server)
        assert main(["judge", str(judge), "--labels", str(DATA), "--draw", "40", "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["n"] == 40
    assert facts["invalid"] < 40
    assert facts["kappa_interval"][0] < 0.4
    assert facts["admitted"] is False
