"""`tunegate export`: what is written answers like its source, an export that lost facts fails, and only gated ones are
promoted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.exported import FACTS, SHORT, trained_run
from tests.support.record_edits import events_of, write
from tests.support.tiny_model import make_adapter, make_tiny_model
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.hashes import sha256_of
from tunegate.models.gguf_export import LLAMA3_PATTERN, pre_tokenizer_of, write_gguf
from tunegate.models.open_model import open_model
from tunegate.record.read_run import read_run


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def write_suite(folder: Path, rows: list[dict[str, str]], check: Any = SHORT) -> Path:
    suite = {
        "cases": {"path": "cases.jsonl", "prompt": "{question}", "reference": "{answer}"},
        "checks": [check],
        "plan": {"draw": len(rows), "accept": 1, "confirm": "never"},
        "sealed": 0,
        "generate": {"max_new_tokens": 4},
    }
    write_jsonl(folder / "cases.jsonl", rows)
    (folder / "suite.yaml").write_text(json.dumps(suite))
    return folder / "suite.yaml"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """80 questions to which any short answer is right."""
    return write_suite(tmp_path, [{"id": str(n), "question": f"Number {n}?", "answer": "x"} for n in range(FACTS)])


@pytest.mark.parametrize(
    ("words", "file_type"),
    [(["gguf"], "model.gguf"), (["gguf", "--type", "q8_0"], "model.gguf"), (["safetensors"], "model")],
)
def test_an_export_answers_like_its_source(
    words: list[str], file_type: str, model: Path, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code, said = run(capsys, "export", model, "--to", *words, "--out", out, "--gate", suite)
    assert (code, said["verdict"], Path(said["model"])) == (0, "PASS", out / file_type)
    record = json.loads((out / "export.json").read_text())
    assert record["source"]["sha256"] != record["sha256"]
    assert record["gates"]["suite"]["verdict"] == "PASS"
    assert record["files"]
    if "q8_0" not in words:  # with random weights, 8 bits already change what follows the first tokens
        assert answers(said["model"]) == answers(str(model))


def test_an_adapter_is_merged(model: Path, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adapter = make_adapter(model, tmp_path / "adapter")
    for form in ("gguf", "safetensors"):
        code, said = run(capsys, "export", adapter, "--to", form, "--out", tmp_path / form, "--gate", suite)
        assert code == 0
        texts = [answers(str(place)) for place in (adapter, said["model"], model)]
        assert texts[0] == texts[1] != texts[2]


def answers(spec: str) -> list[str]:
    from tunegate.cases.case import Case
    from tunegate.models.model import GenerationSettings

    cases = [Case(str(n), f"Number {n}?") for n in range(8)]
    found = dict(open_model(spec, dtype="float32").generate(cases, GenerationSettings(max_new_tokens=4)))
    return [found[n].text for n in range(8)]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--to", "onnx", "--gate", "S"], "needs transformers below 4.58"),
        (["--to", "safetensors", "--type", "q4_0", "--gate", "S"], "--type: safetensors hold f32, f16, bf16, got q4_0"),
        (["--to", "gguf"], "--gate: expected a suite"),
        (["--to", "gguf", "--gate", "S", "--max-drop", "0"], "--max-drop: expected percentage points"),
        (["--to", "gguf", "--gate", "S", "--draw", "0"], "--draw: expected at least 1"),
    ],
)
def test_wrong_use(
    words: list[str], says: str, model: Path, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(suite) if word == "S" else word for word in words]
    assert main(["export", str(model), "--out", str(tmp_path / "out"), *words]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out" / "export.json").exists()


def test_a_folder_with_files_is_left_alone(
    model: Path, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(model), "--to", "gguf", "--out", str(tmp_path), "--gate", str(suite)]) == 2
    assert "expected a new or empty folder" in capsys.readouterr().err


def test_too_few_cases_are_no_pass(
    model: Path, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten cases without a difference do not show that fewer than 5 points were lost."""
    words = ("export", model, "--to", "gguf", "--out", tmp_path / "out", "--gate", suite, "--draw", 10)
    code, said = run(capsys, *words)
    assert (code, said["verdict"]) == (4, "INCONCLUSIVE")


