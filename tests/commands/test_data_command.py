"""`tunegate data`: the card that people and scripts see, the parts it writes, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, write_pipeline
from tests.support.leak_helpers import GENES, read
from tests.support.tiny_model import make_tiny_model
from tunegate.cli import main
from tunegate.commands.data import guess_method
from tunegate.data.card import DataCard, card_from_json
from tunegate.data.measure import Measuring, quick_card
from tunegate.data.spec import DataSpec
from tunegate.data.token_lengths import chunks_of
from tunegate.data.training_data import load_training_data

Capture = pytest.CaptureFixture[str]
TRAIN = str(GENES / "train.jsonl")
TEMPLATES = ["--prompt", r"{context}\n\n{question}", "--completion", "{answer}", "--tags", "task"]


def card_of(capsys: Capture, *arguments: str) -> dict[str, Any]:
    assert main(["data", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def pairs(*rows: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"prompt": prompt, "completion": completion} for prompt, completion in rows]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = pairs(("who is it? ann@mail.org", "yes"), ("when", "no"), ("when", "yes"), ("where" * 40, "no"))
    return write_jsonl(tmp_path / "small.jsonl", rows + rows[1:2])


# --- the card ------------------------------------------------------------------------------------------------------


def test_the_json_of_a_card(small: Path, capsys: Capture) -> None:
    card = card_of(capsys, "small.jsonl", "--max-length", "20")
    assert (card["file"], card["method"], card["rows"], card["trained"]) == ("small.jsonl", "sft", 5, 5)
    assert card["answers"] == {"no": 3, "yes": 2}
    assert card["repeated"] == {"exact": 1, "rows": [5], "contradictions": 1}
    assert card["pii"] == {"done": "kept", "of": 5, "kinds": {"email": 1}, "rows": [1]}
    lengths = card["lengths"]
    assert (lengths["exact"], lengths["how"]) == (False, "estimated at 4 bytes a token")
    assert (lengths["longer"], lengths["longer_rows"], lengths["longest"]) == (1, [4], 51)
    assert sum(rows for _, _, rows in lengths["bins"]) == 5
    assert card == card_of(capsys, "small.jsonl", "--max-length", "20"), "the same data, the same card"
    assert "mail.org" not in json.dumps(card)


def test_the_hash_of_a_card_covers_the_data_and_not_where_it_lies(small: Path, tmp_path: Path, capsys: Capture) -> None:
    first = card_of(capsys, "small.jsonl")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "small.jsonl").write_bytes(small.read_bytes())
    assert card_of(capsys, "other/small.jsonl") == first
    small.write_text(small.read_text().replace("when", "then"))
    assert card_of(capsys, "small.jsonl")["card_sha256"] != first["card_sha256"]


def test_a_card_reads_back_as_it_was_written() -> None:
    spec = DataSpec(path="train.jsonl", prompt="{context}", completion="{answer}", tags=["task"])
    card = quick_card(load_training_data(spec, "sft", GENES), spec, "sft", Measuring(max_length=50))
    written = json.loads(json.dumps(card.to_json()))
    read = card_from_json(written)
    assert isinstance(read, DataCard)
    assert read.to_json() == written
    assert card_from_json({"rows": 3}) is None
    assert card_from_json({**written, "lengths": {"how": 1}}) is None


def test_people_see_a_histogram_and_what_a_max_length_cuts(capsys: Capture) -> None:
    assert main(["data", TRAIN, *TEMPLATES, "--max-length", "100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "train.jsonl: 1,080 rows, 1,080 usable (method sft)"
    bars = [line.split() for line in lines if "█" in line]
    assert sum(int(bar[-1]) for bar in bars) == 1080
    assert max(bars, key=lambda bar: int(bar[-1]))[1] == "█" * 32
    said = "\n".join(lines)
    assert "max_length 100: 92 rows are longer and would be left out: 5, 28, 30" in said
    assert "tags     task=inheritance 527 (49%), task=gene 413 (38%), task=prevalence 140 (13%)" in said
    assert "language en 200 (100%) of 200 rows checked" in said
    assert "personal none found in 1,080 rows" in said


def test_of_one_thing_the_card_speaks_in_the_singular(small: Path, capsys: Capture) -> None:
    write_jsonl(small, pairs(("to ann@mail.org", "b"), ("to bob@mail.org", "b")))
    assert main(["data", "small.jsonl", "--max-length", "20", "--split", "0.5,0.5,0"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [
        "small.jsonl: 2 rows, 1 usable; left out: part: validation 1 (method sft)",
        "  tokens   4 in 1 row: 4 to 4, half up to 4, 99 % up to 4; estimated at 4 bytes a token",
    ]  # no histogram: all rows are of one length
    assert "  personal 1 e-mail address in 1 row, kept: row 1" in said
    assert "  language too short to recognise 1 (100%) of 1 row checked" in said
    assert "  parts    train 1 row in 1 group, validation 1 row in 1 group, test 0 rows in 0 groups" in said
    write_jsonl(small, pairs(("a", "b"), ("a", "c"), ("c " * 100, "b"), ("c " * 100, "b")))
    assert main(["data", "small.jsonl", "--max-length", "20", "--duplicates", "exact"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "  left out repeats a row: row 4 (as 3)"
    assert "           max_length 20: 1 row is longer and would be left out: 3" in said
    assert "  repeats  no repeated rows; 1 prompt has more than one answer" in said
    assert main(["data", "small.jsonl"]) == 0
    assert "  repeats  1 row repeats an earlier row word for word: 4; 1 prompt has more than one answer" in (
        capsys.readouterr().out.splitlines()
    )


def test_a_bin_without_rows_is_a_zero_and_no_bar(small: Path, capsys: Capture) -> None:
    write_jsonl(small, pairs(("a", "b"), ("c " * 100, "b")))
    assert main(["data", "small.jsonl"]) == 0
    bars = capsys.readouterr().out.splitlines()[2:13]
    assert bars[0] == "             0-4 ████████████████████████████████ 1"
    assert bars[1:-1] == [f"{'':11}{n:>2}-{n + 4:>2} 0" if n > 9 else "             5-9 0" for n in range(5, 50, 5)]
    assert bars[-1].endswith("50-54 ████████████████████████████████ 1")


def test_tokens_are_counted_by_the_model_that_is_named(small: Path, tmp_path: Path, capsys: Capture) -> None:
    make_tiny_model(tmp_path / "model")
    lengths = card_of(capsys, "small.jsonl", "--model", "model")["lengths"]
    assert (lengths["exact"], lengths["how"]) == (True, "counted by the tokenizer of model")
    kept = card_of(capsys, "small.jsonl", "--model", "model", "--max-tokens", str(lengths["longest"] - 1))
    assert kept["left_out_rows"] == {"too long": [[4]]}


def test_raw_text_is_cut_into_chunks_and_nothing_is_left_out(tmp_path: Path, capsys: Capture) -> None:
    write_jsonl(tmp_path / "raw.jsonl", [{"text": "word " * 400}, {"text": "word"}])
    card = card_of(capsys, str(tmp_path / "raw.jsonl"), "--max-length", "100")
    assert (card["method"], card["lengths"]["chunks"]) == ("cpt", chunks_of([500, 1], 100))
    assert chunks_of([500, 1], 100) == 7
    assert main(["data", str(tmp_path / "raw.jsonl"), "--max-length", "100"]) == 0
    assert "max_length 100: cut into 7 chunks, nothing left out" in capsys.readouterr().out


def test_without_a_detector_the_card_says_what_to_install(
    small: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunegate.data import languages

    languages._identifier.cache_clear()
    monkeypatch.setitem(sys.modules, languages.MODULE, None)
    card = card_of(capsys, TRAIN, *TEMPLATES)
    assert (card["languages"], card["language_fault"]) == ({}, "not measured: pip install 'tunegate[text]'")


def test_other_languages_are_seen(tmp_path: Path, capsys: Capture) -> None:
    german = "Wie wird diese Krankheit vererbt, und welches Gen ist dafür verantwortlich?"
    english = "How is this condition inherited, and which gene is responsible for it?"
    rows = pairs(*((f"{text} {n}", "x") for n in range(4) for text in (german, english)), ("?", "x"))
    rows += pairs(("Tell me about Torino in Italia?", "x"))  # English with names: told, but not surely
    write_jsonl(tmp_path / "r.jsonl", rows)
    assert card_of(capsys, str(tmp_path / "r.jsonl"))["languages"] == {"de": 4, "en": 4, "unknown": 2}


@pytest.mark.parametrize(
    ("flags", "method"),
    [
        (["--label", "liked"], "kto"),
        (["--explanation", "{why}"], "explain"),
        (["--chosen", "{completion}", "--rejected", "{why}"], "dpo"),
        (["--text", "{why}"], "cpt"),
    ],
)
def test_a_flag_that_one_method_takes_says_which_method_it_is(
    small: Path, capsys: Capture, flags: list[str], method: str
) -> None:
    row = {"prompt": "p", "completion": "c", "why": "w"}
    write_jsonl(small, [{**row, "liked": liked} for liked in (True, False)])
    assert card_of(capsys, "small.jsonl", *flags)["method"] == method


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        (["--method", "sft", "--label", "liked"], "--label: method sft does not use it, kto does"),
        (["--method", "kto", "--rejected", "{a}"], "--rejected: method kto does not use it, dpo, orpo, reward do"),
        (["--label", "liked", "--text", "{a}"], "--text: method kto does not use it, cpt does"),
        (["--method", "cpt", "--prompt", "{a}"], "--prompt: method cpt does not use it, sft, explain, dpo, kto"),
    ],
)
def test_a_flag_that_the_method_does_not_take_is_refused(
    small: Path, capsys: Capture, flags: list[str], fault: str
) -> None:
    assert main(["data", "small.jsonl", *flags]) == 2
    assert capsys.readouterr().err.startswith(f"tunegate data: {fault}")


@pytest.mark.parametrize(
    ("row", "flags", "note"),
    [
        ({"label": "good"}, [], "field `label` is not used; --method kto would use it (true or false)"),
        ({"explanation": "so"}, [], "field `explanation` is not used; --method explain would use it"),
        ({"label": "good"}, ["--completion", "{label}"], ""),
        ({"label": "good"}, ["--tags", "label"], ""),
        ({"label": "good"}, ["--method", "sft"], ""),
    ],
)
def test_a_field_that_another_method_reads_is_told(
    small: Path, capsys: Capture, row: dict[str, Any], flags: list[str], note: str
) -> None:
    write_jsonl(small, [{"prompt": "p", "completion": "c", **row}])
    assert main(["data", "small.jsonl", *flags]) == 0
    captured = capsys.readouterr()
    assert "(method sft)" in captured.out
    assert captured.err == (f"tunegate data: {note}\n" if note else "")


def test_flags_for_a_question_say_that_a_text_beside_it_is_not_trained_on(small: Path, capsys: Capture) -> None:
    """Alpaca's rows hold the rendered `text` too."""
    write_jsonl(small, [{"instruction": "Which gene?", "input": "", "output": "BLM", "text": "### Which gene?"}])
    assert main(["data", "small.jsonl", "--prompt", "{instruction}", "--completion", "{output}"]) == 0
    assert "(method sft)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "method"),
    [
        ({"prompt": "", "chosen": "", "rejected": ""}, "dpo"),
        ({"prompt": "", "completion": "", "label": True}, "kto"),
        ({"prompt": "", "completion": "", "label": "False"}, "kto"),
        ({"prompt": "", "completion": "", "label": "gene"}, "sft"),
        ({"text": ""}, "cpt"),
        ({"question": "", "answer": ""}, "sft"),
    ],
)
def test_the_method_is_told_from_the_fields(row: dict[str, Any], method: str) -> None:
    assert guess_method(row) == method


