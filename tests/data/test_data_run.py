"""Data inside a run: what `prepare` leaves is trained on, the card goes on record, and the report shows it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, carry_out, load, tools, trainer, write_pipeline
from tests.support.fake_run import HOSTILE, gate_run, outcomes, pipeline_run
from tests.support.report_page import CONTRASTS, Open, needs_chromium
from tunegate.cli import main
from tunegate.commands.check_facts import facts_of_pipeline
from tunegate.data.card import card_from_json
from tunegate.data.measure import QUICK_ROWS, Measuring, quick_card
from tunegate.data.prepare import load_prepared
from tunegate.data.spec import DataSpec
from tunegate.data.token_lengths import CountTokens
from tunegate.data.training_data import Example, TrainingData
from tunegate.exceptions import CannotJudge, ConfigError, Tampered
from tunegate.record.read_run import read_run
from tunegate.record.record import AttemptRecord, RunRecord, StageRecord
from tunegate.training.trainer import TrainJob, TrainResult
from tunegate_reports import markdown_summary, write_html
from tunegate_reports.data_section import data_cards, data_section, trained_words

pytest_plugins = ["tests.support.browser_fixtures"]

PREPARE = "{duplicates: near, pii: mask, split: {by: '{doc}'}}"
PREPARED = PIPELINE.replace(
    "    data: train.jsonl\n",
    f"    data: {{path: train.jsonl, tags: [kind], prepare: {PREPARE}}}\n    args: {{max_length: 9}}\n",
)


def write(folder: Path, text: str = PREPARED) -> Path:
    """40 rows in 20 groups, two of which have an address; the last five repeat the first."""
    path = write_pipeline(folder, text)
    words = " ".join(f"word{n}" for n in range(12))
    rows: list[dict[str, Any]] = [
        {"prompt": f"train {n} {words * (n % 3)}", "completion": f"answer {n % 4}", "kind": HOSTILE, "doc": n // 2}
        for n in range(40)
    ]
    for n in (3, 9):
        rows[n]["prompt"] += " ann@mail.org"
    write_jsonl(folder / "train.jsonl", rows + rows[:5])
    return path


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    return write(tmp_path)


# --- the run -------------------------------------------------------------------------------------------------------


def test_a_run_trains_on_the_train_part_and_says_what_it_left_out(pipeline: Path) -> None:
    jobs: list[TrainJob] = []

    def train(job: TrainJob) -> TrainResult:
        jobs.append(job)
        return trainer()(job)

    text = pipeline.read_text().replace("rows: [2, 4, 8]", "rows: [2, 32]")
    pipeline.write_text(text)
    run = carry_out(pipeline, replace(tools(), train=train))
    card = card_from_json(run.start["data"]["sft"]["card"])
    assert card is not None
    assert card.rows == 45 == card.trained + sum(card.left_out.values())
    assert card.left_out["repeats a row"] == 5
    assert card.trained == card.parts["train"]["rows"] == run.start["data"]["sft"]["rows"]
    assert card.sha256 == run.start["data"]["sft"]["sha256"]
    trained = [json.loads(line) for job in jobs[:2] for line in Path(job.data).read_text().splitlines()]
    assert len(trained) == 2 + card.trained == 34
    assert "mail.org" not in json.dumps(trained)
    assert "[EMAIL]" in json.dumps(trained)


def test_preparing_is_part_of_the_pipelines_hash(pipeline: Path) -> None:
    before = load(pipeline)
    assert load(pipeline).sha256 == before.sha256
    run = carry_out(pipeline)
    pipeline.write_text(pipeline.read_text().replace("near", "exact"))
    assert load(pipeline).sha256 != before.sha256
    with pytest.raises(Tampered, match="changed since this run began"):
        carry_out(pipeline)
    assert read_run(run.folder).start["pipeline_sha256"] == before.sha256


def test_the_same_data_give_the_same_card_on_record(tmp_path: Path) -> None:
    cards = [carry_out(write(tmp_path / name)).start["data"] for name in ("one", "two")]
    assert cards[0]["sft"]["card"] == cards[1]["sft"]["card"]


def test_more_rows_than_preparing_leaves_mean_all_of_them(pipeline: Path) -> None:
    text = pipeline.read_text()
    pipeline.write_text(text.replace("rows: [2, 4, 8]", "rows: [2, 40]"))
    assert load(pipeline).stages[0].retrain.rows == [2, 32]
    pipeline.write_text(text.replace("rows: [2, 4, 8]", "rows: [2, 4000]"))
    with pytest.raises(
        ConfigError, match=r"retrain\.rows: expected at most 4\d \(rows of train\.jsonl\), got 4000; write `all`"
    ):
        load(pipeline)


def test_check_tells_the_rows_that_are_trained_on(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert facts_of_pipeline(pipeline, load(pipeline), []).stages["sft"].rows == 32
    assert main(["check", str(pipeline)]) == 0
    assert "`prepare` leaves out rows: repeats a row 5, part: validation 4, part: test 4" in capsys.readouterr().out


class _Letters:
    exact, how = True, "counted by letters"

    def __call__(self, examples: list[Example], progress: object = None) -> list[int]:
        return [len(example.to_json()) for example in examples]


def test_lengths_are_counted_by_the_pipelines_tokenizer_or_estimated(tmp_path: Path) -> None:
    counted = carry_out(write(tmp_path / "a"), replace(tools(), tokens=lambda model: _Letters()))
    assert counted.start["data"]["sft"]["card"]["lengths"]["how"] == "counted by letters"

    def broken(model: str) -> CountTokens:
        raise CannotJudge("no tokenizer here")

    said: list[str] = []
    estimated = carry_out(write(tmp_path / "b"), replace(tools(), tokens=broken, say=said.append))
    assert estimated.start["data"]["sft"]["card"]["lengths"]["exact"] is False
    assert said[0] == "sft: the lengths of the training rows are estimated: no tokenizer here"


def test_a_quick_card_looks_closely_at_some_rows_only() -> None:
    examples = tuple(Example(n, f"prompt {n}", {"completion": "yes"}) for n in range(QUICK_ROWS + 500))
    data = TrainingData(Path("rows.jsonl"), examples, "sha")
    card = quick_card(data, DataSpec(path="rows.jsonl"), "sft", Measuring())
    assert (card.trained, card.lengths.of, card.pii.of) == (QUICK_ROWS + 500, QUICK_ROWS, QUICK_ROWS)
    assert card == quick_card(data, DataSpec(path="rows.jsonl"), "sft", Measuring())


def test_a_data_set_without_prepare_is_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path, PIPELINE)
    spec = DataSpec(path="train.jsonl")
    assert load(path).stages[0].data == load_prepared(spec, "sft", tmp_path)
    assert len(load(path).stages[0].data.examples) == 45


# --- the report ----------------------------------------------------------------------------------------------------


def test_the_summary_has_a_line_for_each_data_set(pipeline: Path) -> None:
    lines = markdown_summary(carry_out(pipeline)).splitlines()
    assert [line for line in lines if line.startswith("- Data of ")] == [
        "- Data of sft: train.jsonl, 45 rows, 32 usable; left out: repeats a row 5, part: validation 4, "
        "part: test 4; trained on: 2 (attempt 1), 4 (attempt 2); personal data: 3 e-mail addresses in 45 rows, masked.",
        "- Data of align: pairs.jsonl, 8 rows, 8 usable; trained on: 8 (attempt 1).",
    ]


def test_what_leaks_is_not_said_to_be_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, PREPARED.replace("stages:\n", "leakage: drop_from_train\nstages:\n", 1))
    row = next(example for example in load(path).stages[0].data.examples if example.number > 5)
    with (tmp_path / "cases.jsonl").open("a") as cases:
        prompt = json.loads((tmp_path / "train.jsonl").read_text().splitlines()[row.number - 1])["prompt"]
        cases.write(json.dumps({"id": "leaked", "prompt": prompt, "reference": row.answers["completion"]}) + "\n")
    assert main(["check", str(path), "--json"]) == 0
    stage = json.loads(capsys.readouterr().out)["stages"]["sft"]
    leaked = stage["leaked"]
    assert 0 < leaked < 32
    assert (stage["rows_in"], stage["rows"], stage["first_attempt"]) == (45, 32, 2)
    assert main(["check", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        f"stage sft: sft on 45 rows, 13 left out by `prepare`, {leaked} left out as leaks, 2 in the first attempt, "
        "at most 3 attempts; gates: facts, style"
    ) in lines
    run = carry_out(path)
    said = (
        f"45 rows, {32 - leaked} usable; left out: repeats a row 5, part: validation 4, part: test 4, "
        f"leaks {leaked}; trained on: 2 (attempt 1), 4 (attempt 2)"
    )
    assert f"- Data of sft: train.jsonl, {said}; personal data: " in markdown_summary(run)
    write_html(run, tmp_path / "report.html")
    assert f"train.jsonl: {said}" in (tmp_path / "report.html").read_text()


def test_examples_in_a_prompt_are_not_said_to_be_trained_on() -> None:
    attempt = AttemptRecord(1, 0, {}, "", summary={"rows": 8, "steps": 0})
    failed = AttemptRecord(2, 0, {}, "", rows=4)
    stage = StageRecord("shots", "fewshot", [], attempts={1: attempt})
    assert trained_words(stage) == "examples from: 8 (attempt 1)"
    attempts = {
        1: replace(attempt, summary={"rows": 7, "rows_dropped": 1}),
        2: failed,
        3: replace(failed, number=3, rows=0),
    }
    assert trained_words(replace(stage, attempts=attempts)) == "trained on: 7 (attempt 1), 4 (attempt 2)"
    assert trained_words(None) == ""


def test_provenance_names_the_card_by_its_hash(pipeline: Path, tmp_path: Path) -> None:
    run = carry_out(pipeline)
    write_html(run, tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    assert f"<td>{run.start['data']['sft']['card']['card_sha256']}</td>" in html
    assert "data.sft.card.lengths" not in html


@pytest.mark.parametrize("data", [{}, {"sft": "sha"}, {"sft": {"rows": 3}}, {"sft": {"card": {"rows": 3}}}, None])
def test_records_without_cards_have_no_section(data: Any) -> None:
    run = RunRecord(Path(), start={"data": data})
    assert data_cards(run) == {}
    assert data_section(run) is None


def test_older_records_are_still_shown(tmp_path: Path) -> None:
    for run in (pipeline_run(tmp_path / "p"), gate_run(tmp_path / "g", ("facts", outcomes(9, 1, 0, seed=1)), accept=9)):
        write_html(run, tmp_path / "report.html")
        assert "Data of" not in markdown_summary(run)
        assert 'id="training-data"' not in (tmp_path / "report.html").read_text()


@needs_chromium
def test_the_section_on_data_reads_well(open_report: Open, pipeline: Path) -> None:
    page = open_report(carry_out(pipeline))
    section = page.locator("#training-data")
    assert section.locator("h2").inner_text() == "Data"
    card = section.locator("details.card").first
    assert "train.jsonl: 45 rows, 32 usable" in card.locator("summary").inner_text()
    facts = dict(zip(card.locator("dt").all_inner_texts(), card.locator("dd").all_inner_texts(), strict=True))
    assert facts["Left out: repeats a row"] == "rows 41 (as 1), 42 (as 2), 43 (as 3), 44 (as 4), 45 (as 5)"
    assert facts["Personal data"] == "3 e-mail addresses in 45 rows, masked"
    assert facts["Parts"].startswith("train 32 rows in 16 groups")
    chart = card.locator("svg.chart")
    assert chart.get_attribute("aria-label").endswith("max_length 9")
    drawn = sum(int(text.rsplit(": ", 1)[1].split()[0]) for text in chart.locator("title").all_text_contents())
    assert drawn == 32
    assert card.locator(".bars li").count() == 1 + 4, "one tag, four answers"
    assert page.evaluate("window.pwned") is None, "a tag with a script in it is text"
    assert page.locator("img").count() == 0


@needs_chromium
@pytest.mark.parametrize(
    ("width", "scheme"),
    [(390, "dark"), (1280, "light")]
    + [pytest.param(width, scheme, marks=pytest.mark.slow) for width, scheme in ((390, "light"), (1280, "dark"))],
)
def test_the_section_on_data_fits_and_can_be_read(open_report: Open, pipeline: Path, width: int, scheme: str) -> None:
    page = open_report(carry_out(pipeline), viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRASTS) == []