def test_the_comparison_spends_fresh_cases(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """120 cases are enough for one export, which takes 80; a second one finds too few fresh cases."""
    suite = write_suite(tmp_path, [{"id": str(n), "question": f"Number {n}?", "answer": "x"} for n in range(120)])
    words = ("export", model, "--to", "gguf", "--gate", suite, "--draw", FACTS, "--ledger", tmp_path / "ledger")
    assert run(capsys, *words, "--out", tmp_path / "one")[0] == 0
    assert main([str(word) for word in (*words, "--out", tmp_path / "two", "--type", "q8_0", "--seed", 1)]) == 4
    assert "fresh" in capsys.readouterr().err
    assert not [*(tmp_path / "two").iterdir()], "the same command works again once there are more cases"


def test_an_unfinished_export_is_named(
    model: Path, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A process that was killed leaves files, but no export.json."""
    out = tmp_path / "out"
    (out / "gates").mkdir(parents=True)
    words = ["export", str(model), "--to", "gguf", "--gate", str(suite)]
    assert main([*words, "--out", str(out)]) == 2
    assert f"{out} has the files of an export that was interrupted; remove it" in capsys.readouterr().err


def test_a_source_that_passes_nothing_can_lose_nothing(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such a comparison cannot fail, so it is no pass."""
    suite = write_suite(tmp_path, [{"id": str(n), "question": f"{n}?", "answer": "x"} for n in range(FACTS)], "exact")
    code, said = run(capsys, "export", model, "--to", "gguf", "--out", tmp_path / "out", "--gate", suite)
    assert (code, said["verdict"], said["gates"]["suite"]["passed_source"]) == (4, "INCONCLUSIVE", 0)
    assert main(["promote", str(tmp_path / "out"), "--registry", str(tmp_path / "registry")]) == 1
    assert "the source passed only 0 of 80" in capsys.readouterr().err


def test_other_models_have_no_gguf(model: Path, tmp_path: Path) -> None:
    for name, key, value, says in (
        ("config.json", "architectures", ["GPT2LMHeadModel"], "architectures: expected LlamaForCausalLM"),
        ("tokenizer.json", "pre_tokenizer", {"type": "Whitespace"}, "expected a byte-level BPE tokenizer"),
    ):
        folder = shutil.copytree(model, tmp_path / key)
        data = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**data, key: value}))
        with pytest.raises(ConfigError, match=says):
            write_gguf(folder, tmp_path / "m.gguf", "f16")


def test_pre_tokenizers() -> None:
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    split = {"type": "Split", "pattern": {"Regex": LLAMA3_PATTERN}}

    def of(*steps: dict[str, Any]) -> str | None:
        return pre_tokenizer_of({"pre_tokenizer": {"type": "Sequence", "pretokenizers": list(steps)}})

    assert pre_tokenizer_of({"pre_tokenizer": bytes_}) == "gpt-2"
    assert of(digits, bytes_) == "smollm"
    assert of(split, {**bytes_, "use_regex": False}) == "llama-bpe"
    assert of({**digits, "individual_digits": False}, bytes_) is None
    assert of({**split, "pattern": {"Regex": "x"}}, {**bytes_, "use_regex": False}) is None
    assert pre_tokenizer_of({"pre_tokenizer": {**bytes_, "add_prefix_space": True}}) is None
    assert pre_tokenizer_of({}) is None


# --- promotion -----------------------------------------------------------------------------------------------------


def _exported(model: Path, suite: Path, out: Path) -> Path:
    assert main(["export", str(model), "--to", "gguf", "--out", str(out), "--gate", str(suite)]) == 0
    return out