# --- preparing -----------------------------------------------------------------------------------------------------


def test_the_parts_are_written_rendered_and_masked(small: Path, tmp_path: Path, capsys: Capture) -> None:
    many = pairs(*((f"question {n // 2} of ann{n}@mail.org", f"answer {n}") for n in range(40)))
    write_jsonl(small, [{**row, "doc": n // 4} for n, row in enumerate(many)])
    arguments = ["small.jsonl", "--pii", "mask", "--split", "0.8,0.1,0.1", "--group", "doc", "--out", "parts"]
    card = card_of(capsys, *arguments)
    assert card["parts"] == {
        part: {"rows": n, "groups": n // 4} for part, n in (("train", 32), ("validation", 4), ("test", 4))
    }
    rows = {path.stem: read(path) for path in (tmp_path / "parts").iterdir()}
    assert {part: len(own) for part, own in rows.items()} == {"train": 32, "validation": 4, "test": 4}
    assert rows["test"][0].keys() == {"prompt", "completion", "tags", "group", "row"}
    assert "mail.org" not in json.dumps(rows)
    groups = [{row["group"] for row in own} for own in rows.values()]
    assert sum(map(len, groups)) == 10
    assert main(["data", *arguments]) == 2
    assert "already exists and is not overwritten" in capsys.readouterr().err
    assert card_of(capsys, "parts/train.jsonl")["trained"] == 32, "what was written is data again"


def test_parts_of_chats_are_data_again(small: Path, capsys: Capture) -> None:
    write_jsonl(small, pairs(*((f"q{n}", f"a{n}") for n in range(10))))
    card_of(capsys, "small.jsonl", "--system", "Be brief.", "--split", "0.8,0.1,0.1", "--out", "parts")
    spec = DataSpec(path="parts/train.jsonl")
    (first, *_) = load_training_data(spec, "sft", Path()).examples
    assert isinstance(first.prompt, tuple)
    assert first.prompt[0] == {"role": "system", "content": "Be brief."}


def test_a_card_is_written_as_json(small: Path, tmp_path: Path, capsys: Capture) -> None:
    card = card_of(capsys, "small.jsonl", "--card", "cards/small.json")
    assert json.loads((tmp_path / "cards" / "small.json").read_text()) == card


def test_only_rows_that_are_held_must_be_in_a_small_file(
    small: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = card_of(capsys, "small.jsonl")
    monkeypatch.setattr("tunegate.reading.rows.MAX_BYTES", 100)
    assert card_of(capsys, "small.jsonl") == card
    assert card_of(capsys, "small.jsonl", "--duplicates", "keep", "--pii", "keep") == card
    for held in (["--duplicates", "exact"], ["--pii", "mask"], ["--split", "1,0,0"]):
        assert main(["data", "small.jsonl", *held]) == 2
        assert "small.jsonl: the file has 0 MiB; at most 0 MiB are read: split it" in capsys.readouterr().err


def test_left_out_rows_are_named(small: Path, capsys: Capture) -> None:
    assert main(["data", "small.jsonl", "--duplicates", "exact"]) == 0
    said = capsys.readouterr().out
    assert "small.jsonl: 5 rows, 4 usable; left out: repeats a row 1" in said
    assert "left out repeats a row: row 5 (as 2)" in said


# --- a pipeline ----------------------------------------------------------------------------------------------------


def test_a_folder_with_a_pipeline_points_to_its_file(tmp_path: Path, capsys: Capture) -> None:
    project = write_pipeline(tmp_path / "project").parent
    (tmp_path / "empty").mkdir()
    for command in ("data", "check", "run"):
        assert main([command, str(project)]) == 2
        assert capsys.readouterr().err == (
            f"tunegate {command}: {project}: a file was expected, got a folder; did you mean {project}/tunegate.yaml?\n"
        )
    assert main(["data", str(tmp_path / "empty")]) == 2
    assert "empty: not a data set folder" in capsys.readouterr().err
    (tmp_path / "empty" / "notes.md").write_text("x")
    for name in ("train.jsonl", "dev.csv"):
        (tmp_path / "empty" / name).write_text("x")
    fault = "empty: a file was expected, got a folder; name one of its files: dev.csv, train.jsonl"
    assert main(["data", str(tmp_path / "empty")]) == 2
    assert fault in capsys.readouterr().err
    assert main(["leakage", str(tmp_path / "empty"), "--suite", "builtin:piqa"]) == 2
    assert fault in capsys.readouterr().err
    assert main(["gate", "--responses", str(tmp_path / "empty"), "--suite", "builtin:piqa"]) == 2
    assert fault in capsys.readouterr().err


def test_a_pipeline_shows_the_cards_of_its_stages(tmp_path: Path, capsys: Capture) -> None:
    path = write_pipeline(tmp_path, PIPELINE.replace("model: base", "model: org/elsewhere"))
    stages = card_of(capsys, str(path))["stages"]
    assert {name: (card["method"], card["trained"]) for name, card in stages.items()} == {
        "sft": ("sft", 8),
        "align": ("dpo", 8),
    }
    assert main(["data", str(path)]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("stage")] == [
        "stage sft",
        "stage align",
    ]
    assert main(["data", str(path), "--pii", "mask"]) == 2
    assert "--pii: a pipeline file sets this itself, under `data` of a stage" in capsys.readouterr().err
    path.write_text(PIPELINE.replace("model: base", "model: org/x").replace("pairs.jsonl", "pears.jsonl"))
    assert main(["data", str(path)]) == 2
    assert "tunegate.yaml:14: stages[1].data.path: " in capsys.readouterr().err


# --- wrong input ---------------------------------------------------------------------------------------------------


def test_rows_that_do_not_fit_are_all_named(small: Path, capsys: Capture) -> None:
    rows = [{"prompt": "p", "chosen": "a", "rejected": "a" if n % 2 else ""} for n in range(6)]
    write_jsonl(small, [*rows, {"prompt": "p", "chosen": "a", "rejected": "b"}])
    assert main(["data", "small.jsonl", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert list(told["faults"].values()) == [[1, 3, 5], [2, 4, 6]]
    assert (told["rows"], told["exit_code"]) == (7, 2)
    assert main(["data", "small.jsonl"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "small.jsonl: 6 of 7 rows do not fit"
    assert lines[2] == "  chosen and rejected are the same text; they must differ: rows 2, 4, 6"


def test_rows_with_fields_of_other_names_are_told_how_to_say_so(small: Path, capsys: Capture) -> None:
    write_jsonl(small, [{"question": "How many?", "answer": "Two."}])
    assert main(["data", "small.jsonl"]) == 2
    assert "for example --prompt '{question}' --completion '{answer}'" in capsys.readouterr().out
    assert main(["data", "small.jsonl", "--prompt", "{question}"]) == 2
    assert "other names" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.jsonl"], "absent.jsonl: no such file"),
        (["small.jsonl", "--method", "stf"], "'stf' is not a training method (did you mean 'sft'"),
        (["small.jsonl", "--prompt", "{promt}"], "the row has no field 'promt' (did you mean 'prompt'?)"),
        (["small.jsonl", "--prompt", "{a!r}"], "only plain fields"),
        (["small.jsonl", "--split", "80,20"], "--split: expected the shares of train, validation and test"),
        (["small.jsonl", "--split", "0.8,0.1,0.2"], "expected shares that add up to 1, got 1.1"),
        (["small.jsonl", "--group", "doc"], "--group: needs --split"),
        (["small.jsonl", "--pii", "refuse"], "personal data: email in rows 1; remove it, or write `--pii mask`"),
        (["small.jsonl", "--max-tokens", "10"], "--max-tokens: the model's tokenizer is needed to count tokens; name "),
        (["small.jsonl", "--model", "absent", "--max-length", "9"], "model 'absent': no such file"),
        (["small.jsonl", "--names", "en_core_web_sm"], "finding the names of people needs the extra 'names'"),
    ],
)
def test_wrong_usage_is_one_line(
    small: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    assert main(["data", *arguments]) == 2
    output = capsys.readouterr()
    said = output.err + output.out
    assert message in said
    assert "Traceback" not in said