def test_an_export_of_an_unpromoted_model_is_not_promoted(
    model: Path, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _exported(model, suite, tmp_path / "out")
    assert main(["promote", str(out), "--registry", str(tmp_path / "registry")]) == 1
    assert "the source of the export is not promoted" in capsys.readouterr().err


@pytest.mark.parametrize(
    "damage", ["model", "model and its hash", "record", "forged verdict", "verdict", "source", "no gates"]
)
def test_a_damaged_export_is_not_promoted(
    damage: str, model: Path, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _exported(model, suite, tmp_path / "out")
    record = json.loads((out / "export.json").read_text())
    if damage in ("model", "model and its hash"):
        (out / "model.gguf").write_bytes((out / "model.gguf").read_bytes() + b"\0")
        if damage != "model":
            record["files"]["model.gguf"] = sha256_of(out / "model.gguf")
    elif damage == "forged verdict":
        record["gates"]["suite"]["record_sha256"] = sealed_again_as_passed(out / "gates" / "suite")
    elif damage == "record":
        events = out / "gates" / "suite" / "events.jsonl"
        events.write_text(events.read_text().replace('"Number 7?"', '"Number 8?"', 1))
    elif damage == "verdict":
        record["gates"]["suite"]["record_sha256"] = "0" * 64
    elif damage == "source":
        record["source"]["sha256"] = "0" * 64
    else:
        record["gates"] = {}
    (out / "export.json").write_text(json.dumps(record))
    code = main(["promote", str(out), "--registry", str(tmp_path / "registry")])
    said = capsys.readouterr().err
    assert code == (1 if damage == "no gates" else 5), said
    assert not (tmp_path / "registry" / "exports").exists()


@pytest.mark.parametrize("place", ["files", "model", "gates", "link"])
def test_an_export_of_a_stranger_writes_nowhere_else(
    place: str, model: Path, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name such as ../../config in `export.json` would be copied out of the registry."""
    out = _exported(model, suite, tmp_path / "out")
    record = json.loads((out / "export.json").read_text())
    (tmp_path / "evil").write_text("evil")
    if place == "files":
        record["files"]["../evil"] = sha256_of(tmp_path / "evil")
    elif place == "model":
        record["model"] = str((out / "model.gguf").rename(tmp_path / "model.gguf"))
        del record["files"]["model.gguf"]
    elif place == "gates":
        shutil.copytree(out / "gates" / "suite", tmp_path / "suite")
        record["gates"]["../../suite"] = record["gates"]["suite"]
    else:
        (out / "model.gguf").rename(tmp_path / "model.gguf")
        (out / "model.gguf").symlink_to(tmp_path / "model.gguf")
    (out / "export.json").write_text(json.dumps(record))
    assert main(["promote", str(out), "--registry", str(tmp_path / "registry")]) == 5
    assert "leads out of the export; no export wrote this" in capsys.readouterr().err
    assert not (tmp_path / "registry" / "exports").exists()


def sealed_again_as_passed(place: Path) -> str:
    """Forge a record under a whole chain of hashes: the export got nothing right, and its verdict is PASS."""
    events = events_of(place)
    for event in events:
        if event["event"] == "outcome" and event["purpose"] == "retention":
            event["outcome"]["verdict"] = "FAIL"
    (place / "events.jsonl").unlink()
    write(place, events)
    return read_run(place).digest


@pytest.mark.slow
def test_a_run_is_promoted_and_then_its_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A real run: its model is promoted, exported on its own suite, and the export is promoted and verified."""
    folder = trained_run(tmp_path)
    capsys.readouterr()
    registry = ["--registry", str(tmp_path / "registry")]
    assert main(["promote", str(folder), *registry]) == 0
    code, said = run(capsys, "export", folder, "--to", "gguf", "--out", tmp_path / "out")
    assert (code, said["verdict"]) == (0, "PASS"), said
    code, promoted = run(capsys, "promote", tmp_path / "out", *registry)
    assert (code, promoted["sha256"]) == (0, said["sha256"])
    assert run(capsys, "verify", tmp_path / "out" / "model.gguf", *registry)[1]["sha256"] == said["sha256"]
    entry = tmp_path / "registry" / "exports" / said["sha256"]
    (entry / "model.gguf").write_bytes(b"GGUF, but not this")
    assert main(["verify", str(tmp_path / "out" / "model.gguf"), *registry]) == 5


# --- a real loss ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_four_bits_that_lose_facts_fail_and_sixteen_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tiny model that knows 80 facts by heart: 16 bits keep them, 4 bits do not."""
    model, suite = memorised(tmp_path)
    code, said = run(capsys, "export", model, "--to", "gguf", "--out", tmp_path / "f16", "--gate", suite)
    assert (code, said["verdict"]) == (0, "PASS"), said
    assert said["gates"]["suite"]["passed_source"] > 70
    code, said = run(
        capsys, "export", model, "--to", "gguf", "--type", "q4_0", "--out", tmp_path / "q4", "--gate", suite
    )
    assert (code, said["verdict"]) == (1, "FAIL"), said
    assert said["gates"]["suite"]["passed_export"] < said["gates"]["suite"]["passed_source"]
    assert main(["promote", str(tmp_path / "q4"), "--registry", str(tmp_path / "registry")]) == 1


def memorised(folder: Path) -> tuple[Path, Path]:
    """A tiny model trained until it knows 80 facts, and their suite."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = make_tiny_model(folder / "model")
    tokenizer, network = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    generator = torch.Generator().manual_seed(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    picks = torch.randint(len(letters), (FACTS, 2), generator=generator).tolist()
    rows = [{"id": str(n), "question": f"{n}?", "answer": letters[a] + letters[b]} for n, (a, b) in enumerate(picks)]
    texts = []
    for row in rows:
        chat = [{"role": "user", "content": row["question"]}]
        prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        texts.append((ids, tokenizer(row["answer"] + "<|im_end|>", add_special_tokens=False)["input_ids"]))
    width = max(len(ids) + len(answer) for ids, answer in texts)
    pad = [[0] * (width - len(ids) - len(answer)) for ids, answer in texts]
    inputs = torch.tensor([ids + answer + rest for (ids, answer), rest in zip(texts, pad, strict=True)])
    labels = torch.tensor(
        [[-100] * len(ids) + answer + [-100] * len(rest) for (ids, answer), rest in zip(texts, pad, strict=True)]
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(400):
        loss = network(input_ids=inputs, labels=labels).loss
        if loss.item() < 0.02:
            break
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    network.save_pretrained(model)
    return model, write_suite(folder, rows, "exact")
